//! What tests that span crates share: a network that fails on command, and
//! the servers that they start.
//! Nothing here is part of what users install; the tests and benchmarks of this folder call it.

pub mod fuzz;
pub mod peer;
pub mod proxy;
pub mod simulation;
pub mod stage;
