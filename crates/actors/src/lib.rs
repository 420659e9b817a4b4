//! The runtime of Clawstore: actors that move calls from a VM to durability and back.
//!
//! Owns: processes, games and servers (`decisions.md` 1); the directory of keys with one actor each; the flusher of
//! each game, the lanes and the session lock of the process; admission by memory permits; reads and their cache; passivation;
//! supervision; drain at shutdown.
//!
//! Does not own: rules (they are `clawstore-core`'s state machines), SQL (a backend is handed in), Luau, and which
//! tokio runtime runs it (a handle is handed in).
#![warn(missing_docs)]

mod clock;

pub mod metric_definitions;

mod admission;

mod inbox;

mod memory_store;

mod call_port;

mod process;

mod game;

mod life_cycle;

mod sweeper;

mod server;

mod messaging;

mod client;

mod directory;

mod slot;

mod shared_key;

mod reads;

mod activation;

mod key_actor;

mod key_supervisor;

mod flusher;

mod lane;

mod alarm;

mod ownership;

mod session_lock;

mod passivation;

mod looks;

mod rates;

mod shares;

mod patient_reads;

mod warm_up;

pub use clock::SystemClock;
pub use game::{Game, GameStats};
pub use inbox::{Inbox, VmEvent};
pub use life_cycle::{DeletedGame, LifeCycleError, Purge};
pub use memory_store::InProcess;
pub use process::{Config, DrainReport, GameError, Process, StartError};
pub use server::{Found, Server, ServerIdentity};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]
mod tests;
