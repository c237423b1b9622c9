//! What the server keeps, behind three traits: logs of publications, maps of leased entries, and the hints
//! that tell other nodes of a change.
//!
//! An engine call is a request with a completion ([`Call`]). Work begins when the method is called, not when
//! the completion is first polled, and calls made one after the other for one channel take effect in that
//! order. A completion that is dropped cancels nothing. So a host may await calls, and a simulation may hold
//! them back, lose their answers, or carry them out after the caller gave up.
//!
//! [`memory`] needs nothing installed, [`redis`] is what several nodes share. Every engine passes the contract suite in `tests/engine_contract`.

mod log;
mod map;
pub mod memory;
mod position;
mod pubsub;
pub mod redis;

use crate::clock::Millis;
use std::{future::Future, pin::Pin, sync::Arc};

pub use log::{
    Append, Appended, IdempotencyKey, Log, NotAppended, Owner, Page, Publication, REMEMBERED, Reach, Read,
    Retention, Stamp,
};
pub use map::{Entry, Join, Joined, Leave, Left, Map, Part, Reaped, Renewal, Renewed, Snapshot, Stats};
pub use position::{Epoch, Position};
pub use pubsub::{Doubt, Hint, PubSub, Sink};

/// Name of a channel, shared by all that mention it.
pub type Channel = Arc<str>;

/// A completion that is not there yet.
pub type Pending<T, E = EngineError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A request that was made: its completion, or the promise of one. An engine that can answer at once does so
/// without an allocation.
pub enum Call<T, E = EngineError> {
    /// Done already.
    Ready(Result<T, E>),
    /// Under way.
    Pending(Pending<T, E>),
}

impl<T, E> Call<T, E> {
    /// Waits for the completion.
    ///
    /// # Errors
    /// Whatever the request failed with.
    pub async fn finish(self) -> Result<T, E> {
        match self {
            Self::Ready(result) => result,
            Self::Pending(pending) => pending.await,
        }
    }
}

impl<T, E> std::fmt::Debug for Call<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Call::Ready",
            Self::Pending(_) => "Call::Pending",
        })
    }
}

/// Why an engine did not carry out a request, or may not have. All but [`EngineError::TooMany`] are temporary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine cannot be reached; nothing was done.
    #[error("the engine is away, try again in {retry_after} ms")]
    Away {
        /// Milliseconds after which another try makes sense.
        retry_after: Millis,
    },
    /// No completion in time; the request may have been carried out all the same.
    #[error("no answer from the engine in time")]
    Deadline,
    /// The user has as many heads and records as may be; nothing was done.
    #[error(
        "limit exceeded: this user has brought {limit} channels and producers into being, which is the limit"
    )]
    TooMany {
        /// See [`Owner::limit`].
        limit: u32,
    },
    /// The publication is there, and not as safe in time as an ack promises: asking again under the same number
    /// or key is told when it is.
    #[error("published, and not as safe yet as an ack promises")]
    Unconfirmed,
    /// The engine answered with something that it must not answer.
    #[error("the engine broke its contract: {0}")]
    Broken(&'static str),
}

/// All that a node needs of an engine.
pub trait Engine: Log + Map + PubSub {
    /// Whether calls can be expected to succeed at present; the node's readiness follows it.
    fn is_ready(&self) -> bool;

    /// Whether other nodes may be on it.
    fn is_shared(&self) -> bool {
        true
    }

    /// What kind this is, for logs and metrics.
    fn name(&self) -> &'static str;
}
