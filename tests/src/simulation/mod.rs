//! The real server with real clients, in one thread on virtual time: networks that break, nodes that die or
//! stand still, storages that fail or go back, a store that loses what it had. Each seed is a story.
//!
//! [`run`] tells one and says whether every promise was kept; [`shrink`] makes a failing one short. The
//! program `homing-sim` and the test `simulation` call them.

mod client;
mod dice;
mod disk;
mod engine;
mod node;
mod plan;
mod reader;
mod shrink;
mod story;
mod trace;
mod truth;
mod world;

pub use plan::Plan;
pub use shrink::shrink;

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

/// How a story ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was broken; `None`: every promise was kept.
    pub wrong: Option<String>,
    /// Of everything that was said: two runs of a plan have the same.
    pub hash: u64,
    /// The story in words, where it was asked for.
    pub lines: Vec<String>,
    /// How often each kind of trouble came about.
    pub troubles: BTreeMap<&'static str, u64>,
}

/// Whether the words of a story are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// They are kept in the outcome.
    Kept,
    /// The story is told for its end alone.
    Spared,
}

thread_local! {
    static WRONG: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
    static TELLS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A panic inside a story is its outcome, and nothing for the terminal.
fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !TELLS.get() {
                return usual(info);
            }
            let message = info.payload_as_str().unwrap_or("a panic without words");
            let place =
                info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
            WRONG.set(Some(format!("{message}{place}")));
        }));
    });
}

/// Tells a story.
#[must_use]
pub fn run(plan: &Plan, words: Words) -> Outcome {
    catch_panics();
    trace::begin(words == Words::Kept);
    TELLS.set(true);
    let told = panic::catch_unwind(AssertUnwindSafe(|| story::tell(plan)));
    TELLS.set(false);
    let trace = trace::take();
    let wrong = told.err().map(|_| WRONG.take().unwrap_or_else(|| "it panicked".into()));
    Outcome { wrong, hash: trace.hash, lines: trace.lines, troubles: trace.troubles }
}
