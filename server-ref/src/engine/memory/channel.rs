//! What the memory engine holds for one channel, behind the channel's own lock.

use super::{Link, Part, entries::Entries, log::Records};

#[derive(Default)]
pub(super) struct State {
    pub(super) log: Option<Box<Records>>,
    here: Option<Box<Entries>>,
    /// The nodes that listen.
    pub(super) listeners: Vec<Link>,
    /// Set when the table has dropped this state: whoever still holds it looks the channel up again.
    pub(super) dead: bool,
}

impl State {
    pub(super) fn entries(&mut self, part: Part) -> &mut Entries {
        match part {
            Part::Here => self.here.get_or_insert_default(),
        }
    }

    pub(super) fn expire(&mut self, now: i64) {
        if let Some(log) = &mut self.log {
            log.expire(now);
            if log.is_over(now) {
                self.log = None;
            }
        }
        if self.here.as_ref().is_some_and(|entries| entries.is_empty()) {
            self.here = None;
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.log.is_none() && self.here.is_none() && self.listeners.is_empty()
    }
}
