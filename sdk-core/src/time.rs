//! The client's own time: milliseconds since it was made, told by the host with every call.

pub use core::time::Duration;

/// A moment, in milliseconds since the client was made. Only the host makes these; it counts sleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The moment `millis` after the client was made.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the client was made.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long before `self` the `earlier` moment was; zero if it was not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    /// Not inlined: it stands in thirty places.
    #[inline(never)]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// Whole milliseconds. What is reckoned with durations is reckoned in these: their own arithmetic is long.
pub(crate) const fn millis(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis() as u64)
}

/// The same, for Unix times.
pub(crate) fn signed_millis(duration: Duration) -> i64 {
    i64::try_from(millis(duration)).unwrap_or(i64::MAX)
}
