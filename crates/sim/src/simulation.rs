//! The product's state machines, in many servers, over a simulated world; one seed, one history.
//!
//! Owns: runs of `clawstore_core`'s machines (`KeyMachine`, `PendingWrites`, `Lane`, `Turns`, `Leases`, `VmQueue`) in one thread,
//! in a shell that mirrors `crates/actors` (`server`), over a simulated database with a standby (`store`), network (`network`)
//! and clock (`context`); calls (`workload`), faults (`faults`), and what must hold of the history (`checks`). Does not own:
//! the rules, and the model of them in the modules beside this one.
//!
//! Nothing here asks the system for time, threads or chance: equal seeds and options give equal logs, byte for byte.

pub mod checks;
pub mod context;
pub mod faults;
pub mod history;
pub mod network;
pub mod report;
pub mod rng;
pub mod server;
pub mod setup;
pub mod store;
pub mod trace;
pub mod workload;
pub mod world;

pub use report::Report;
pub use setup::Options;
pub use world::run;
