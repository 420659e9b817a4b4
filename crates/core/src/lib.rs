//! The rules of Clawstore, without any I/O.
//!
//! Owns: what a key, a value and an entry are; what each call of the API does to an entry; who may write next
//! (`key_machine`); which writes form a batch (`write_batch`) and what becomes of a batch whose outcome is bad or
//! not known (`lane`); whose turn it is in which lane (`turns`); which process owns a key and who is alive (`lease`); whether the store still has what
//! it acknowledged (`lost_history`); every limit and every error text.
//!
//! Does not own: time, randomness, threads, messages, SQL, Luau. A clock and a source of entropy are handed in
//! (`clock`, `entropy`), storage is a trait (`backend`), everything else is a state machine of the form
//! `step(now, input) → effects` that a thin shell drives.
#![warn(missing_docs)]

pub mod limits;

pub mod clock;
pub mod entropy;

pub mod entry_key;

pub mod value;

pub mod entry;

pub mod ordered;

pub mod scores;

pub mod versioning;

pub mod error;

pub mod cursor;

pub mod listing;

pub mod look;

pub mod ops;

pub mod window;

pub mod budget;

pub mod key_machine;

pub mod vm_queue;

pub mod write_batch;

pub mod lane;

pub mod lease;

pub mod lost_history;

pub mod turns;

pub mod messaging;

pub mod backend;

pub mod memory_store;

#[cfg(feature = "mutants")]
pub mod mutant;

pub use entry::{Attributes, Entry};
pub use entry_key::{EntryKey, GameId, StoreId, StoreKind};
pub use error::{CallError, ErrorCode, Outcome};
pub use value::Value;
