//! One message on its way: the handle that an app keeps of it.
//!
//! Owns the ends of the answers. Dropping it changes nothing: what was accepted stays in the outbox.

use crate::{
    client::{self, unexpected},
    driver::{Command, OutboxCommand},
};
use futures::future::{FutureExt, Shared};
use homing_core::{Error, ErrorCode, Position, Response};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// A message was taken by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its epoch and offset; `None`: the channel keeps no history, or the server does not tell.
    pub position: Option<Position>,
    /// When the server took it, Unix milliseconds; 0: not told.
    pub time: i64,
    /// Whether an earlier sending had brought it there already.
    pub duplicate: bool,
}

/// Where an accepted message is kept until it settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// In the storage: it survives the process.
    Durably,
    /// In memory alone: there is no storage, or it has failed.
    InMemory,
    /// Nowhere: it is ephemeral.
    Nowhere,
}

/// The driver's ends.
pub(crate) struct Ticket {
    pub(crate) answer: oneshot::Sender<Result<Response, Error>>,
    pub(crate) kept: oneshot::Sender<Result<Kept, Error>>,
}

/// The app's ends.
pub(crate) struct Waiting {
    answer: oneshot::Receiver<Result<Response, Error>>,
    kept: oneshot::Receiver<Result<Kept, Error>>,
}

impl Ticket {
    pub(crate) fn new() -> (Self, Waiting) {
        let (answer, answered) = oneshot::channel();
        let (kept, keeping) = oneshot::channel();
        (Self { answer, kept }, Waiting { answer: answered, kept: keeping })
    }
}

/// A message that was handed to the client. Awaiting it gives the server's ack.
///
/// It settles once: [`Published`], the server's refusal, [`ErrorCode::OutboxExpired`] or
/// [`ErrorCode::OutcomeUnknown`] (then it is parked in the [outbox](crate::RealtimeClient::outbox) and can be
/// retried or discarded), [`ErrorCode::Cancelled`] or [`ErrorCode::Closed`]. With a durable storage `Closed`
/// means that it goes on in the next life.
///
/// **Dropping it does not cancel**: the message is sent all the same, and its end can be seen in the outbox.
/// Cancel-safe: a `&mut` of it can be awaited in pieces.
#[must_use = "await it to learn whether the server has taken the message"]
pub struct Publishing {
    id: Box<str>,
    state: State,
    kept: Keeping,
}

enum State {
    Waiting(Arc<client::Shared>, oneshot::Receiver<Result<Response, Error>>),
    Refused(Error),
    Settled,
}

enum Keeping {
    Waiting(Shared<oneshot::Receiver<Result<Kept, Error>>>),
    Refused(Error),
}

impl Publishing {
    pub(crate) fn waiting(shared: Arc<client::Shared>, id: Box<str>, waiting: Waiting) -> Self {
        let Waiting { answer, kept } = waiting;
        Self { id, state: State::Waiting(shared, answer), kept: Keeping::Waiting(kept.shared()) }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self { id: Box::default(), state: State::Refused(error.clone()), kept: Keeping::Refused(error) }
    }

    /// The message's id: readers of the channel and the outbox show it under this name. Empty where it was
    /// [refused](Self::refusal).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Why it was refused at the call, with limit and actual value where a limit was exceeded. Nothing was
    /// queued, and awaiting it gives the same error.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Error> {
        match &self.state {
            State::Refused(error) => Some(error),
            State::Waiting(..) | State::Settled => None,
        }
    }

    /// Waits until the message is accepted, and tells where it is kept. Where the storage belongs to a user
    /// whom only the server can name, that takes a connection. Cancel-safe; a second call tells the same. The
    /// future stands by itself: it can be awaited beside the message's own.
    ///
    /// # Errors
    /// Why it was not accepted, or how it ended before it was.
    pub fn stored(&self) -> impl Future<Output = Result<Kept, Error>> + Send + 'static + use<> {
        let kept = match &self.kept {
            Keeping::Waiting(kept) => Ok(kept.clone()),
            Keeping::Refused(error) => Err(error.clone()),
        };
        async move { kept?.await.unwrap_or_else(|_| Err(Error::new(ErrorCode::Closed))) }
    }

    /// Takes the message back, if it was never handed to a socket; awaiting it then gives
    /// [`ErrorCode::Cancelled`].
    ///
    /// # Errors
    /// [`ErrorCode::AlreadySent`]: it may still arrive. [`ErrorCode::NotInOutbox`]: it has settled, or is
    /// ephemeral.
    pub async fn cancel(&self) -> Result<(), Error> {
        let State::Waiting(shared, _) = &self.state else {
            return Err(Error::new(ErrorCode::NotInOutbox));
        };
        let (answer, answered) = oneshot::channel();
        shared.tell(Command::Outbox(OutboxCommand::Discard { id: self.id.clone(), answer }));
        answered.await.unwrap_or_else(|_| Err(Error::new(ErrorCode::Closed)))
    }
}

impl Future for Publishing {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let settlement = match &mut self.state {
            State::Waiting(_, answer) => match Pin::new(answer).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(settlement)) => settlement,
                // The driver ended without an answer: the client is closed.
                Poll::Ready(Err(_)) => Err(Error::new(ErrorCode::Closed)),
            },
            State::Refused(error) => Err(error.clone()),
            State::Settled => Err(Error::new(ErrorCode::Cancelled).with_detail("polled after it settled")),
        };
        self.state = State::Settled;
        Poll::Ready(settlement.and_then(|response| match response {
            Response::Published { position, time, duplicate } => Ok(Published { position, time, duplicate }),
            _ => Err(unexpected()),
        }))
    }
}

impl std::fmt::Debug for Publishing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Waiting(..) => "waiting",
            State::Refused(_) => "refused",
            State::Settled => "settled",
        };
        f.debug_struct("Publishing").field("id", &self.id).field("state", &state).finish()
    }
}

/// 120 random bits as 20 characters that may stand in keys and addresses, as the core makes them.
pub(crate) fn message_id() -> Result<Box<str>, Error> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = [0; 20];
    // Without it no two ids could be told apart; the client's own seed came from there, too.
    getrandom::fill(&mut bits)
        .map_err(|error| Error::new(ErrorCode::Unsupported).with_detail(&error.to_string()))?;
    Ok(bits.iter().map(|bits| char::from(LETTERS[usize::from(bits & 63)])).collect::<String>().into())
}
