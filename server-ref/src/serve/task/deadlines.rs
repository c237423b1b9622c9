//! The deadlines of one connection's task, on the one timer that it has: the session's, those of a client that
//! takes nothing, and of one that is being told goodbye. The tasks of sockets and of streamed responses poll it.

use crate::{clock::Millis, session::Session};
use homing_core::wire::DisconnectCode;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// How long a connection that ends may take to tell its client so.
const FAREWELL: Millis = 5000;

pub(super) struct Deadlines {
    timer: Option<Pin<Box<Sleep>>>,
    /// When `timer` ends, on the server's clock.
    until: Millis,
    /// Since when the client takes nothing of what is written.
    stalled_since: Option<Millis>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { timer: None, until: Millis::MAX, stalled_since: None }
    }
}

impl Deadlines {
    /// The client has taken something, or nothing is left for it.
    pub(super) const fn handle_taken(&mut self) {
        self.stalled_since = None;
    }

    /// The client takes nothing.
    pub(super) fn handle_stalled(&mut self, session: Option<&Session>) {
        if self.stalled_since.is_none() {
            self.stalled_since = session.map(|session| session.node().now());
        }
    }

    /// Ready when a deadline was due, and was seen to.
    pub(super) fn poll(&mut self, session: Option<&mut Session>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(session) = session else { return Poll::Pending };
        let stalls_out = self.stalls_out(session);
        let Some(at) = [session.poll_timeout(), stalls_out].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        self.set(at, session.node().now());
        ready!(self.poll_timer(cx));
        if stalls_out.is_some_and(|at| at <= session.node().now()) {
            session.connection().close(DisconnectCode::WriteError.into());
        }
        session.handle_timeout();
        Poll::Ready(())
    }

    /// When the client has taken nothing for too long.
    fn stalls_out(&self, session: &Session) -> Option<Millis> {
        let timeout = session.node().config.websocket.write_timeout.millis();
        self.stalled_since.filter(|_| timeout > 0).map(|since| since + timeout)
    }

    /// From now on only the time counts that the client has to hear the end.
    pub(super) fn begin_farewell(&mut self, now: Millis) {
        self.until = Millis::MAX;
        self.set(now + FAREWELL, now);
    }

    /// Ready when the client has had its time.
    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_timer(cx)
    }

    /// Sees to it that the task wakes at `at`. An earlier wake does no harm, and saves setting the timer
    /// anew for every deadline that moves away.
    fn set(&mut self, at: Millis, now: Millis) {
        if at >= self.until {
            return;
        }
        let ahead = Duration::from_millis(at.saturating_sub(now));
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(Instant::now() + ahead),
            None => self.timer = Some(Box::pin(sleep(ahead))),
        }
        self.until = at;
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        self.until = Millis::MAX;
        Poll::Ready(())
    }
}
