//! Clawstore in a polling host: VMs on a thread pool, every coroutine resumed once a tick.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

mod support;

mod contexts;
mod counting;
mod ending;
mod parking;
