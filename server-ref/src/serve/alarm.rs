//! The one timer of a connection's task.

use crate::clock::Millis;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// When `sleep` ends, on the server's clock.
    until: Millis,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { sleep: None, until: Millis::MAX }
    }
}

impl Alarm {
    /// Sees to it that the task wakes at `at`. An earlier wake does no harm, and saves setting the timer
    /// anew for every deadline that moves away.
    pub(super) fn set(&mut self, at: Millis, now: Millis) {
        if at >= self.until {
            return;
        }
        let ahead = Duration::from_millis(at.saturating_sub(now));
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(Instant::now() + ahead),
            None => self.sleep = Some(Box::pin(sleep(ahead))),
        }
        self.until = at;
    }

    /// The next time that is set counts, whatever was set before.
    pub(super) const fn clear(&mut self) {
        self.until = Millis::MAX;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        ready!(sleep.as_mut().poll(cx));
        self.until = Millis::MAX;
        Poll::Ready(())
    }
}
