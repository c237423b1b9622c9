//! Streams of what happens beside messages.

use super::{
    Interest,
    feed::{FeedReceiver, Lagged, Next},
};
use crate::TransportError;
use futures::Stream;
use homing_core::{ChannelEvent, ConnectionState, Error, Health, Json};
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

fn poll<T>(feed: &mut FeedReceiver<T>, cx: &mut Context<'_>) -> Poll<Option<Result<T, Lagged>>> {
    feed.poll_next(cx).map(|next| match next {
        Next::Item(item) => Some(Ok(item)),
        Next::Lagged(lost) => Some(Err(Lagged(lost.count))),
        Next::End(_) => None,
    })
}

impl Stream for ClientEvents {
    type Item = Result<ClientEvent, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        poll(&mut self.0, cx)
    }
}

impl Stream for ChannelEvents {
    type Item = Result<ChannelEvent, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.interest.has_left() {
            return Poll::Ready(None);
        }
        poll(&mut self.feed, cx)
    }
}
