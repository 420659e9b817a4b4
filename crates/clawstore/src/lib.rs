//! Clawstore: Roblox-compatible data stores for self-hosted game engines.
//!
//! Owns: what an engine sees: opening a store, games, servers and their bindings, the same stores for Rust code, shutdown.
//! The only crate that names concrete backends.
//!
//! Does not own: rules (`clawstore-core`), actors (`clawstore-actors`), Luau classes (`clawstore-lua`), SQL
//! (`clawstore-sqlite`, `clawstore-postgres`).
//!
//! ```no_run
//! use std::time::Duration;
//! use clawstore::{Clawstore, Database, GameId, ServerOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Clawstore::builder().database(Database::directory("./clawstore-data")).open()?;
//! let game = store.game(GameId::Number(1))?;
//! let lua = clawstore::mlua::Lua::new();
//! let server = game.server(ServerOptions::default());
//! let bindings = server.bind(&lua)?; // answers the host's GetService and Instance.new
//! let report = store.shutdown(Duration::from_secs(38));
//! # drop((bindings, report)); Ok(()) }
//! ```
#![warn(missing_docs)]

mod config;

mod database;

mod read_only;

mod locks;

#[cfg(feature = "postgres")]
mod migrations;

mod builder;

mod runtime;

mod opened;

mod store;

mod life_cycle;

mod game;

mod server;

mod data_store;

mod ordered_data_store;

pub mod compat;

#[cfg(feature = "postgres")]
pub mod import;

pub use builder::{Builder, OpenError};
pub use clawstore_actors::{
    DeletedGame, DrainReport, GameStats, LifeCycleError, Purge, SystemClock, metric_definitions,
};
pub use clawstore_core::backend::Snapshot;
pub use clawstore_core::entry::VersionId;
pub use clawstore_core::error::Throttle;
pub use clawstore_core::listing::Page;
pub use clawstore_core::versioning::{History, Retention};
pub use clawstore_core::{
    CallError, Entry, ErrorCode, GameId, Outcome, StoreKind, backend, clock, entropy, limits, ordered,
};
pub use clawstore_lua::{
    Bindings, Cache, CallControl, CallInfo, Fault, Interrupt, Options as BindOptions, Profile, Verdict, decode, encode,
};
#[cfg(feature = "postgres")]
pub use clawstore_postgres::{self as postgres, PgConnectOptions};
pub use config::{Config, ConfigError};
pub use data_store::{DataStore, Key, StoreError, Stored};
pub use database::Database;
pub use game::{Game, Loading};
pub use locks::{LockError, Locks, Released};
#[cfg(feature = "postgres")]
pub use migrations::{Migrations, Step};
pub use mlua;
pub use ordered_data_store::{OrderedDataStore, Ranked};
pub use read_only::{GameSize, ReadOnly};
pub use runtime::Runtime;
pub use server::{CloseReason, Server, ServerOptions};
pub use store::Clawstore;
