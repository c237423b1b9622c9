//! How many calls of one hook are under way at once, who waits for a turn, and who is told to come back.
//!
//! When thousands of clients return at once only so many calls run as may; the others wait in line, in order.
//! Who cannot have a turn in time is told so at once, and when to come back: each gets the moment at which
//! its turn would have come, so those who come back do not come together either.

use super::{
    HookError, Verdict,
    breaker::{Breaker, May},
};
use crate::{
    clock::{Clock, Millis},
    metrics::HookMeter,
};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::oneshot;

/// Farthest moment to which a client is sent away.
const FARTHEST: Millis = 60_000;
/// Nearest one.
const NEAREST: Millis = 250;

/// What bounds a gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) concurrency: usize,
    pub(super) queue: usize,
    pub(super) queue_timeout: Millis,
    /// A call that is given up after this long has failed.
    pub(super) timeout: Millis,
    pub(super) breaker_failures: u32,
    pub(super) breaker_pause: Millis,
}

pub(super) struct Gate {
    inner: Mutex<Inner>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    meter: HookMeter,
}

struct Inner {
    under_way: usize,
    waiting: VecDeque<Waiter>,
    breaker: Breaker,
    /// Whether the meter shows the breaker as open.
    shown_open: bool,
    /// How long a call takes, in microseconds: a moving average of those that were answered.
    service: u64,
    /// Moment, in microseconds, up to which those sent away have been given turns.
    promised: u64,
}

struct Waiter {
    since: Millis,
    sender: oneshot::Sender<Verdict<Permit>>,
}

/// Leave to make one call; it ends when this is dropped.
pub(super) struct Permit {
    gate: Arc<Gate>,
    started: Millis,
    probe: bool,
    finished: bool,
}

/// A place in line, or the end of it.
pub(super) enum Turn {
    Now(Permit),
    Later(oneshot::Receiver<Verdict<Permit>>),
}

impl Turn {
    pub(super) async fn come(self) -> Verdict<Permit> {
        match self {
            Self::Now(permit) => Ok(permit),
            Self::Later(receiver) => receiver.await.unwrap_or(Err(HookError::Away { retry_after: NEAREST })),
        }
    }
}

impl Inner {
    /// Microseconds between two turns, at the pace at hand.
    fn pace(&self, limits: &Limits) -> u64 {
        (self.service / limits.concurrency as u64).max(1000)
    }

    fn show(&mut self, meter: &HookMeter) {
        if self.shown_open != self.breaker.is_open() {
            self.shown_open = !self.shown_open;
            if self.shown_open { meter.open.increment(1.0) } else { meter.open.decrement(1.0) }
        }
    }

    /// When somebody who is sent away is to come back: behind those who wait, and behind those who were sent
    /// away before; not before `earliest`.
    fn retry_after(&mut self, now: Millis, earliest: Millis, limits: &Limits) -> Millis {
        let pace = self.pace(limits);
        let line = now * 1000 + pace * self.waiting.len() as u64;
        let turn = self.promised.max(line).max(earliest * 1000) + pace;
        self.promised = turn.min((now + FARTHEST) * 1000);
        (turn / 1000).saturating_sub(now).clamp(NEAREST, FARTHEST)
    }
}

impl Gate {
    pub(super) fn new(limits: Limits, clock: Arc<dyn Clock>, meter: HookMeter) -> Arc<Self> {
        let inner = Inner {
            under_way: 0,
            waiting: VecDeque::new(),
            breaker: Breaker::new(limits.breaker_failures, limits.breaker_pause),
            shown_open: false,
            service: 0,
            promised: 0,
        };
        Arc::new(Self { inner: Mutex::new(inner), limits, clock, meter })
    }

    /// Takes a place.
    pub(super) fn enter(self: &Arc<Self>) -> Verdict<Turn> {
        let now = self.clock.now();
        let mut inner = self.inner.lock();
        let is_full = inner.under_way >= self.limits.concurrency;
        if is_full && !inner.breaker.is_open() {
            return self.queue(&mut inner, now).map(Turn::Later);
        }
        let probe = match inner.breaker.ask(now) {
            May::Call => false,
            May::Probe => true,
            May::NotBefore(at) => return Err(self.shed(&mut inner, now, at)),
        };
        Ok(Turn::Now(self.permit(&mut inner, now, probe)))
    }

    fn permit(self: &Arc<Self>, inner: &mut Inner, now: Millis, probe: bool) -> Permit {
        inner.under_way += 1;
        self.meter.under_way.increment(1.0);
        Permit { gate: Arc::clone(self), started: now, probe, finished: false }
    }

