//! Clawstore's embedded storage: one SQLite database in one directory, written by one process.
//!
//! Owns: the files `clawstore.db` and `LOCK`, the schema and its migrations, the SQL (`queries/*.sql`), the settings
//! that make a commit durable, and which SQLite error means what to the lane.
//!
//! Does not own: which writes form a batch, retries, caches, versions to keep: those are rules and stand in
//! `clawstore-core`. It needs no async runtime: its futures are woken by its own threads.
//!
//! One thread writes, two read. The writer has the only connection that can write, and `LOCK` keeps other processes
//! from having one, so between two batches nothing changes what is stored.
#![warn(missing_docs)]

mod backend;
mod reader;
mod scans;
mod versions;
mod writer;

mod columns;
mod connection;
mod failure;
mod lock_file;
mod migrations;
mod open_error;
mod store_ids;
mod worker;

pub use backend::{SqliteBackend, SqliteOptions};
pub use connection::{DATABASE_FILE, SYNCHRONOUS};
pub use lock_file::LOCK_FILE;
pub use open_error::OpenError;
pub use reader::SqliteReader;
