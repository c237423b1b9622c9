//! Calls that a session has made and that are not complete, each with what is to be done then.
//!
//! Every call has a deadline: behind it the session goes on as if the call had failed.

use super::Session;
use crate::{
    auth::TokenError,
    clock::Millis,
    engine::{Call, EngineError, Pending},
    rpc::ProcedureError,
};
use homing_core::wire::ErrorCode;
use std::task::{Context, Poll};

/// A call under way.
pub(super) trait Waiting: Send {
    /// Asks for the completion.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// When the session stops waiting.
    fn deadline(&self) -> Millis;

    /// Goes on: with the result, or, where there is none, as if it came too late.
    fn finish(self: Box<Self>, session: &mut Session);
}

/// An error that can say that no answer came in time.
pub(super) trait Late {
    fn late() -> Self;
}

impl Late for EngineError {
    fn late() -> Self {
        Self::Deadline
    }
}

impl Late for TokenError {
    fn late() -> Self {
        Self::Unavailable("no answer in time".into())
    }
}

impl Late for ProcedureError {
    fn late() -> Self {
        let code = ErrorCode::Internal;
        Self { code: code.code(), message: "no answer in time".into(), temporary: true }
    }
}

struct Wait<T, E, F> {
    pending: Pending<T, E>,
    result: Option<Result<T, E>>,
    deadline: Millis,
    next: F,
}

impl<T, E, F> Waiting for Wait<T, E, F>
where
    T: Send,
    E: Late + Send,
    F: FnOnce(&mut Session, Result<T, E>) + Send,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.result.is_none() {
            match self.pending.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => self.result = Some(result),
            }
        }
        Poll::Ready(())
    }

    fn deadline(&self) -> Millis {
        self.deadline
    }

    fn finish(self: Box<Self>, session: &mut Session) {
        let Self { result, next, .. } = *self;
        next(session, result.unwrap_or_else(|| Err(E::late())));
    }
}

impl Session {
    /// Goes on with `next` when the call is complete: at once if it is.
    pub(super) fn then<T, E, F>(&mut self, call: Call<T, E>, next: F)
    where
        T: Send + 'static,
        E: Late + Send + 'static,
        F: FnOnce(&mut Self, Result<T, E>) + Send + 'static,
    {
        self.then_within(call, self.node.config.engine.call_timeout.millis(), next);
    }

    /// The same, where the call may take so many milliseconds.
    pub(super) fn then_within<T, E, F>(&mut self, call: Call<T, E>, patience: Millis, next: F)
    where
        T: Send + 'static,
        E: Late + Send + 'static,
        F: FnOnce(&mut Self, Result<T, E>) + Send + 'static,
    {
        match call {
            Call::Ready(result) => next(self, result),
            Call::Pending(pending) => {
                let deadline = self.node.now() + patience;
                self.calls.push(Box::new(Wait { pending, result: None, deadline, next }));
            }
        }
    }

    /// Polls the calls under way and goes on where one is complete; `cx` is woken when another may be.
    pub fn poll_calls(&mut self, cx: &mut Context<'_>) {
        if self.calls.is_empty() {
            return;
        }
        let mut at = 0;
        while at < self.calls.len() {
            if self.calls[at].poll(cx).is_pending() {
                at += 1;
                continue;
            }
            let done = self.calls.remove(at);
            done.finish(self);
            self.resume();
        }
        self.shrink();
    }

    /// Stops waiting for the calls whose deadline has passed.
    pub(super) fn expire_calls(&mut self, now: Millis) {
        while let Some(at) = self.calls.iter().position(|call| call.deadline() <= now) {
            let late = self.calls.remove(at);
            late.finish(self);
            self.resume();
        }
        self.shrink();
    }

    pub(super) fn next_call_deadline(&self) -> Option<Millis> {
        self.calls.iter().map(|call| call.deadline()).min()
    }

    /// Reads on where commands had to wait.
    pub(super) fn resume(&mut self) {
        self.advance_lanes();
        if !self.backlog.is_empty() {
            let text = std::mem::take(&mut self.backlog);
            self.read(&text);
        }
    }

    /// An idle session holds no memory for calls.
    fn shrink(&mut self) {
        if self.calls.is_empty() {
            self.calls = Vec::new();
        }
    }
}
