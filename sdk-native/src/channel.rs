//! The handle of a channel, and what can be asked about one.

use crate::{
    BufferLimits, Call, ChannelEvents, Messages, Publishing,
    client::{Shared, encode, unexpected},
    driver::{Command, InterestId, Outgoing, OwnerId, Request, Sink},
    outbox::{Ticket, message_id},
    streams::{Interest, feed},
};
use homing_core::{
    ClientInfo, Error, ErrorCode, HistoryQuery, Message, Position, PublishOptions, Response,
    SubscribeOptions, Subscribed, SubscriptionSnapshot,
};
use serde::Serialize;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::oneshot;

/// A page of a channel's history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    /// The messages, in the order that was asked for.
    pub messages: Vec<Message>,
    /// Where the channel stands; `None`: it keeps no position.
    pub position: Option<Position>,
}

/// How many are in a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceStats {
    /// Connections.
    pub clients: u32,
    /// Different users among them.
    pub users: u32,
}

/// A handle of a channel. Clones are the same handle; another call of
/// [`channel`](crate::RealtimeClient::channel) gives an independent one.
///
/// All handles of a channel share one subscription. It exists while somebody reads ([`messages`](Self::messages),
/// [`events`](Self::events)) or has joined ([`join`](Self::join)); the last one to stop leaves the channel.
/// Publishing and asking need no subscription.
#[derive(Clone)]
pub struct Channel {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    name: Box<str>,
    options: SubscribeOptions,
    /// Names the handle, and its interest in the channel while it has joined.
    id: InterestId,
    /// Shared with the streams that were made since the last `leave`.
    left: Mutex<Arc<AtomicBool>>,
}

impl Inner {
    fn left(&self) -> Arc<AtomicBool> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.tell(Command::Release(self.id));
    }
}

impl Channel {
    pub(crate) fn new(shared: Arc<Shared>, name: Box<str>, options: SubscribeOptions) -> Self {
        let id = shared.interest();
        Self { inner: Arc::new(Inner { shared, name, options, id, left: Mutex::default() }) }
    }

    /// A handle of the same channel that is read durably: after a restart it continues from the last message
    /// that the app has processed, and so does a stream that is made anew. What came meanwhile is delivered
    /// first, in order; what the channel no longer has is a gap. The first time it begins with what is
    /// published from then on, or with the backlog of [`messages_from`](Self::messages_from).
    ///
    /// Needs a [storage](crate::Builder::storage), or lasts as long as the client. See [`Messages`] for when a
    /// message counts as processed.
    #[must_use]
    pub fn durable(&self) -> Self {
        let Inner { shared, name, options, .. } = &*self.inner;
        let options = SubscribeOptions { durable: true, recoverable: true, ..options.clone() };
        Self::new(shared.clone(), name.clone(), options)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Subscribes, and waits until the server has confirmed. The channel is held until [`leave`](Self::leave)
    /// or until the handle is dropped, whether anybody reads or not. Cancel-safe: dropping the future does not
    /// leave the channel again. While there is no connection it waits, as long as that takes.
    ///
    /// # Errors
    /// Why the subscription has ended for good: the server's refusal, [`ErrorCode::OptionsConflict`],
    /// [`ErrorCode::InvalidChannel`], [`ErrorCode::Unsubscribed`] after `leave`, [`ErrorCode::Closed`].
    pub async fn join(&self) -> Result<Subscribed, Error> {
        let (answer, joined) = oneshot::channel();
        self.subscribe(self.inner.id, Sink::Join(answer));
        joined.await.unwrap_or_else(|_| Err(Error::new(ErrorCode::Closed)))
    }

    /// Ends everything that this handle holds: its join, and the streams made from it, which give nothing
    /// more. Other handles of the channel are not touched. The handle can be used again.
    pub fn leave(&self) {
        let mut left = self.inner.left.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *left).store(true, Ordering::Release);
        drop(left);
        self.inner.shared.tell(Command::Leave(OwnerId(self.inner.id.0)));
    }

    /// The messages from here on.
    #[must_use]
    pub fn messages(&self) -> Messages {
        self.read(None, self.inner.shared.buffer)
    }

    /// The last `count` messages of the history, then those from here on, without a hole and without
    /// doubles. Where the history cannot be read a gap stands in its place.
    #[must_use]
    pub fn messages_from(&self, count: u32) -> Messages {
        self.read(Some(count).filter(|count| *count > 0), self.inner.shared.buffer)
    }

    /// The messages from here on, through a buffer of another size.
    #[must_use]
    pub fn messages_buffered(&self, buffer: BufferLimits) -> Messages {
        self.read(None, buffer)
    }

