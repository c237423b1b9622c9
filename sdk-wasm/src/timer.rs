//! The one timeout. It is armed again only for an earlier deadline: one that moved away is met by an early
//! wake-up, which the core ignores, so that a busy connection never touches the browser's timers.

use crate::browser::{clear_timeout, set_timeout};
use homing_core::Instant;
use wasm_bindgen::prelude::*;

/// Longest timeout that is armed. A browser fires one above 2^31-1 ms at once, and a token may live for months.
const LONGEST: u64 = 24 * 60 * 60 * 1000;

pub(crate) struct Timer {
    at: Instant,
    timeout: JsValue,
    _fire: Closure<dyn Fn()>,
}

impl Timer {
    /// Fires at `at`, or a day from `now` if that is earlier.
    pub(crate) fn armed(now: Instant, at: Instant, fire: impl Fn() + 'static) -> Self {
        let fire = Closure::<dyn Fn()>::new(fire);
        Self { at, timeout: set_timeout(fire.as_ref(), wait(now, at)), _fire: fire }
    }

    /// Whether it wakes the host early enough for a deadline.
    pub(crate) fn serves(&self, at: Instant) -> bool {
        self.at <= at
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.timeout);
    }
}

fn wait(now: Instant, at: Instant) -> u32 {
    // A millisecond more: browsers may fire a fraction early, and a spurious call costs more than the wait.
    u32::try_from(at.as_millis().saturating_sub(now.as_millis()).saturating_add(1).min(LONGEST))
        .expect("a day of milliseconds fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_sixty_days_is_waited_for_in_days() {
        let sixty_days = Instant::from_millis(60 * LONGEST);
        assert_eq!(u64::from(wait(Instant::from_millis(0), sixty_days)), LONGEST);
        assert_eq!(wait(Instant::from_millis(500), Instant::from_millis(100)), 1);
    }
}
