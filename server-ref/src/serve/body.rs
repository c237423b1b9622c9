//! The bodies of requests: read whole, within a limit and within a time, so that nobody keeps a socket by sending half
//! of one. Who reads what they say is the caller's business.

use axum::body::Body;
use futures::StreamExt;
use std::time::Duration;
use tokio::time::timeout;

/// Time for any body.
const LEAST: Duration = Duration::from_secs(20);
/// Bytes a second that a large body has to come with.
const PACE: usize = 256 << 10;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It ends before its end.
    Cut,
    /// It is larger than it may be.
    TooLarge,
    /// It did not come in time.
    Slow,
}

/// How long a body of at most so many bytes may take.
fn patience(most: usize) -> Duration {
    LEAST + Duration::from_secs((most / PACE) as u64)
}

/// Reads a body of at most `most` bytes. As many as `dropped` beyond them are read and dropped, so that the client gets
/// to read why it is refused.
pub(super) async fn read(body: Body, most: usize, dropped: usize) -> Result<Vec<u8>, Unread> {
    let mut pieces = body.into_data_stream();
    let whole = async {
        let (mut all, mut length) = (Vec::new(), 0);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Unread::Cut)?;
            length += piece.len();
            if length <= most {
                all.extend_from_slice(&piece);
            } else if length > most.saturating_add(dropped) {
                break;
            } else {
                all = Vec::new();
            }
        }
        if length > most { Err(Unread::TooLarge) } else { Ok(all) }
    };
    timeout(patience(most), whole).await.unwrap_or(Err(Unread::Slow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::stream;
    use std::convert::Infallible;
    use tokio::time::{Instant, sleep};

    fn drops(count: usize, pause: Duration) -> Body {
        Body::from_stream(stream::iter(0..count).then(move |_| async move {
            sleep(pause).await;
            Ok::<_, Infallible>(Bytes::from_static(b"x"))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_drop_by_drop_is_given_up_in_time() {
        let begun = Instant::now();
        assert_eq!(read(drops(usize::MAX, LEAST / 3), 1000, 0).await, Err(Unread::Slow));
        assert_eq!(begun.elapsed(), LEAST);
        assert_eq!(
            read(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()), 9, 9).await,
            Err(Unread::Slow)
        );
        // A large one has longer.
        assert_eq!(read(drops(4, LEAST / 3), PACE * 60, 0).await, Ok(b"xxxx".to_vec()));
    }

    #[tokio::test]
    async fn a_body_has_a_limit_and_an_end() {
        assert_eq!(read(Body::from("abc"), 3, 0).await, Ok(b"abc".to_vec()));
        assert_eq!(read(Body::from("abcd"), 3, 0).await, Err(Unread::TooLarge));
        assert_eq!(read(drops(10, Duration::ZERO), 3, 100).await, Err(Unread::TooLarge));
        let cut = stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))]);
        assert_eq!(read(Body::from_stream(cut), 9, 0).await, Err(Unread::Cut));
    }
}
