//! Leaves a backend alone that fails again and again, and tries it with one call from time to time.

use crate::clock::Millis;

/// Longest pause.
const LONGEST: Millis = 30_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Millis,
    },
    /// One call is under way and decides.
    Probing,
}

pub(super) struct Breaker {
    state: State,
    /// Failures that open it; 0: none do.
    most: u32,
    first_pause: Millis,
    pause: Millis,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Call,
    /// It may, and decides for those that come after it.
    Probe,
    /// Not before this moment.
    NotBefore(Millis),
}

impl Breaker {
    pub(super) fn new(most: u32, pause: Millis) -> Self {
        let pause = pause.clamp(1, LONGEST);
        Self { state: State::Closed { failures: 0 }, most, first_pause: pause, pause }
    }

    /// Asked before each call; the answer [`May::Probe`] is given once.
    pub(super) fn ask(&mut self, now: Millis) -> May {
        match self.state {
            State::Closed { .. } => May::Call,
            State::Open { until } if until <= now => {
                self.state = State::Probing;
                May::Probe
            }
            State::Open { until } => May::NotBefore(until),
            State::Probing => May::NotBefore(now + self.first_pause),
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    pub(super) fn succeeded(&mut self, probe: bool) {
        if probe || !self.is_open() {
            self.state = State::Closed { failures: 0 };
            self.pause = self.first_pause;
        }
    }

    pub(super) fn failed(&mut self, now: Millis, probe: bool) {
        match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                if self.most > 0 && *failures >= self.most {
                    self.state = State::Open { until: now + self.pause };
                }
            }
            State::Probing if probe => {
                self.pause = (self.pause * 2).min(LONGEST);
                self.state = State::Open { until: now + self.pause };
            }
            // A call from before it opened says nothing new.
            State::Open { .. } | State::Probing => {}
        }
    }

    /// The probe was given up without an outcome: the next call is one.
    pub(super) fn abandoned(&mut self, now: Millis) {
        if self.state == State::Probing {
            self.state = State::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_closes_with_a_probe() {
        let mut breaker = Breaker::new(3, 1000);
        for _ in 0..2 {
            breaker.failed(0, false);
        }
        breaker.succeeded(false);
        for _ in 0..2 {
            breaker.failed(0, false);
            assert_eq!(breaker.ask(0), May::Call);
        }
        breaker.failed(0, false);
        assert_eq!(breaker.ask(999), May::NotBefore(1000));
        breaker.succeeded(false);
        assert_eq!(breaker.ask(999), May::NotBefore(1000), "a late success of an older call");
        assert_eq!(breaker.ask(1000), May::Probe);
        assert_eq!(breaker.ask(1000), May::NotBefore(2000));
        breaker.failed(1000, true);
        assert_eq!(breaker.ask(2999), May::NotBefore(3000));
        assert_eq!(breaker.ask(3000), May::Probe);
        breaker.abandoned(3000);
        assert_eq!(breaker.ask(3000), May::Probe);
        breaker.succeeded(true);
        assert_eq!(breaker.ask(3000), May::Call);
        for _ in 0..3 {
            breaker.failed(4000, false);
        }
        assert_eq!(breaker.ask(4999), May::NotBefore(5000), "the pause is the first one again");
    }

    #[test]
    fn the_pause_has_an_end_and_no_failures_means_no_breaker() {
        let mut breaker = Breaker::new(1, 20_000);
        breaker.failed(0, false);
        assert_eq!(breaker.ask(20_000), May::Probe);
        breaker.failed(20_000, true);
        assert_eq!(breaker.ask(49_999), May::NotBefore(50_000));
        let mut never = Breaker::new(0, 1000);
        for _ in 0..100 {
            never.failed(0, false);
        }
        assert_eq!(never.ask(0), May::Call);
    }
}
