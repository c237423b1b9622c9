//! Time as the server sees it: a clock that only moves forward, for deadlines, and the wall's, for tokens
//! and leases. Whoever builds a server hands one in, so that a simulation can move time itself.

use std::time::{Instant, SystemTime};

/// Milliseconds, of a clock or of a span.
pub type Millis = u64;

/// Source of time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since some fixed moment; never goes back.
    fn now(&self) -> Millis;

    /// Milliseconds since 1970, as the wall clock has it.
    fn unix(&self) -> i64;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn unix(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}
