//! The client's time: how long it has existed, sleep of the machine included.
//!
//! Owns the comparison of the monotonic clock, which may stop while the machine sleeps, with the wall clock,
//! which does not. Read by the driver before every call to the core, and nowhere else.

use homing_core::Instant;
use std::time::{Duration, SystemTime};

/// A wall clock that ran this much further than the monotonic one tells of sleep; less is drift.
const SLEEP_LEAD: Duration = Duration::from_secs(2);

/// Two clocks to compare. An app passes its own only to simulate time.
pub trait Clock: Send + Sync + 'static {
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Time since the Unix epoch; may jump.
    fn wall(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: tokio::time::Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

/// What a look at the clocks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The client's time.
    pub(crate) now: Instant,
    /// Whether the machine slept since the last look.
    pub(crate) resumed: bool,
}

/// Both clocks, and what they showed last.
pub(crate) struct Timeline {
    clock: Box<dyn Clock>,
    monotonic: Duration,
    wall: Duration,
    elapsed: Duration,
}

impl Timeline {
    pub(crate) fn new(clock: Box<dyn Clock>) -> Self {
        let (monotonic, wall) = (clock.monotonic(), clock.wall());
        Self { clock, monotonic, wall, elapsed: Duration::ZERO }
    }

    pub(crate) fn read(&mut self) -> Reading {
        let (monotonic, wall) = (self.clock.monotonic(), self.clock.wall());
        let awake = monotonic.saturating_sub(self.monotonic);
        let lead = wall.saturating_sub(self.wall).saturating_sub(awake);
        let resumed = lead > SLEEP_LEAD;
        self.elapsed += awake + if resumed { lead } else { Duration::ZERO };
        (self.monotonic, self.wall) = (monotonic.max(self.monotonic), wall);
        let millis = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        Reading { now: Instant::from_millis(millis), resumed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    #[derive(Clone, Default)]
    struct Hands(Arc<(AtomicU64, AtomicU64)>);

    impl Hands {
        fn advance(&self, monotonic: u64, wall: u64) {
            self.0.0.fetch_add(monotonic, Relaxed);
            self.0.1.fetch_add(wall, Relaxed);
        }
    }

    impl Clock for Hands {
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.0.load(Relaxed))
        }
        fn wall(&self) -> Duration {
            Duration::from_millis(1_000_000 + self.0.1.load(Relaxed))
        }
    }

    #[test]
    fn sleep_counts_and_is_told_once() {
        let hands = Hands::default();
        let mut timeline = Timeline::new(Box::new(hands.clone()));
        hands.advance(100, 100);
        assert_eq!(timeline.read(), Reading { now: Instant::from_millis(100), resumed: false });
        hands.advance(5, 600_005);
        assert_eq!(timeline.read(), Reading { now: Instant::from_millis(600_105), resumed: true });
        hands.advance(10, 10);
        assert_eq!(timeline.read(), Reading { now: Instant::from_millis(600_115), resumed: false });
    }

    #[test]
    fn drift_and_a_wall_clock_that_is_set_back_change_nothing() {
        let hands = Hands::default();
        let mut timeline = Timeline::new(Box::new(hands.clone()));
        hands.advance(1000, 3000);
        assert_eq!(timeline.read(), Reading { now: Instant::from_millis(1000), resumed: false });
        hands.0.1.store(0, Relaxed);
        hands.advance(1000, 0);
        assert_eq!(timeline.read(), Reading { now: Instant::from_millis(2000), resumed: false });
    }
}
