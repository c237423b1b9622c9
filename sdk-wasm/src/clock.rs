//! The host's clock: milliseconds since the client was made, sleep included.
//!
//! The monotonic clock may stand still while the machine sleeps; the wall clock does not, but may be set. A
//! lead of the wall clock above [`LEAD`] since the last reading is taken for sleep and added. Slower drift and
//! steps back are ignored.

use homing_core::Instant;
use std::cell::Cell;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn monotonic() -> f64;
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn wall() -> f64;
}

/// How far the wall clock may run ahead between two readings, in milliseconds.
const LEAD: f64 = 2000.0;

#[derive(Debug)]
pub(crate) struct Clock {
    origin: f64,
    monotonic: Cell<f64>,
    wall: Cell<f64>,
    slept: Cell<f64>,
}

/// One look at the clock.
pub(crate) struct Reading {
    pub(crate) now: Instant,
    /// The machine slept since the last look.
    pub(crate) slept: bool,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let origin = monotonic();
        Self { origin, monotonic: Cell::new(origin), wall: Cell::new(wall()), slept: Cell::new(0.0) }
    }

    /// Unix milliseconds at the last reading.
    pub(crate) const fn wall(&self) -> i64 {
        self.wall.get() as i64
    }

    pub(crate) fn read(&self) -> Reading {
        self.read_from(monotonic(), wall())
    }

    /// The time without a look at the wall clock, for what is called per message: a sleep that it misses is seen
    /// by the next reading.
    pub(crate) fn glance(&self) -> Instant {
        Instant::from_millis((monotonic() - self.origin + self.slept.get()) as u64)
    }

    fn read_from(&self, monotonic: f64, wall: f64) -> Reading {
        let lead = (wall - self.wall.replace(wall)) - (monotonic - self.monotonic.replace(monotonic));
        let slept = lead > LEAD;
        if slept {
            self.slept.set(self.slept.get() + lead);
        }
        let millis = monotonic - self.origin + self.slept.get();
        // The cast saturates: a clock that goes back reads as zero.
        Reading { now: Instant::from_millis(millis as u64), slept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock { origin: 10.0, monotonic: Cell::new(10.0), wall: Cell::new(5000.0), slept: Cell::new(0.0) }
    }

    #[test]
    fn sleep_that_only_the_wall_clock_saw_is_counted_and_told_once() {
        let clock = clock();
        let reading = clock.read_from(110.0, 65_100.0);
        assert!(reading.slept);
        assert_eq!(reading.now.as_millis(), 60_100);
        let reading = clock.read_from(120.0, 65_110.0);
        assert!(!reading.slept);
        assert_eq!(reading.now.as_millis(), 60_110);
    }

    #[test]
    fn a_wall_clock_that_is_set_back_or_drifts_changes_nothing() {
        let clock = clock();
        assert_eq!(clock.read_from(1010.0, 1000.0).now.as_millis(), 1000);
        let reading = clock.read_from(2010.0, 3900.0);
        assert!(!reading.slept);
        assert_eq!(reading.now.as_millis(), 2000);
    }
}
