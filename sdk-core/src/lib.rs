//! Homing's wire types, and its client as a sans-IO state machine.
#![no_std]
extern crate alloc;

pub mod wire;