    fn queue(&self, inner: &mut Inner, now: Millis) -> Verdict<oneshot::Receiver<Verdict<Permit>>> {
        if inner.waiting.len() >= self.limits.queue {
            let before = inner.waiting.len();
            inner.waiting.retain(|waiter| !waiter.sender.is_closed());
            self.meter.waiting.decrement((before - inner.waiting.len()) as f64);
        }
        let wait = inner.pace(&self.limits) * (inner.waiting.len() as u64 + 1) / 1000;
        let hopeless = inner.service > 0 && wait > self.limits.queue_timeout;
        if hopeless || inner.waiting.len() >= self.limits.queue {
            return Err(self.shed(inner, now, now));
        }
        let (sender, receiver) = oneshot::channel();
        inner.waiting.push_back(Waiter { since: now, sender });
        self.meter.waiting.increment(1.0);
        Ok(receiver)
    }

    fn shed(&self, inner: &mut Inner, now: Millis, earliest: Millis) -> HookError {
        self.meter.shed.increment(1);
        HookError::Away { retry_after: inner.retry_after(now, earliest, &self.limits) }
    }

    /// A moment to come back for somebody whose call failed, or came to no end in time.
    pub(super) fn retry_after(&self) -> Millis {
        let now = self.clock.now();
        self.inner.lock().retry_after(now, now + NEAREST, &self.limits)
    }

    /// Gives turns to those who wait, as far as there are any.
    fn advance(self: &Arc<Self>) {
        let now = self.clock.now();
        loop {
            // The lock must not be held while a permit is sent: one that nobody takes comes back here.
            let (sender, turn) = {
                let mut inner = self.inner.lock();
                if inner.under_way >= self.limits.concurrency && !inner.breaker.is_open() {
                    return;
                }
                let Some(waiter) = inner.waiting.pop_front() else { return };
                self.meter.waiting.decrement(1.0);
                if waiter.sender.is_closed() {
                    continue;
                }
                let late = now.saturating_sub(waiter.since) > self.limits.queue_timeout;
                let turn = match inner.breaker.ask(now) {
                    May::NotBefore(at) => Err(self.shed(&mut inner, now, at)),
                    // A probe that is not made would leave the breaker waiting for it.
                    May::Call if late => Err(self.shed(&mut inner, now, now)),
                    may => Ok(self.permit(&mut inner, now, may == May::Probe)),
                };
                (waiter.sender, turn)
            };
            if let Err(Ok(mut untaken)) = sender.send(turn) {
                untaken.give_back();
            }
        }
    }
}

impl Permit {
    /// The call is complete.
    pub(super) fn finish<T>(mut self, verdict: Verdict<T>) -> Verdict<T> {
        self.finished = true;
        let gate = Arc::clone(&self.gate);
        let now = gate.clock.now();
        let took = now.saturating_sub(self.started);
        gate.meter.seconds.record(took as f64 / 1000.0);
        let mut inner = gate.inner.lock();
        let sample = took * 1000;
        inner.service = if inner.service == 0 { sample } else { (7 * inner.service + sample) / 8 };
        let verdict = match verdict {
            Err(HookError::Away { retry_after }) => {
                gate.meter.failed.increment(1);
                inner.breaker.failed(now, self.probe);
                let own = inner.retry_after(now, now + NEAREST, &gate.limits);
                Err(HookError::Away { retry_after: if retry_after > 0 { retry_after } else { own } })
            }
            answered => {
                inner.breaker.succeeded(self.probe);
                match &answered {
                    Ok(_) => &gate.meter.granted,
                    Err(HookError::Unusable(_)) => &gate.meter.failed,
                    Err(_) => &gate.meter.refused,
                }
                .increment(1);
                answered
            }
        };
        inner.show(&gate.meter);
        verdict
    }

    /// Makes room again without giving the turn to somebody else.
    fn give_back(&mut self) {
        let mut inner = self.gate.inner.lock();
        inner.under_way -= 1;
        self.gate.meter.under_way.decrement(1.0);
        let now = self.gate.clock.now();
        if !self.finished && now.saturating_sub(self.started) >= self.gate.limits.timeout {
            self.gate.meter.failed.increment(1);
            inner.breaker.failed(now, self.probe);
        } else if !self.finished && self.probe {
            inner.breaker.abandoned(now);
        }
        inner.show(&self.gate.meter);
        drop(inner);
        self.started = Millis::MAX;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.started < Millis::MAX {
            self.give_back();
            self.gate.advance();
        }
    }
}
