//! A durable storage on virtual time: batches are applied whole and in order, late, and not at all when it is
//! broken. Several instances may share one; each owns the producers that it has claimed, as tabs do by a lock.

use super::dice::Dice;
use homing_core::{Error, ErrorCode, Record, StorageOp, WriteId};
use std::collections::BTreeMap;

/// An instance of a client.
pub(crate) type Owner = (usize, u32);

#[derive(Default)]
pub(crate) struct Disk {
    data: BTreeMap<Box<str>, Box<str>>,
    copy: Option<BTreeMap<Box<str>, Box<str>>>,
    claims: BTreeMap<Box<str>, Owner>,
    /// Who has opened it and lives.
    pub(crate) open: Vec<Owner>,
    pending: BTreeMap<Owner, (WriteId, Vec<StorageOp>)>,
    /// Who waits for an answer.
    asked: BTreeMap<Owner, WriteId>,
    /// Writes that failed before they were answered.
    failed: BTreeMap<Owner, WriteId>,
    /// Most milliseconds that an answer takes.
    pub(crate) slow: u64,
    pub(crate) fails: bool,
    /// An earlier state was brought back.
    pub(crate) went_back: bool,
}

/// The producer that a record belongs to.
fn producer(key: &str) -> Option<&str> {
    let (kind, rest) = key.split_once('/')?;
    matches!(kind, "p" | "l" | "e").then(|| rest.split('/').next().unwrap_or(rest))
}

impl Disk {
    pub(crate) fn new(slow: u64) -> Self {
        Self { slow, ..Self::default() }
    }

    pub(crate) fn delay(&self, dice: &mut Dice) -> u64 {
        1 + dice.below(self.slow + 1)
    }

    pub(crate) fn opened(&mut self, owner: Owner) -> Result<Vec<Record>, Error> {
        if self.fails {
            return Err(Error::new(ErrorCode::StorageFailed));
        }
        self.open.push(owner);
        Ok(self.claim(owner))
    }

    /// Everything that nobody else has claimed.
    fn claim(&mut self, owner: Owner) -> Vec<Record> {
        let free =
            |key: &str| producer(key).is_none_or(|id| self.claims.get(id).is_none_or(|of| *of == owner));
        let all = self.data.iter().filter(|(key, _)| free(key));
        let all: Vec<Record> = all.map(|(key, value)| (key.clone(), value.clone())).collect();
        for id in all.iter().filter_map(|(key, _)| producer(key)) {
            self.claims.insert(id.into(), owner);
        }
        all
    }

    /// What a dead instance has left to another one that lives.
    pub(crate) fn adopted(&mut self, owner: Owner) -> Vec<Record> {
        if self.fails || !self.open.contains(&owner) {
            return Vec::new();
        }
        let ours: Vec<Box<str>> =
            self.claims.iter().filter(|(_, of)| **of == owner).map(|(id, _)| id.clone()).collect();
        let mut records = self.claim(owner);
        records.retain(|(key, _)| producer(key).is_some_and(|id| !ours.iter().any(|own| **own == *id)));
        records
    }

    pub(crate) fn write(&mut self, owner: Owner, write: WriteId, ops: Vec<StorageOp>, at_once: bool) {
        self.apply(owner);
        for op in &ops {
            let (StorageOp::Put { key, .. } | StorageOp::Delete { key }) = op;
            if let Some(id) = producer(key) {
                self.claims.entry(id.into()).or_insert(owner);
            }
        }
        self.pending.insert(owner, (write, ops));
        self.asked.insert(owner, write);
        if at_once {
            self.apply(owner);
        }
    }

    pub(crate) fn written(&mut self, owner: Owner, write: WriteId) -> Result<(), Box<str>> {
        if self.asked.get(&owner) == Some(&write) {
            self.asked.remove(&owner);
        }
        let is_last = self.pending.get(&owner).is_some_and(|(pending, _)| *pending == write);
        let has_failed = self.failed.get(&owner) == Some(&write);
        if self.fails || has_failed {
            if is_last {
                self.pending.remove(&owner);
            }
            return Err("broken".into());
        }
        if is_last {
            self.apply(owner);
        }
        Ok(())
    }

    pub(crate) fn erase(&mut self, owner: Owner) {
        self.pending.remove(&owner);
        self.data.clear();
    }

    fn apply(&mut self, owner: Owner) {
        let Some((write, ops)) = self.pending.remove(&owner) else { return };
        if self.fails {
            self.failed.insert(owner, write);
            return;
        }
        for op in ops {
            match op {
                StorageOp::Put { key, value } => drop(self.data.insert(key, value)),
                StorageOp::Delete { key } => drop(self.data.remove(&key)),
            }
        }
    }

    /// An instance dies: what was under way is there, or not.
    pub(crate) fn crashed(&mut self, owner: Owner, dice: &mut Dice) {
        if dice.chance(50) {
            self.apply(owner);
        }
        self.pending.remove(&owner);
        self.open.retain(|open| *open != owner);
        self.claims.retain(|_, of| *of != owner);
    }

    /// An instance ends in order: what it has ordered is done.
    pub(crate) fn closed(&mut self, owner: Owner) {
        self.apply(owner);
        self.open.retain(|open| *open != owner);
        self.claims.retain(|_, of| *of != owner);
    }

    pub(crate) fn keep_copy(&mut self) {
        self.copy = Some(self.data.clone());
    }

    pub(crate) fn has_copy(&self) -> bool {
        self.copy.is_some()
    }

    pub(crate) fn go_back(&mut self) {
        if let Some(copy) = &self.copy {
            self.data = copy.clone();
            self.went_back = true;
        }
    }

    pub(crate) fn has_work(&self, owner: Owner) -> bool {
        self.asked.contains_key(&owner)
    }

    /// The kept position of a channel.
    pub(crate) fn position(&self, channel: &str) -> Option<&str> {
        self.data.get(&*format!("o/{channel}")).map(|value| &**value)
    }
}
