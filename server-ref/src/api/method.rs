//! The methods of the HTTP API: their names, and what each does. Thin over [`Handle`].

use super::{CallError, request, result};
use crate::serve::{Ended, Handle};
use homing_core::wire::ErrorCode;
use serde::{Deserialize, Serialize};
use serde_path_to_error::Segment;

/// A method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One message to one channel.
    Publish,
    /// One message to many channels.
    Broadcast,
    /// Subscribes connections.
    Subscribe,
    /// Ends subscriptions.
    Unsubscribe,
    /// Ends connections.
    Disconnect,
    /// Moves the expiry of connections.
    Refresh,
    /// Who is in a channel.
    Presence,
    /// How many are.
    PresenceStats,
    /// What was published.
    History,
    /// Drops what was published.
    HistoryRemove,
    /// Channels that somebody is subscribed to.
    Channels,
    /// How the nodes are.
    Info,
    /// Several commands at once.
    Batch,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Publish,
        Self::Broadcast,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Disconnect,
        Self::Refresh,
        Self::Presence,
        Self::PresenceStats,
        Self::History,
        Self::HistoryRemove,
        Self::Channels,
        Self::Info,
        Self::Batch,
    ];

    /// Its name in paths and batches.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Broadcast => "broadcast",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::Disconnect => "disconnect",
            Self::Refresh => "refresh",
            Self::Presence => "presence",
            Self::PresenceStats => "presence_stats",
            Self::History => "history",
            Self::HistoryRemove => "history_remove",
            Self::Channels => "channels",
            Self::Info => "info",
            Self::Batch => "batch",
        }
    }

    /// The method with this name.
    pub(super) fn named(name: &str) -> Result<Self, CallError> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| CallError::because(ErrorCode::MethodNotFound, format!("{name:.64}")))
    }

    /// Carries out one that is no batch; the answer is the JSON of its result.
    pub(super) async fn call(self, handle: &Handle, body: &[u8]) -> Result<String, CallError> {
        match self {
            Self::Publish => {
                let (channel, (data, options)) = read::<request::Publish<'_>>(body)?.message()?;
                encode(&result::Published::from(handle.publish(&channel, &data, options).await?))
            }
            Self::Broadcast => {
                let (channels, (data, options)) = read::<request::Broadcast<'_>>(body)?.message()?;
                let all = handle.broadcast(&channels, &data, options).await?;
                encode(&result::Broadcasted::from(all))
            }
            Self::Subscribe => {
                let (whom, channel, admission) = read::<request::Subscribe<'_>>(body)?.parts()?;
                told(handle.subscribe(whom, &channel, admission).await)
            }
            Self::Unsubscribe => {
                let (whom, channel) = read::<request::Unsubscribe>(body)?.whom();
                told(handle.unsubscribe(whom, &channel, Ended::unsubscribe()).await)
            }
            Self::Disconnect => {
                let (whom, with) = read::<request::Disconnect>(body)?.parts();
                let ended = with
                    .map_or_else(Ended::disconnect, |with| Ended { code: with.code, reason: with.reason });
                told(handle.disconnect(whom, ended).await)
            }
            Self::Refresh => {
                let (whom, refreshed) = read::<request::Refresh<'_>>(body)?.parts()?;
                told(match refreshed {
                    None => handle.expire(whom).await,
                    Some(refreshed) => handle.refresh(whom, refreshed).await,
                })
            }
            Self::Presence => {
                let snapshot = handle.presence(&read::<request::OfChannel<'_>>(body)?.channel).await?;
                encode(&result::Presence::from(&snapshot))
            }
            Self::PresenceStats => {
                let stats = handle.presence_stats(&read::<request::OfChannel<'_>>(body)?.channel).await?;
                encode(&result::PresenceStats::from(stats))
            }
            Self::History => {
                let (channel, query) = read::<request::History<'_>>(body)?.query();
                encode(&result::History::from(&handle.history(&channel, query).await?))
            }
            Self::HistoryRemove => {
                handle.remove_history(&read::<request::OfChannel<'_>>(body)?.channel).await?;
                encode(&result::Done {})
            }
            Self::Channels => {
                let pattern = read::<request::Channels>(or_empty(body))?.pattern.unwrap_or_default();
                encode(&result::Channels::from(handle.channels(&pattern).await?))
            }
            Self::Info => {
                read::<request::Info>(or_empty(body))?;
                encode(&result::Info::from(handle.info().await?))
            }
            Self::Batch => Err(CallError::bad_request("a batch within a batch")),
        }
    }
}

fn told(reached: Result<crate::serve::Reached, CallError>) -> Result<String, CallError> {
    encode(&result::Told::from(reached?))
}

/// Methods that need nothing may be called with nothing.
fn or_empty(body: &[u8]) -> &[u8] {
    if body.trim_ascii().is_empty() { b"{}" } else { body }
}

/// Reads a body; where it does not fit, once more to find the place.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, CallError> {
    // serde would take an array for an object too.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(CallError::bad_request("expected an object"));
    }
    serde_json::from_slice(body).map_err(|plain| {
        let again = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(body));
        match again {
            Err(error) if error.path().iter().any(|segment| !matches!(segment, Segment::Unknown)) => {
                CallError::bad_request(format!("{}: {}", error.path(), error.inner()))
            }
            Err(_) | Ok(_) => CallError::bad_request(plain),
        }
    })
}

pub(super) fn encode<T: Serialize>(result: &T) -> Result<String, CallError> {
    serde_json::to_string(result).map_err(|_| ErrorCode::Internal.into())
}
