//! What an app reads from: messages of a channel, events of a channel, events of the client.
//!
//! Every stream has a bounded buffer, says when it lagged, and is cancel-safe: a `next()` that is dropped
//! loses nothing. Dropping a stream of a channel gives its interest up.

mod catch_up;
mod echo;
mod events;
mod feed;
mod messages;
mod progress;

pub(crate) use echo::Board;
pub use echo::Echo;
pub use events::{ChannelEvents, ClientEvent, ClientEvents};
pub use feed::{BufferLimits, Lagged};
pub(crate) use feed::{FeedReceiver, FeedSender, Keep, Next, feed};
pub(crate) use messages::Fed;
pub use messages::{Delivery, Messages};
pub(crate) use progress::Progress;

use crate::{
    client::Shared,
    driver::{Command, InterestId},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What a stream holds of its channel: given back when it is dropped.
pub(crate) struct Interest {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: InterestId,
    /// Whether the handle that the stream came from has left: nothing is delivered after that.
    pub(crate) left: Arc<AtomicBool>,
}

impl Interest {
    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.shared.tell(Command::Release(self.id));
    }
}
