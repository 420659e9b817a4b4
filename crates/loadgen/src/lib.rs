//! Load on a whole store: what breaks, and what it costs.
//!
//! Owns: `clawstore-chaos`, which makes things fail under a busy store and checks what is left; `clawstore-bench`, which
//! puts each figure beside its baseline, measured in the same run. Does not own: the tests of single parts, which stand
//! with their crates. Not shipped.
#![allow(clippy::print_stdout, reason = "programs for people at a terminal: their report is their output")]
#![allow(clippy::disallowed_methods, reason = "they measure real time, and run tasks of their own")]
// A failed unwrap is how a test fails.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod random;

mod vm;

mod memory;

mod percentiles;

pub mod proxy;

pub mod chaos;

pub mod scenario;

pub mod bench;

/// Settings of runs that measure or count: nothing is held back (`decisions.md` 22).
fn unlimited() -> clawstore::Config {
    clawstore::Config::default().limits(clawstore::limits::Limits::Off)
}
