//! The connections of this node, and which of them belong to whom.

use crate::hub::Connection;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use slab::Slab;
use std::sync::Arc;

/// The connections of this node.
#[derive(Default)]
pub struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    all: Slab<Arc<Connection>>,
    by_user: HashMap<Arc<str>, Vec<Arc<Connection>>, RandomState>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("connections", &self.len()).finish()
    }
}

impl Inner {
    fn disclaim(&mut self, connection: &Arc<Connection>, user: &Arc<str>) {
        if let Some(theirs) = self.by_user.get_mut(user) {
            if let Some(at) = theirs.iter().position(|one| Arc::ptr_eq(one, connection)) {
                theirs.swap_remove(at);
            }
            if theirs.is_empty() {
                self.by_user.remove(user);
            }
        }
    }
}

/// Place of a connection in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered(usize);

/// There are as many connections as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} connections are there, which is the limit")]
pub struct Refused {
    /// The limit.
    pub limit: usize,
}

impl Registry {
    /// Adds a connection; at most `limit`, 0 being no limit.
    ///
    /// # Errors
    /// There are too many.
    pub fn add(&self, connection: &Arc<Connection>, limit: usize) -> Result<Registered, Refused> {
        let mut inner = self.inner.lock();
        if limit > 0 && inner.all.len() >= limit {
            return Err(Refused { limit });
        }
        Ok(Registered(inner.all.insert(Arc::clone(connection))))
    }

    /// Notes whose connection it is; at most `limit` of one user, 0 being no limit.
    ///
    /// # Errors
    /// There are too many.
    pub fn claim(&self, connection: &Arc<Connection>, user: &Arc<str>, limit: usize) -> Result<(), Refused> {
        if user.is_empty() {
            return Ok(());
        }
        let mut inner = self.inner.lock();
        let theirs = inner.by_user.entry(Arc::clone(user)).or_default();
        if limit > 0 && theirs.len() >= limit {
            return Err(Refused { limit });
        }
        theirs.push(Arc::clone(connection));
        Ok(())
    }

    /// Removes a connection.
    pub fn remove(&self, place: Registered, connection: &Arc<Connection>, user: &Arc<str>) {
        let mut inner = self.inner.lock();
        inner.all.try_remove(place.0);
        inner.disclaim(connection, user);
    }

    /// Forgets whose connection it is.
    pub fn disclaim(&self, connection: &Arc<Connection>, user: &Arc<str>) {
        self.inner.lock().disclaim(connection, user);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.lock().all.len()
    }

    /// How many different users there are among them; those without a name are not counted.
    #[must_use]
    pub fn users(&self) -> usize {
        self.inner.lock().by_user.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them at this moment.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.inner.lock().all.iter().map(|(_, connection)| Arc::clone(connection)).collect()
    }

    /// Those of one user at this moment.
    #[must_use]
    pub fn of_user(&self, user: &str) -> Vec<Arc<Connection>> {
        self.inner.lock().by_user.get(user).cloned().unwrap_or_default()
    }
}
