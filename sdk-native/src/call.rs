//! Calls that settle: the future an app waits on, and the bound on how many may wait.
//!
//! Owns the way back from the driver. A dropped call is cancelled; a call never outlives its client unsettled.

use crate::{client::Shared, driver::Command};
use homing_core::{Error, ErrorCode, Response};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// Name of a call between its future and the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) u64);

pub(crate) type Settlement = Result<Response, Error>;

/// Something asked of the server. It is under way already; awaiting it gives the answer.
///
/// It settles exactly once. Dropping it cancels it: what was not sent yet never is; of what was sent nobody
/// learns the outcome. Cancel-safe: a `&mut` of it can be awaited in pieces.
#[must_use = "dropping a call cancels it"]
pub struct Call<T> {
    state: State,
    read: fn(Response) -> Result<T, Error>,
}

enum State {
    Waiting { answer: oneshot::Receiver<Settlement>, shared: Arc<Shared>, id: CallId },
    Failed(Error),
    Settled,
}

impl<T> Call<T> {
    pub(crate) fn waiting(
        shared: Arc<Shared>,
        id: CallId,
        answer: oneshot::Receiver<Settlement>,
        read: fn(Response) -> Result<T, Error>,
    ) -> Self {
        Self { state: State::Waiting { answer, shared, id }, read }
    }

    pub(crate) fn failed(error: Error, read: fn(Response) -> Result<T, Error>) -> Self {
        Self { state: State::Failed(error), read }
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let settlement = match &mut self.state {
            State::Waiting { answer, .. } => match Pin::new(answer).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(settlement)) => settlement,
                // The driver ended without an answer: the client is closed.
                Poll::Ready(Err(_)) => Err(Error::new(ErrorCode::Closed)),
            },
            State::Failed(error) => Err(error.clone()),
            State::Settled => Err(Error::new(ErrorCode::Cancelled).with_detail("polled after it settled")),
        };
        self.state = State::Settled;
        Poll::Ready(settlement.and_then(self.read))
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        if let State::Waiting { shared, id, .. } = &self.state {
            shared.tell(Command::Cancel(*id));
        }
    }
}

impl<T> std::fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.state {
            State::Waiting { .. } => "Call(waiting)",
            State::Failed(_) | State::Settled => "Call(settled)",
        })
    }
}

/// How many calls or messages, and how many bytes of payload, may be on their way to the core or wait in it.
///
/// The queue to the driver has no bound of its own: everything in it that carries a payload holds a
/// [`Permit`], and the rest is a word per call.
pub(crate) struct Admission {
    calls: AtomicUsize,
    bytes: AtomicUsize,
    max_calls: usize,
    max_bytes: usize,
}

/// One admitted call; dropped when it settles.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    bytes: usize,
}

impl Admission {
    pub(crate) fn new(max_calls: usize, max_bytes: usize) -> Self {
        Self { calls: AtomicUsize::new(0), bytes: AtomicUsize::new(0), max_calls, max_bytes }
    }

    pub(crate) fn admit(self: &Arc<Self>, bytes: usize) -> Result<Permit, Error> {
        let calls = reserve(&self.calls, 1, self.max_calls);
        calls.map_err(|calls| Error::exceeded(ErrorCode::QueueFull, calls, self.max_calls))?;
        if let Err(bytes) = reserve(&self.bytes, bytes, self.max_bytes) {
            self.calls.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::exceeded(ErrorCode::QueueFull, bytes, self.max_bytes));
        }
        Ok(Permit { admission: self.clone(), bytes })
    }

    /// Takes room for what is there already, whatever the limits.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Permit {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Permit { admission: self.clone(), bytes }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Permit {
    /// What it was given for has another size.
    pub(crate) fn resize(&mut self, bytes: usize) {
        self.admission.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.admission.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

/// Adds `amount` where the sum stays within `maximum`; else tells the sum.
fn reserve(counter: &AtomicUsize, amount: usize, maximum: usize) -> Result<(), usize> {
    let add = |held: usize| held.checked_add(amount).filter(|sum| *sum <= maximum);
    let added = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    added.map(|_| ()).map_err(|held| held.saturating_add(amount))
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.calls.fetch_sub(1, Ordering::Relaxed);
        self.admission.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_is_bounded_in_calls_and_bytes_and_gives_back() {
        let admission = Arc::new(Admission::new(2, 100));
        let first = admission.admit(60).map_err(|error| error.code);
        assert_eq!(admission.admit(60).err().map(|error| error.limit.unwrap().actual), Some(120));
        let second = admission.admit(40);
        assert_eq!(admission.admit(0).err().map(|error| error.code), Some(ErrorCode::QueueFull));
        drop((first, second));
        assert!(admission.admit(100).is_ok());
    }
}
