//! An open store: one per process and database.
//!
//! Owns: its games, shutdown and drop. Does not own: how it was put together (`builder`).

use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::{DrainReport, Process};
use clawstore_core::GameId;
use clawstore_core::entropy::Entropy;
use clawstore_sqlite::SqliteBackend;
use parking_lot::Mutex;

use crate::builder::{Builder, OpenError};
use crate::game::Game;
use crate::runtime::Running;

/// How long a store that is dropped without [`Clawstore::shutdown`] waits for what was accepted.
const DROP_PATIENCE: Duration = Duration::from_secs(8);

/// An open store.
#[derive(Debug)]
pub struct Clawstore {
    process: Arc<Process>,
    embedded: Option<Arc<SqliteBackend>>,
    runtime: Running,
    entropy: Arc<dyn Entropy>,
    /// The report of a shutdown that has happened.
    closed: Mutex<Option<DrainReport>>,
}

impl Clawstore {
    /// Begins with the defaults: the embedded store in `./clawstore-data`.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(
        process: Arc<Process>,
        embedded: Option<Arc<SqliteBackend>>,
        runtime: Running,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { process, embedded, runtime, entropy, closed: Mutex::new(None) }
    }

    /// The game of this id: opened by the first call, the same one afterwards. Needs no runtime context.
    ///
    /// # Errors
    /// If an actor cannot be started, or the store has been shut down.
    pub fn game(&self, id: GameId) -> Result<Game, OpenError> {
        Ok(Game::new(self.process.game(id)?, Arc::clone(&self.entropy)))
    }

    /// Why the database will not work again until it is reopened (an fsync error), if so. Writes fail at once then.
    pub fn halted(&self) -> Option<&str> {
        self.process.halted()
    }

    /// Bytes of calls that are admitted and not settled, of all games.
    pub fn pending_bytes(&self) -> usize {
        self.process.pending_bytes()
    }

    /// Refuses new calls, waits until everything that was accepted is durable, at most `patience`, and closes the
    /// database. Calls still open then end as FAIL if they were never sent, else as UNKNOWN. Blocks; works inside and
    /// outside of a tokio context. A second call returns the first one's report.
    pub fn shutdown(&self, patience: Duration) -> DrainReport {
        let mut closed = self.closed.lock();
        if let Some(report) = *closed {
            return report;
        }
        let process = Arc::clone(&self.process);
        let report = self.runtime.wait(async move { process.drain(patience).await }).unwrap_or_default();
        self.close_database();
        *closed = Some(report);
        report
    }

    /// As [`Clawstore::shutdown`], without blocking the calling task.
    pub async fn shutdown_async(&self, patience: Duration) -> DrainReport {
        if let Some(report) = *self.closed.lock() {
            return report;
        }
        let report = self.process.drain(patience).await;
        if let Some(embedded) = self.embedded.clone() {
            // Closing waits for the writer's thread; a task must not.
            let _ = tokio::task::spawn_blocking(move || embedded.close()).await;
        }
        *self.closed.lock() = Some(report);
        report
    }

    fn close_database(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close();
        }
    }
}

impl Drop for Clawstore {
    fn drop(&mut self) {
        self.shutdown(DROP_PATIENCE);
    }
}
