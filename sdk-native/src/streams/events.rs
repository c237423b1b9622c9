//! Streams of what happens beside messages.

use super::{
    Interest,
    feed::{FeedReceiver, Lagged, Next},
};
use crate::TransportError;
use futures::Stream;
use homing_core::{ChannelEvent, ConnectionState, Error, Health, Json, Position};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Something that happened to the client as a whole.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The connection's state changed.
    Connection(ConnectionState),
    /// The health changed.
    Health(Health),
    /// The server sent a message to this connection.
    ServerMessage(Json),
    /// Something failed that no call waits for; the client goes on by itself unless a transition follows.
    Error(Error),
    /// The server has lost messages of this client that it had acked.
    AckedLost {
        /// To which channel.
        channel: Box<str>,
        /// How many.
        count: u64,
        /// Where the first of them stood, where that is still known.
        from: Option<Position>,
        /// Where the last of them stood.
        to: Option<Position>,
    },
    /// A socket did not open, or broke. A change of the connection's state follows.
    Transport(TransportError),
    /// The server subscribed this connection to a channel.
    ServerSubscribed {
        /// The channel.
        channel: Box<str>,
    },
    /// The server took a channel back that it had subscribed.
    ServerUnsubscribed {
        /// The channel.
        channel: Box<str>,
    },
    /// Something happened in a channel that the server subscribed.
    ServerChannel {
        /// The channel.
        channel: Box<str>,
        /// What happened.
        event: ChannelEvent,
    },
}

/// What happens to the client, in order, from the call of [`events`](crate::RealtimeClient::events) on.
///
/// `Err` tells that older events were left out because nobody read. The stream ends with the client, and does
/// not keep it alive.
pub struct ClientEvents(pub(crate) FeedReceiver<ClientEvent>);

/// What happens to a channel beside its messages: subscribing, subscribed, unsubscribed, who came and went,
/// and errors, in order.
///
/// `Err` tells that older events were left out because nobody read. The stream ends when the subscription has
/// ended for good, when its handle leaves the channel, and when the client closes.
pub struct ChannelEvents {
    pub(crate) feed: FeedReceiver<ChannelEvent>,
    pub(crate) interest: Interest,
}

impl ClientEvents {
    /// The next event; `None`: the client is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<ClientEvent, Lagged>> {
        futures::StreamExt::next(self).await
    }
}

impl ChannelEvents {
    /// The next event; `None`: nothing follows. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<ChannelEvent, Lagged>> {
        futures::StreamExt::next(self).await
    }
}

impl Stream for ClientEvents {
    type Item = Result<ClientEvent, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx).map(Next::into_event)
    }
}

impl Stream for ChannelEvents {
    type Item = Result<ChannelEvent, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.interest.has_left() {
            return Poll::Ready(None);
        }
        self.feed.poll_next(cx).map(Next::into_event)
    }
}
