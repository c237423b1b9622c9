//! Which other nodes there are: each tells the others every few seconds that it lives, and at its end that it
//! goes. A new one says hello and is greeted at once.

use super::{Node, control::Kind};
use crate::clock::Millis;
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

/// Time between two signs of life.
const BEAT: Millis = 2000;

/// A node that was not heard of for so long is gone.
const GONE: Millis = 3 * BEAT + 1000;

/// By when a new node has been greeted.
const GREETED: Millis = 500;

pub(super) struct Peers {
    heard_at: BTreeMap<Arc<str>, Millis>,
    beat_at: Millis,
    has_said_hello: bool,
    /// From then on every node is known.
    known_from: Millis,
}

impl Peers {
    pub(super) const fn new(now: Millis) -> Self {
        Self { heard_at: BTreeMap::new(), beat_at: now, has_said_hello: false, known_from: now + GREETED }
    }

    /// The nodes that live.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        self.heard_at.keys()
    }

    pub(super) const fn known_from(&self) -> Millis {
        self.known_from
    }

    pub(super) const fn next_beat(&self) -> Millis {
        self.beat_at
    }
}

impl Node {
    /// Tells that this node lives, when it is time to.
    pub(super) fn beat(self: &Arc<Self>, now: Millis) {
        let kind = {
            let mut peers = self.peers.lock();
            if now < peers.beat_at {
                return;
            }
            peers.beat_at = now + BEAT;
            peers.heard_at.retain(|_, heard_at| now.saturating_sub(*heard_at) < GONE);
            if std::mem::replace(&mut peers.has_said_hello, true) {
                Kind::Beat
            } else {
                peers.known_from = now + GREETED;
                Kind::Hello
            }
        };
        if self.engine.is_shared() {
            self.detach(self.send(kind, "*", 0, b""), "beat");
        }
    }

    /// Another node lives.
    pub(super) fn heard_of(&self, peer: &str) {
        let mut peers = self.peers.lock();
        let now = self.now();
        match peers.heard_at.get_mut(peer) {
            Some(heard_at) => *heard_at = now,
            None => {
                peers.heard_at.insert(peer.into(), now);
            }
        }
    }

    /// A new node wants to know who is there.
    pub(super) fn greet(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        self.later(weak, |node| node.detach(node.send(Kind::Beat, "*", 0, b""), "beat"));
    }

    /// Another node has gone: nobody waits for it any more.
    pub(super) fn lost(&self, peer: &str) {
        self.peers.lock().heard_at.remove(peer);
        self.surveys.gone(peer, self.now());
    }

    /// Tells the others that this node goes.
    pub fn say_goodbye(&self) {
        if self.engine.is_shared() {
            self.detach(self.send(Kind::Gone, "*", 0, b""), "goodbye");
        }
    }

    /// How many other nodes live.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.lock().heard_at.len()
    }

    /// Does something once the engine's call that led here has returned.
    pub(super) fn later(&self, weak: Weak<Self>, act: impl FnOnce(&Arc<Self>) + Send + 'static) {
        self.work.push(Box::pin(async move {
            if let Some(node) = weak.upgrade() {
                act(&node);
            }
        }));
    }
}