    fn read(&self, backlog: Option<u32>, buffer: BufferLimits) -> Messages {
        let (sender, receiver) = feed(buffer);
        let interest = self.interest();
        self.subscribe(interest.id, Sink::Messages(sender));
        Messages::new(receiver, interest, self.inner.name.clone(), backlog, self.inner.options.durable)
    }

    /// What happens to the channel beside its messages, from here on.
    #[must_use]
    pub fn events(&self) -> ChannelEvents {
        let (sender, feed) = feed(self.inner.shared.buffer);
        let interest = self.interest();
        self.subscribe(interest.id, Sink::Events(sender));
        ChannelEvents { feed, interest }
    }

    fn interest(&self) -> Interest {
        let shared = self.inner.shared.clone();
        let id = shared.interest();
        Interest { shared, id, left: self.inner.left() }
    }

    fn subscribe(&self, id: InterestId, sink: Sink) {
        let Inner { shared, name, options, id: owner, .. } = &*self.inner;
        let (owner, channel, options) = (OwnerId(owner.0), name.clone(), options.clone());
        let refused = shared.commands.send(Command::Subscribe { id, owner, channel, options, sink });
        if let Err(error) = refused
            && let Command::Subscribe { sink, .. } = error.0
        {
            sink.refuse(Error::new(ErrorCode::Closed));
        }
    }

    /// The subscription as it stands, whoever holds it. Subscribes nothing.
    pub async fn snapshot(&self) -> SubscriptionSnapshot {
        let (answer, snapshot) = oneshot::channel();
        self.inner.shared.tell(Command::Snapshot { channel: self.inner.name.clone(), answer });
        snapshot.await.unwrap_or_default()
    }

    /// Publishes a message: checks it, gives it an id and a place in the outbox, and returns at once.
    ///
    /// It stays there until it settles once, through cuts and, with a durable storage, through restarts.
    /// Messages of one client to one channel keep the order of these calls. Refused at the call, with nothing
    /// queued: [`ErrorCode::InvalidPayload`], [`ErrorCode::MessageTooLarge`], and [`ErrorCode::QueueFull`] at
    /// the outbox's limit.
    pub fn publish(&self, data: &(impl Serialize + ?Sized)) -> Publishing {
        self.publish_with(data, PublishOptions::default())
    }

    /// Publishes a message in another way: [ephemeral](PublishOptions::ephemeral), or under an id of the app's
    /// own.
    pub fn publish_with(&self, data: &(impl Serialize + ?Sized), options: PublishOptions) -> Publishing {
        let published = encode(data).and_then(|data| self.try_publish(data, options));
        published.unwrap_or_else(Publishing::refused)
    }

    fn try_publish(&self, data: String, mut options: PublishOptions) -> Result<Publishing, Error> {
        let shared = &self.inner.shared;
        let maximum = shared.max_message_bytes();
        if data.len() > maximum {
            return Err(Error::exceeded(ErrorCode::MessageTooLarge, data.len(), maximum));
        }
        let room = if options.ephemeral { &shared.admission } else { &shared.room };
        let permit = room.admit(data.len())?;
        if options.id.is_empty() {
            options.id = message_id()?;
        }
        let (ticket, waiting) = Ticket::new();
        let id = options.id.clone();
        let channel = self.inner.name.clone();
        let message = Outgoing { channel, data, options, ticket, permit };
        shared.commands.send(Command::Publish(message)).map_err(|_| Error::new(ErrorCode::Closed))?;
        Ok(Publishing::waiting(shared.clone(), id, waiting))
    }

    /// Asks for a page of the history.
    pub fn history(&self, query: HistoryQuery) -> Call<HistoryPage> {
        self.inner.shared.history(&self.inner.name, query)
    }

    /// Who is in the channel.
    #[must_use]
    pub const fn presence(&self) -> Presence<'_> {
        Presence { channel: self }
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

/// Who is in a channel, as the server knows it. Asking subscribes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Presence<'a> {
    channel: &'a Channel,
}

impl Presence<'_> {
    /// Every connection in the channel.
    pub fn get(&self) -> Call<Vec<ClientInfo>> {
        let Inner { shared, name, .. } = &*self.channel.inner;
        shared.call(Ok(Request::Presence { channel: name.clone() }), |response| match response {
            Response::Presence(members) => Ok(members),
            _ => Err(unexpected()),
        })
    }

    /// How many there are.
    pub fn stats(&self) -> Call<PresenceStats> {
        let Inner { shared, name, .. } = &*self.channel.inner;
        shared.call(Ok(Request::PresenceStats { channel: name.clone() }), |response| match response {
            Response::PresenceStats { clients, users } => Ok(PresenceStats { clients, users }),
            _ => Err(unexpected()),
        })
    }
}
