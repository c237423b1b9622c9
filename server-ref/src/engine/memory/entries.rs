//! The memory engine's map: entries by key, each with its lease. A lapsed entry is absent to every method.

use super::{Entry, Join, Leave, Left, Position, Renewal, Renewed, Snapshot, Stats};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Default)]
pub(super) struct Entries {
    by_key: BTreeMap<Arc<str>, Held>,
}

struct Held {
    owner: Arc<str>,
    value: Bytes,
    birth: Position,
    until: i64,
    announce: bool,
}

impl Entries {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub(super) fn until(&self, key: &str, birth: Position) -> Option<i64> {
        self.by_key.get(key).filter(|held| held.birth == birth).map(|held| held.until)
    }

    /// Removes the entry under `key` if it has lapsed; inside, its value where its going is announced.
    pub(super) fn lapse(&mut self, key: &str, now: i64) -> Option<Option<Bytes>> {
        if self.by_key.get(key)?.until > now {
            return None;
        }
        let held = self.by_key.remove(key)?;
        Some(held.announce.then_some(held.value))
    }

    /// Whether an entry was there before.
    pub(super) fn insert(&mut self, join: Join, birth: Position, until: i64) -> bool {
        let Join { key, owner, value, announce, .. } = join;
        self.by_key.insert(key, Held { owner, value, birth, until, announce }).is_some()
    }

    fn live(&mut self, key: &str, now: i64) -> Option<&mut Held> {
        self.by_key.get_mut(key).filter(|held| held.until > now)
    }

    pub(super) fn renew(&mut self, renewal: &Renewal, now: i64, until: i64) -> Renewed {
        match self.live(&renewal.key, now) {
            None => Renewed::Absent,
            Some(held) if held.birth != renewal.birth => Renewed::Fenced,
            Some(held) => {
                held.until = until;
                Renewed::Renewed
            }
        }
    }

    /// What happened, and the value to be announced.
    pub(super) fn leave(&mut self, leave: &Leave, now: i64) -> (Left, Option<Bytes>) {
        let Some(held) = self.live(&leave.key, now) else { return (Left::Absent, None) };
        if leave.birth.is_some_and(|birth| birth != held.birth) {
            return (Left::Fenced, None);
        }
        let held = self.by_key.remove(&leave.key).expect("a live entry is there");
        (Left::Removed, held.announce.then_some(held.value))
    }

    pub(super) fn snapshot(&self, limit: u32, now: i64) -> Snapshot {
        let limit = limit as usize;
        let mut live = self.by_key.iter().filter(|(_, held)| held.until > now);
        let entry = |(key, held): (&Arc<str>, &Held)| Entry {
            key: Arc::clone(key),
            value: held.value.clone(),
            birth: held.birth,
        };
        let entries = live.by_ref().take(limit).map(entry).collect();
        Snapshot { entries, more: live.next().is_some() }
    }

    pub(super) fn stats(&self, now: i64) -> Stats {
        let live = || self.by_key.values().filter(|held| held.until > now);
        let owners: BTreeSet<_> = live().map(|held| &held.owner).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Stats { entries: count(live().count()), owners: count(owners.len()) }
    }
}
