//! Clawstore's shared storage: one Postgres database, written by many processes at once.
//!
//! Owns: the SQL (`queries/*.sql`), the four connections of a process, running the migrations (`migrations/` at the top of
//! the workspace), the settings that make a commit durable, and which Postgres error means what to the lane.
//!
//! Does not own: which writes form a batch, who should own a key, retries, caches, versions to keep: those are rules and
//! stand in `clawstore-core`.
#![warn(missing_docs)]

mod backend;
mod commit;
mod games;
mod hints;
mod history;
mod hold_leases;
mod incarnations;
mod leases;
mod purge;
mod reads;
mod scans;

mod columns;
mod durability;
mod ears;
mod failure;
mod hosts;
mod link;
mod messages;
mod notices;
mod open_error;
mod session;
mod store_ids;

pub mod clawblox;
pub mod migrate;

pub use backend::{PgBackend, PgSettings};
pub use durability::{Durability, Standby};
pub use hosts::parse_url;
pub use open_error::OpenError;
pub use sqlx::postgres::PgConnectOptions;
