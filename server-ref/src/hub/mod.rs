//! Who listens to what on this node: rooms by channel, members by room, and each connection's outgoing
//! queue.
//!
//! A plain structure without time, tasks or engine. Locks are taken in the order shard, room, queue, and
//! none is held across a call of the engine.

mod connection;
mod room;

use crate::engine::Channel;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;
use std::{hash::BuildHasher, sync::Arc};

pub use connection::{Close, Connection, Control, InputRefused, Outgoing};
pub use room::{Activation, Need, NewMember, Room, Ticket};

const SHARDS: usize = 64;

type Table = HashMap<Channel, Arc<Room>, RandomState>;

/// The rooms of a node.
pub struct Hub {
    hasher: RandomState,
    shards: Box<[RwLock<Table>]>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("rooms", &self.rooms()).finish_non_exhaustive()
    }
}

impl Default for Hub {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { hasher: RandomState::default(), shards }
    }
}

impl Hub {
    fn shard(&self, channel: &str) -> &RwLock<Table> {
        // The table inside takes the top and the low bits; the shard is chosen by others.
        &self.shards[(self.hasher.hash_one(channel) >> 24) as usize % SHARDS]
    }

    /// The room of a channel, if anybody is in it.
    #[must_use]
    pub fn room(&self, channel: &str) -> Option<Arc<Room>> {
        self.shard(channel).read().get(channel).cloned()
    }

    /// Puts a member into the channel's room. It hears nothing until it is activated; what happens meanwhile
    /// is held back for it.
    pub fn enter(&self, channel: &Channel, member: NewMember) -> (Arc<Room>, usize) {
        loop {
            let room = self.room(channel).unwrap_or_else(|| {
                let mut table = self.shard(channel).write();
                let room = table.entry(Arc::clone(channel)).or_insert_with(|| Arc::new(Room::new(channel)));
                Arc::clone(room)
            });
            // A room that was removed between the look-up and the lock takes nobody.
            if let Some(slot) = room.enter(&member) {
                return (room, slot);
            }
        }
    }

    /// Removes a room that nobody is in and that listens to no topic; says whether it is gone.
    pub fn remove_idle(&self, room: &Arc<Room>) -> bool {
        let mut table = self.shard(room.channel()).write();
        let removed = room.end_if_idle();
        // A room that was removed before may have a successor under its name.
        if removed && table.get(&**room.channel()).is_some_and(|current| Arc::ptr_eq(current, room)) {
            table.remove(&**room.channel());
            if table.capacity() > 4 * table.len().max(16) {
                table.shrink_to_fit();
            }
        }
        removed
    }

    /// How many rooms there are.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// All rooms at this moment.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Room>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.read().values().cloned());
        }
        all.sort_by(|a, b| a.channel().cmp(b.channel()));
        all
    }
}
