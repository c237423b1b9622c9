//! What one subscriber must see: messages and gaps that together are the log, ascending, nothing twice.

use super::World;
use homing_core::{ChannelEvent, ChannelKey, Event, GapReason, Position};

pub struct Reader {
    pub key: ChannelKey,
    pub channel: String,
    pub at: Option<Position>,
    pub seen: u64,
    pub messages: u64,
    pub gaps: u64,
    checked: usize,
}

impl Reader {
    pub fn new(key: ChannelKey, channel: &str) -> Self {
        Self { key, channel: channel.into(), at: None, seen: 0, messages: 0, gaps: 0, checked: 0 }
    }

    /// Checks everything that has been told since the last check.
    pub fn check(&mut self, world: &World) {
        for (_, event) in world.events.iter().skip(self.checked) {
            let Event::Channel { channel, event } = event else { continue };
            if *channel == self.key {
                self.check_event(world, event);
            }
        }
        self.checked = world.events.len();
    }

    fn check_event(&mut self, world: &World, event: &ChannelEvent) {
        match event {
            ChannelEvent::Subscribed(subscribed) => {
                // Only the first one sets the reader down; later ones continue from where it stands.
                self.at = self.at.take().or_else(|| subscribed.position.clone());
            }
            ChannelEvent::Message(message) => {
                let at = self.at.as_mut().expect("a position before the first message");
                assert_eq!(message.offset, at.offset + 1, "the next one, neither twice nor behind a hole");
                at.offset = message.offset;
                let truth = &world.server.archive[&(self.channel.clone(), at.epoch.to_string(), at.offset)];
                assert_eq!(message.data.as_str(), truth, "the payload that the log has there");
                self.messages += 1;
            }
            ChannelEvent::Gap(gap) => {
                let at = self.at.as_mut().expect("a position before the first gap");
                assert_eq!(gap.from.epoch, at.epoch, "a gap begins where the reader stands");
                assert_eq!(gap.from.offset, at.offset + 1, "a gap begins behind the last message");
                let renewed = gap.to.epoch != at.epoch;
                assert_eq!(renewed, gap.reason == GapReason::EpochChanged, "{gap:?}");
                assert!(renewed || gap.to.offset >= gap.from.offset, "a gap is not empty: {gap:?}");
                *at = gap.to.clone();
                self.gaps += 1;
            }
            _ => {}
        }
    }

    /// In a quiet world the reader has arrived where the log stands.
    pub fn check_arrived(&mut self, world: &mut World) {
        self.check(world);
        let log = world.server.log(&self.channel).clone();
        let at = self.at.as_ref().expect("subscribed");
        assert_eq!((&*at.epoch, at.offset), (&*log.epoch, log.offset), "the reader has caught up");
    }
}
