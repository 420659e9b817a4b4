//! Postgres for tests: private servers that a test may kill, and a database of its own for each test.
//!
//! Owns: finding the server's programs, starting, killing and clearing away servers, making and dropping databases, servers
//! with a standby. It starts programs, and speaks no SQL of its own but `CREATE` and `DROP DATABASE` and what a standby needs.
//! Does not own: schemas, drivers.

mod cluster;
mod database;
mod pair;
mod programs;
mod state;

pub use cluster::{Cluster, StopMode};
pub use database::{Database, SERVER_VARIABLE};
pub use pair::{Pair, Replication};
pub use programs::server_program;
pub use state::State;
