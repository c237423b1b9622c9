//! What a story leaves behind, also when it ends in a panic: a hash of everything that was said, what kinds of
//! trouble there were, and, where somebody reads it, the story in words. One per thread.

use std::{cell::RefCell, collections::BTreeMap, sync::LazyLock};

/// A story, so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) lines: Vec<String>,
    pub(crate) troubles: BTreeMap<&'static str, u64>,
    tells: bool,
}

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::default();
}

pub(crate) fn begin(tells: bool) {
    TRACE.set(Trace { hash: 0xcbf2_9ce4_8422_2325, tells, ..Trace::default() });
}

pub(crate) fn take() -> Trace {
    TRACE.take()
}

/// Something was said: two runs of a seed agree on all of it.
pub(crate) fn note(now: u64, who: u64, text: &[u8]) {
    TRACE.with_borrow_mut(|trace| {
        let mut mix =
            |word: u64| trace.hash = (trace.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        mix(now);
        mix(who);
        let mut chunks = text.chunks_exact(8);
        for chunk in &mut chunks {
            mix(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        chunks.remainder().iter().for_each(|byte| mix((*byte).into()));
    });
}

/// A kind of trouble came about.
pub(crate) fn trouble(what: &'static str) {
    TRACE.with_borrow_mut(|trace| *trace.troubles.entry(what).or_default() += 1);
}

/// What only who looks closely wants to read: frames, and what storages are given.
pub(crate) fn frame(now: u64, line: impl FnOnce() -> String) {
    static SHOWN: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FRAMES").is_some());
    if *SHOWN {
        tell(now, || format!("FRAME {}", line()));
    }
}

pub(crate) fn tell(now: u64, line: impl FnOnce() -> String) {
    TRACE.with_borrow_mut(|trace| {
        if trace.tells {
            trace.lines.push(format!("{:>8}.{:03}  {}", now / 1000, now % 1000, line()));
        }
    });
}
