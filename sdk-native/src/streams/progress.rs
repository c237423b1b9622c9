//! How far a durable reader has processed its channel.
//!
//! Owns the newest place that the driver has not taken yet: one value, however fast the reader is.

use homing_core::Position;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Option<Position>>);

impl Progress {
    /// Whether the driver has to be told that there is something to take.
    pub(crate) fn put(&self, position: Position) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(position).is_none()
    }

    pub(crate) fn take(&self) -> Option<Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
