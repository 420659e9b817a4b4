//! What an engine in Clawblox's shape relies on: no save is lost, and none is overwritten, in either mode.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod support;

mod ends;
mod joins;
mod loads;
mod rows;
mod signals;
