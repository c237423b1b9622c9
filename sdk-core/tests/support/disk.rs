//! A storage on virtual time: batches are applied whole and in order, late, and not at all when it is broken.

use super::Dice;
use homing_core::*;
use std::collections::BTreeMap;

type Data = BTreeMap<Box<str>, Box<str>>;

/// Something that the storage was asked, and has not answered.
#[derive(Clone, Debug)]
pub enum Done {
    Opened(Scope),
    Written(WriteId),
}

#[derive(Default)]
pub struct Disk {
    /// By server and user.
    pub scopes: BTreeMap<(Box<str>, Box<str>), Data>,
    open: Option<(Box<str>, Box<str>)>,
    pending: Option<(WriteId, Vec<StorageOp>)>,
    /// Most milliseconds that an answer takes.
    pub slow: u64,
    pub broken: bool,
    pub writes: u64,
}

impl Disk {
    pub fn delay(&self, dice: &mut Dice) -> u64 {
        dice.below(self.slow + 1)
    }

    pub fn execute(&mut self, order: StorageOrder) -> Option<Done> {
        match order {
            StorageOrder::Open { scope } => {
                self.apply();
                self.open = Some((scope.server.clone(), scope.user.clone()));
                Some(Done::Opened(scope))
            }
            StorageOrder::Write { write, ops } => {
                // A client that leaves a scope or closes does not wait for what is under way.
                self.apply();
                self.writes += 1;
                self.pending = Some((write, ops));
                Some(Done::Written(write))
            }
            StorageOrder::Erase => {
                self.pending = None;
                if let Some(open) = &self.open {
                    self.scopes.remove(open);
                }
                None
            }
        }
    }

    pub fn finish(&mut self, done: Done) -> Input<'static> {
        match done {
            Done::Opened(_) if self.broken => {
                Input::StorageOpened { records: Err(Error::new(ErrorCode::StorageFailed)) }
            }
            Done::Opened(scope) => {
                let data = self.scopes.get(&(scope.server, scope.user)).cloned().unwrap_or_default();
                Input::StorageOpened { records: Ok(data.into_iter().collect()) }
            }
            Done::Written(write) if self.broken => {
                self.pending = None;
                Input::Stored { write, result: Err("broken".into()) }
            }
            Done::Written(write) => {
                if self.pending.as_ref().is_some_and(|(pending, _)| *pending == write) {
                    self.apply();
                }
                Input::Stored { write, result: Ok(()) }
            }
        }
    }

    fn apply(&mut self) {
        let (Some((_, ops)), Some(open)) = (self.pending.take(), &self.open) else { return };
        let data = self.scopes.entry(open.clone()).or_default();
        for op in ops {
            match op {
                StorageOp::Put { key, value } => drop(data.insert(key, value)),
                StorageOp::Delete { key } => drop(data.remove(&key)),
            }
        }
    }

    /// What was under way is there, or not.
    pub fn crash(&mut self, dice: &mut Dice) {
        if dice.chance(50) {
            self.apply();
        }
        self.pending = None;
        self.open = None;
    }
}
