//! Work that outlives the call which caused it: futures that the node's host carries out.

use parking_lot::Mutex;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Something to be carried out.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What waits to be carried out, in order.
#[derive(Default)]
pub(crate) struct WorkQueue {
    inner: Mutex<(Vec<Work>, Option<Waker>)>,
}

impl std::fmt::Debug for WorkQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkQueue").field("waiting", &self.inner.lock().0.len()).finish()
    }
}

impl WorkQueue {
    pub(crate) fn push(&self, work: Work) {
        let waker = {
            let mut inner = self.inner.lock();
            inner.0.push(work);
            inner.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Everything that waits; pending while there is nothing.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Vec<Work>> {
        let mut inner = self.inner.lock();
        if inner.0.is_empty() {
            inner.1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut inner.0))
    }
}
