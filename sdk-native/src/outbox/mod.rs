//! The app's side of the outbox: what waits to be sent, and what can be done about it.
//!
//! Owns the handle and the stream of changes. The messages themselves are the core's; its driver answers.

mod publishing;

pub use publishing::{Kept, Published, Publishing};
pub(crate) use publishing::{Ticket, message_id};

use crate::{
    client::{Shared, encode},
    driver::{Command, OutboxCommand},
    streams::{FeedReceiver, Lagged, Next, feed},
};
use futures::Stream;
use homing_core::{Error, ErrorCode, OutboxChange, OutboxEntry};
use serde::Serialize;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// The messages that were accepted and have not settled, and those that wait for the app: refused, grown too
/// old, or of unknown outcome. Messages are named by their [id](Publishing::id).
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

impl Outbox {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// How many messages there are, those that are parked included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.room.calls()
    }

    /// Whether there is nothing to lose.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of payload.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shared.room.bytes()
    }

    /// Where accepted messages are kept; waits until that is known, and with it what an earlier life has left in
    /// the outbox. Where the storage belongs to a user whom only the server can name, that takes a connection.
    ///
    /// # Errors
    /// [`ErrorCode::Closed`].
    pub async fn kept(&self) -> Result<Kept, Error> {
        self.ask(|answer| OutboxCommand::WhereKept { answer }).await
    }

    /// All of them, oldest first. Empty after the client's end.
    pub async fn entries(&self) -> Vec<OutboxEntry> {
        self.ask(|answer| OutboxCommand::Entries { answer, feed: None }).await.unwrap_or_default()
    }

    /// All of them, and every change behind that.
    pub async fn observe(&self) -> (Vec<OutboxEntry>, OutboxEvents) {
        let (sender, receiver) = feed(self.shared.buffer);
        let entries = self.ask(|answer| OutboxCommand::Entries { answer, feed: Some(sender) }).await;
        (entries.unwrap_or_default(), OutboxEvents(receiver))
    }

    /// Puts another payload into a message that was never sent.
    ///
    /// # Errors
    /// [`ErrorCode::NotInOutbox`], [`ErrorCode::AlreadySent`], [`ErrorCode::InvalidPayload`],
    /// [`ErrorCode::MessageTooLarge`], [`ErrorCode::QueueFull`], [`ErrorCode::Closed`]; nothing has changed.
    pub async fn edit(&self, id: &str, data: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let data = encode(data)?;
        self.ask(|answer| OutboxCommand::Edit { id: id.into(), data, answer }).await?
    }

    /// Takes back a message that was never sent, or gives up a parked one.
    ///
    /// # Errors
    /// [`ErrorCode::NotInOutbox`], [`ErrorCode::AlreadySent`] while it may still arrive, [`ErrorCode::Closed`].
    pub async fn discard(&self, id: &str) -> Result<(), Error> {
        self.ask(|answer| OutboxCommand::Discard { id: id.into(), answer }).await?
    }

    /// Sends a parked message again, as it is: a new message with a new id, behind those that wait already.
    ///
    /// # Errors
    /// [`ErrorCode::NotInOutbox`], [`ErrorCode::NotParked`], [`ErrorCode::Closed`]; nothing has changed.
    pub async fn retry(&self, id: &str) -> Result<Publishing, Error> {
        self.send_again(id, None).await
    }

    /// Sends a parked message again with another payload.
    ///
    /// # Errors
    /// Those of [`retry`](Self::retry) and of [`edit`](Self::edit).
    pub async fn retry_with(&self, id: &str, data: &(impl Serialize + ?Sized)) -> Result<Publishing, Error> {
        self.send_again(id, Some(encode(data)?)).await
    }

    async fn send_again(&self, id: &str, data: Option<String>) -> Result<Publishing, Error> {
        let (ticket, waiting) = Ticket::new();
        let asked = self.ask(|answer| OutboxCommand::Retry { id: id.into(), data, ticket, answer });
        Ok(Publishing::waiting(self.shared.clone(), asked.await??, waiting))
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> OutboxCommand) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.shared.tell(Command::Outbox(command(answer)));
        answered.await.map_err(|_| Error::new(ErrorCode::Closed))
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("len", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

/// Something happened to a message of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEvent {
    /// The message's id.
    pub id: Box<str>,
    /// What happened.
    pub change: OutboxChange,
    /// The message as it stands; `None`: it has left the outbox.
    pub entry: Option<OutboxEntry>,
}

/// What happens to the messages of the outbox, in order. `Err` tells that older events were left out because
/// nobody read: look at [`entries`](Outbox::entries) again. The stream ends with the client, and does not keep
/// it alive.
pub struct OutboxEvents(FeedReceiver<OutboxEvent>);

impl OutboxEvents {
    /// The next event; `None`: the client is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<OutboxEvent, Lagged>> {
        futures::StreamExt::next(self).await
    }
}

impl Stream for OutboxEvents {
    type Item = Result<OutboxEvent, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx).map(Next::into_event)
    }
}
