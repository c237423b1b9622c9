//! The subscriptions of one session, sorted by channel: there are few, and an idle connection should take
//! little memory.

use crate::{
    clock::Millis,
    engine::{Channel, Page, Position},
    hub::Room,
};
use bytes::Bytes;
use std::sync::Arc;

/// For whom a subscription is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A subscribe command with this id.
    Command(u32),
    /// The connect result, which lists it.
    Connect,
    /// The server's own wish, told in a push.
    Push,
}

/// Names one attempt to subscribe, so that what belongs to an older one is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempt(u32);

pub(super) struct Subscription {
    pub(super) channel: Channel,
    pub(super) attempt: Attempt,
    pub(super) purpose: Purpose,
    /// The room, and the place in it.
    pub(super) membership: Option<(Arc<Room>, usize)>,
    /// What was asked for, until it is answered.
    pub(super) asked: Option<Box<Asked>>,
    /// What publications to this channel say of the client: `{"info":{…}}`.
    pub(super) meta: Bytes,
    /// Whether an entry in the presence was asked for.
    pub(super) joined: bool,
    expiry: Option<Expiry>,
}

/// When a subscription ends unless it is refreshed.
#[derive(Clone, Copy)]
pub(super) struct Expiry {
    /// When its token expires: Unix seconds.
    pub(super) expires_at: i64,
    /// When a hook is asked whether it goes on, on the clock of deadlines; `None`: the client sees to it, or
    /// the hook was asked.
    pub(super) asks_at: Option<Millis>,
    /// When it ends: a while after its expiry, on the clock of deadlines.
    pub(super) ends_at: Millis,
}

/// A subscription that is being made.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) recover: Option<Position>,
    pub(super) reject_unrecovered: bool,
    pub(super) cache: bool,
    pub(super) positioned: bool,
    pub(super) recoverable: bool,
    pub(super) join_leave: bool,
    /// Whether it is to be in the presence.
    pub(super) present: bool,
    /// Whether others are told that it comes and goes.
    pub(super) announced: bool,
    /// JSON for the client.
    pub(super) data: Option<Box<str>>,
    pub(super) page: Option<Page>,
    pub(super) recovered: bool,
    /// It was ended before it began, with this code and reason.
    pub(super) ended: Option<(u32, Box<str>)>,
}

impl Subscription {
    /// Whether the client was told that it is subscribed.
    pub(super) const fn is_active(&self) -> bool {
        self.asked.is_none()
    }

    pub(super) const fn expiry(&self) -> Option<Expiry> {
        self.expiry
    }
}

#[derive(Default)]
pub(super) struct Subscriptions {
    sorted: Vec<Subscription>,
    attempts: u32,
    /// When the first of all ends or is asked about; looked at in every turn of the connection.
    first_due: Option<Millis>,
}

impl Subscriptions {
    fn index(&self, channel: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|one| (*one.channel).cmp(channel))
    }

    pub(super) const fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn find(&self, channel: &str) -> Option<&Subscription> {
        self.index(channel).ok().and_then(|at| self.sorted.get(at))
    }

    pub(super) fn find_mut(&mut self, channel: &str) -> Option<&mut Subscription> {
        self.index(channel).ok().and_then(|at| self.sorted.get_mut(at))
    }

    pub(super) fn attempt_mut(&mut self, attempt: Attempt) -> Option<&mut Subscription> {
        self.sorted.iter_mut().find(|one| one.attempt == attempt)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.sorted.iter()
    }

    /// Adds a subscription to a channel that there is none of.
    pub(super) fn add(&mut self, channel: Channel, purpose: Purpose, asked: Asked, meta: Bytes) -> Attempt {
        self.attempts = self.attempts.wrapping_add(1);
        let attempt = Attempt(self.attempts);
        let at = self.index(&channel).unwrap_or_else(|at| at);
        if self.sorted.len() < 8 {
            self.sorted.reserve_exact(1);
        }
        self.sorted.insert(
            at,
            Subscription {
                channel,
                attempt,
                purpose,
                membership: None,
                asked: Some(Box::new(asked)),
                meta,
                joined: false,
                expiry: None,
            },
        );
        attempt
    }

    pub(super) fn remove(&mut self, channel: &str) -> Option<Subscription> {
        let removed = self.index(channel).ok().map(|at| self.sorted.remove(at));
        if self.sorted.is_empty() {
            self.sorted = Vec::new();
        }
        self.find_first_due();
        removed
    }

    pub(super) fn take_all(&mut self) -> Vec<Subscription> {
        self.first_due = None;
        std::mem::take(&mut self.sorted)
    }

    pub(super) fn set_expiry(&mut self, channel: &str, expiry: Option<Expiry>) {
        if let Some(subscription) = self.find_mut(channel) {
            subscription.expiry = expiry;
            self.find_first_due();
        }
    }

    /// A hook is to be asked about this subscription then.
    pub(super) fn ask_again(&mut self, channel: &str, at: Millis) {
        if let Some(expiry) = self.find_mut(channel).and_then(|one| one.expiry.as_mut()) {
            expiry.asks_at = Some(at);
            self.find_first_due();
        }
    }

    /// Takes the channels about which a hook is to be asked now.
    pub(super) fn take_asked(&mut self, now: Millis) -> Vec<Channel> {
        let mut asked = Vec::new();
        for one in &mut self.sorted {
            if let Some(expiry) = &mut one.expiry
                && expiry.asks_at.is_some_and(|at| at <= now)
            {
                expiry.asks_at = None;
                asked.push(Channel::clone(&one.channel));
            }
        }
        self.find_first_due();
        asked
    }

    fn find_first_due(&mut self) {
        let all = self.sorted.iter().filter_map(|one| one.expiry);
        self.first_due = all.map(|expiry| expiry.asks_at.unwrap_or(Millis::MAX).min(expiry.ends_at)).min();
    }

    pub(super) const fn first_due(&self) -> Option<Millis> {
        self.first_due
    }
}
