//! The runner's world: a small Roblox-like server in one Luau VM.
//!
//! Owns: the VM and its sandbox, the scheduler, `task`, signals, Instances, Enums, trees of scripts and `require`, `game`
//! and its built-in services, simulated players, shutdown callbacks, limits of time and memory, and how errors of script
//! threads are reported. [`HostScheduler`] is the scheduler alone, for an engine with a VM of its own.
//! Does not own: data stores (they are plugged in as Lua values through [`Runtime::add_service`],
//! [`Runtime::add_class`] and [`Runtime::set_completions`]), the tick loop and real time (the driver owns both and
//! calls [`Runtime::step`]), and the command line.
//!
//! Invariants:
//! * A thread is resumed by the scheduler only if the scheduler parked it (`task.wait`, `signal:Wait`, `task.delay`,
//!   `task.defer`, `WaitForChild`) or if the completion hook named it. A bare `coroutine.yield()` is never resumed.
//! * Whatever the engine raises in a script is a Lua string.
//! * Every clock a script can read comes from the one clock in [`RuntimeOptions`].

// A failed unwrap is how a test fails.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clock;
mod error;
mod executor;
mod guard;
mod host;
mod json;
mod limits;
mod natives;
mod objects;
mod options;
mod output;
mod prelude;
pub mod project;
mod random;
mod runtime;
mod scheduler;
mod shared;
mod tree;

pub use error::RuntimeError;
pub use executor::{ScriptId, ScriptState};
pub use host::{HostOptions, HostScheduler, Signal};
pub use mlua;
pub use options::{CloseReason, RuntimeOptions, SignalBehavior};
pub use output::{Level, OutputSink};
pub use runtime::{PlayerInfo, Runtime, StepReport};
pub use shared::Elapsed;
pub use tree::{Node, PropertyValue, Source};
