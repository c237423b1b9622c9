//! Homing's browser host: what stands between the core and JavaScript.
//!
//! Owns the socket's life, one timeout, the page's events and the clock; decides nothing. One class is exported,
//! [`Host`], whose calls change the core and return; [`Host::drain`] then carries out what the core wants, and
//! only there does JavaScript run, with no borrow held. A call that is made meanwhile changes the core at once,
//! and the drain that is under way carries on with it.
//!
//! Events go out as one JSON text each (see [`events`]); payloads of hot messages never come in here at all:
//! the page parses them and asks [`Host::advance`] whether they are next.

mod browser;
mod clock;
mod events;
mod host;
mod options;
mod page;
mod panic;
mod socket;
mod timer;
mod verb;

pub use browser::{Function, Target};
pub use host::Host;
pub use options::NUMBERS;
pub use panic::panic_text;
pub use verb::Verb;

/// A tenth of the size of the default one. Its free list is walked, which is quick for the few blocks that a
/// client holds.
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the page calls from one thread only")]
#[global_allocator]
static ALLOCATOR: lol_alloc::AssumeSingleThreaded<lol_alloc::FreeListAllocator> =
    // SAFETY: a module without shared memory runs on one thread.
    unsafe { lol_alloc::AssumeSingleThreaded::new(lol_alloc::FreeListAllocator::new()) };
