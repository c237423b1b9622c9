//! How much each user has brought into being in memory. A head or record carries its [`Claim`] and moves its end
//! with its own; nobody has to give one back.

use crate::engine::{EngineError, Owner};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Until when something lives that counts for a user.
#[derive(Clone)]
pub(super) struct Claim(Arc<AtomicI64>);

impl Claim {
    /// What it stands for lives until then.
    pub(super) fn lives_until(&self, until: i64) {
        self.0.store(until, Ordering::Relaxed);
    }
}

#[derive(Default)]
pub(super) struct Owners {
    claims: Mutex<HashMap<Arc<str>, Vec<Arc<AtomicI64>>, RandomState>>,
}

impl Owners {
    /// Counts something that lives until then; `None` where nobody's limit counts.
    pub(super) fn claim(
        &self,
        owner: Option<&Owner>,
        now: i64,
        until: i64,
    ) -> Result<Option<Claim>, EngineError> {
        let Some(Owner { user, limit }) = owner.filter(|owner| owner.limit > 0) else { return Ok(None) };
        let mut claims = self.claims.lock();
        let theirs = claims.entry(Arc::clone(user)).or_default();
        if theirs.len() >= (*limit as usize).min(theirs.capacity()) {
            theirs.retain(|until| until.load(Ordering::Relaxed) > now);
        }
        if theirs.len() >= *limit as usize {
            return Err(EngineError::TooMany { limit: *limit });
        }
        let claim = Arc::new(AtomicI64::new(until));
        theirs.push(Arc::clone(&claim));
        Ok(Some(Claim(claim)))
    }

    /// Forgets users of whom nothing is left.
    pub(super) fn sweep(&self, now: i64) {
        self.claims.lock().retain(|_, theirs| {
            theirs.retain(|until| until.load(Ordering::Relaxed) > now);
            !theirs.is_empty()
        });
    }
}
