//! How far the app has come in each channel that it wants to continue after a restart.

use super::{StorageOp, records};
use crate::{ChannelKey, Instant, Position, RealtimeClient};
use alloc::{boxed::Box, vec::Vec};

#[derive(Debug)]
struct Kept {
    channel: Box<str>,
    position: Position,
    dirty: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Positions(Vec<Kept>);

impl Positions {
    fn find(&mut self, channel: &str) -> Option<&mut Kept> {
        self.0.iter_mut().find(|kept| *kept.channel == *channel)
    }

    pub(crate) fn restored(&mut self, channel: &str, position: Position) {
        self.0.push(Kept { channel: channel.into(), position, dirty: false });
    }

    pub(crate) fn of(&self, channel: &str) -> Option<&Position> {
        self.0.iter().find(|kept| *kept.channel == *channel).map(|kept| &kept.position)
    }

    pub(crate) fn move_to(&mut self, channel: &str, position: Position) {
        match self.find(channel) {
            Some(kept) if kept.position == position => {}
            Some(kept) => (kept.position, kept.dirty) = (position, true),
            None => self.0.push(Kept { channel: channel.into(), position, dirty: true }),
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        self.0.iter().any(|kept| kept.dirty)
    }

    pub(crate) fn write(&mut self, ops: &mut Vec<StorageOp>) {
        for kept in self.0.iter_mut().filter(|kept| kept.dirty) {
            kept.dirty = false;
            ops.push(records::position(&kept.channel, &kept.position));
        }
    }
}

impl RealtimeClient {
    /// The app has processed everything of a durable channel up to `position`: after a restart it continues
    /// behind it. Harmless for other channels.
    pub fn processed(&mut self, now: Instant, channel: ChannelKey, position: &Position) {
        self.advance_to(now);
        if let Some(channel) = self.channels.get(channel)
            && channel.options.durable
        {
            self.storage.positions.move_to(&channel.name, position.clone());
        }
    }

    /// How far the app has processed a durable channel, in this life or in an earlier one; `None`: nothing is
    /// known.
    #[must_use]
    pub fn processed_position(&self, channel: ChannelKey) -> Option<&Position> {
        let channel = self.channels.get(channel).filter(|channel| channel.options.durable)?;
        self.storage.positions.of(&channel.name)
    }
}
