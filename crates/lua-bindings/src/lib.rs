//! DataStoreService for Luau VMs.
//!
//! Owns: conversion of Luau values to JSON bytes and back; the classes that scripts see; parking and finishing calls in
//! any host, with or without a scheduler of ours; running transforms, once and again, under a CPU limit.
//!
//! Does not own: threads (nothing here spawns or blocks), the host's tick, what a call does (`clawstore-core`), where it
//! waits (`clawstore-actors`).
//!
//! Every yielding method is a small Luau function around two Rust ones: *start* submits the call and gives a ticket,
//! *finish* returns what it ended in. In between it yields plainly. A polling host resumes it every tick, a scheduler when
//! [`Bindings::completed`] names its thread; an early resume just yields again (`spec/runtime-and-host.md` §5.2).
#![warn(missing_docs)]

mod shared;

mod convert;

mod arguments;

mod vm;

mod transform;

mod classes;

mod methods;

mod control;

mod profile;

mod load_guard;

mod store_cache;

mod bindings;

pub use bindings::{Bindings, Control, LogSink, Options};
pub use control::{CallControl, CallInfo, Fault, Verdict};
pub use convert::{EncodeError, Encoded, decode, encode};
pub use profile::Profile;
pub use store_cache::Cache;
pub use transform::{Interrupt, InterruptHook};
