//! A storage that outlives the client, but not the process.

use super::{Storage, StorageError};
use homing_core::{Record, Scope, StorageOp};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Data = BTreeMap<Box<str>, Box<str>>;
type Owner = (Box<str>, Box<str>);

/// A storage in memory: for tests, and for a program that makes its client anew. Clones share the data, so one
/// of them can be kept while another is given to a client.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    shared: Arc<Mutex<BTreeMap<Owner, Scoped>>>,
    open: Option<Owner>,
}

#[derive(Debug, Default)]
struct Scoped {
    data: Data,
    claimed: bool,
}

impl MemoryStorage {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Owner, Scoped>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_open<T>(&self, act: impl FnOnce(&mut Data) -> T) -> Result<T, StorageError> {
        let mut scopes = self.lock();
        let scoped = self.open.as_ref().and_then(|owner| scopes.get_mut(owner));
        scoped.map(|scoped| act(&mut scoped.data)).ok_or_else(|| StorageError::Failed {
            what: "the storage in memory".into(),
            why: "no scope is open".into(),
        })
    }

    fn release(&mut self) {
        if let Some(owner) = self.open.take()
            && let Some(scoped) = self.lock().get_mut(&owner)
        {
            scoped.claimed = false;
        }
    }
}

impl Clone for MemoryStorage {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), open: None }
    }
}

impl Drop for MemoryStorage {
    fn drop(&mut self) {
        self.release();
    }
}

impl Storage for MemoryStorage {
    fn open(&mut self, scope: &Scope) -> Result<Vec<Record>, StorageError> {
        self.release();
        let owner = (scope.server.clone(), scope.user.clone());
        let mut scopes = self.lock();
        let scoped = scopes.entry(owner.clone()).or_default();
        if std::mem::replace(&mut scoped.claimed, true) {
            return Err(StorageError::InUse { what: "the storage in memory".into() });
        }
        let records = scoped.data.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        drop(scopes);
        self.open = Some(owner);
        Ok(records)
    }

    fn write(&mut self, ops: &[StorageOp]) -> Result<(), StorageError> {
        self.with_open(|data| {
            for op in ops {
                match op {
                    StorageOp::Put { key, value } => drop(data.insert(key.clone(), value.clone())),
                    StorageOp::Delete { key } => drop(data.remove(key)),
                }
            }
        })
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        self.with_open(Data::clear)
    }
}
