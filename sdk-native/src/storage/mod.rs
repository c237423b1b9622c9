//! Where an outbox and positions outlive the process: one trait, a database file, and memory.
//!
//! Owns the trait and what can go wrong with it. A storage knows nothing of what it keeps: the formats are the
//! core's, which gives the orders; [`keeper`] carries them out on a thread of its own.

#[cfg(test)]
mod contract;
mod file;
mod keeper;
mod memory;

pub use file::FileStorage;
pub(crate) use keeper::Keeper;
pub use memory::MemoryStorage;

use homing_core::{Error, ErrorCode, Record, Scope, StorageOp};

/// A map of text by text for each scope, which outlives the client.
///
/// The client calls it from one thread of its own, one call at a time, so an implementation may block. It is
/// dropped when the client has ended.
pub trait Storage: Send + 'static {
    /// Claims the data of a scope, and reads all of it. What was open before is not written to any more.
    ///
    /// # Errors
    /// [`StorageError::InUse`] while another client has it, so that nobody's messages are sent by two; whatever
    /// else makes it unusable. Nothing has changed then, and the client goes on in memory.
    fn open(&mut self, scope: &Scope) -> Result<Vec<Record>, StorageError>;

    /// Applies all of this to the open scope, in this order, or nothing of it. When it returns, a crash of the
    /// process and a loss of power leave it as it is.
    ///
    /// # Errors
    /// What it failed with. The client writes nothing more, and goes on in memory.
    fn write(&mut self, ops: &[StorageOp]) -> Result<(), StorageError>;

    /// Erases everything in the open scope.
    ///
    /// # Errors
    /// What it failed with.
    fn erase(&mut self) -> Result<(), StorageError>;
}

impl<S: Storage + ?Sized> Storage for Box<S> {
    fn open(&mut self, scope: &Scope) -> Result<Vec<Record>, StorageError> {
        (**self).open(scope)
    }

    fn write(&mut self, ops: &[StorageOp]) -> Result<(), StorageError> {
        (**self).write(ops)
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        (**self).erase()
    }
}

/// Why a storage cannot be used. The client tells it as [`ClientEvent::Error`](crate::ClientEvent), with the
/// code [`ErrorCode::StorageFailed`] or [`ErrorCode::StorageFromFuture`], and goes on in memory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another client has it: in this process or in another one.
    #[error("{what} is in use by another client")]
    InUse {
        /// The file, or whatever it is.
        what: String,
    },
    /// It was written by a newer version, and is left as it is.
    #[error("{what} was written in a newer format: {why}")]
    FromFuture {
        /// The file, or whatever it is.
        what: String,
        /// What is new about it.
        why: String,
    },
    /// It cannot be read, and is left as it is.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// The file, or whatever it is.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// It failed otherwise: it is not allowed, the disk is full or broken.
    #[error("{what} cannot be used: {why}")]
    Failed {
        /// The file, or whatever it is.
        what: String,
        /// The words of the operating system or of the library.
        why: String,
    },
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let code = match &error {
            StorageError::FromFuture { .. } => ErrorCode::StorageFromFuture,
            StorageError::InUse { .. } | StorageError::Damaged { .. } | StorageError::Failed { .. } => {
                ErrorCode::StorageFailed
            }
        };
        Self::new(code).with_detail(&error.to_string())
    }
}
