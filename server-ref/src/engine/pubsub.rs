//! Hints between nodes. A hint may come late, twice, out of order or not at all: the log is the truth, and
//! the node that gets one checks that it continues what it has.

use super::{Call, Channel, Epoch, Publication};
use bytes::Bytes;
use std::sync::Arc;

/// Topics by channel, and one control topic that every node listens to.
pub trait PubSub: Send + Sync + 'static {
    /// Names whom hints go to. Called once, before any other call.
    fn attach(&self, sink: Arc<dyn Sink>);

    /// Begins to listen to a channel. What is appended after the completion is hinted. Listening twice is
    /// listening once.
    fn subscribe(&self, channel: Channel) -> Call<()>;

    /// Stops listening to a channel.
    fn unsubscribe(&self, channel: Channel) -> Call<()>;

    /// Tells the nodes that listen to the channel something that is kept nowhere.
    fn announce(&self, channel: Channel, hint: Hint) -> Call<()>;

    /// Tells every node, this one included.
    fn control(&self, message: Bytes) -> Call<()>;
}

/// What an engine tells a node about a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A publication was appended; without an epoch the channel keeps nothing.
    Appended(Option<Epoch>, Publication),
    /// An entry came: its value.
    Joined(Bytes),
    /// An entry went: its value.
    Left(Bytes),
}

/// For which channels hints may have been lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Every channel that the node listens to.
    All,
    /// These.
    Channels(Vec<Channel>),
}

/// Takes hints; a node is one. Called with locks of the engine held: it must neither block nor call the
/// engine before it has returned.
pub trait Sink: Send + Sync + 'static {
    /// Something happened in a channel.
    fn handle_hint(&self, channel: &str, hint: Hint);

    /// Hints may have been lost, and the topics are listened to again: the node reads on in the log.
    fn handle_doubt(&self, doubt: Doubt);

    /// A message of [`PubSub::control`].
    fn handle_control(&self, message: Bytes);
}
