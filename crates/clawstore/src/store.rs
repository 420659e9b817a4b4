//! An open store: one per process and database.
//!
//! Owns: its games, shutdown and drop. Does not own: how it was put together (`builder`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::{DrainReport, Process};
use clawstore_core::GameId;
use clawstore_core::entropy::Entropy;
use clawstore_lua::Cache;
use parking_lot::Mutex;

use crate::builder::{Builder, OpenError};
use crate::game::Game;
use crate::opened::Opened;
use crate::runtime::Running;

/// How long a store that is dropped without [`Clawstore::shutdown`] waits for what was accepted.
const DROP_PATIENCE: Duration = Duration::from_secs(8);

/// How long closing the database may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// An open store.
#[derive(Debug)]
pub struct Clawstore {
    pub(crate) process: Arc<Process>,
    database: Arc<Opened>,
    pub(crate) runtime: Running,
    entropy: Arc<dyn Entropy>,
    /// Games that use the data of another.
    pub(crate) universes: BTreeMap<GameId, GameId>,
    cache: Cache,
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
        database: Opened,
        runtime: Running,
        entropy: Arc<dyn Entropy>,
        universes: BTreeMap<GameId, GameId>,
        cache: Cache,
    ) -> Self {
        Self { process, database: Arc::new(database), runtime, entropy, universes, cache, closed: Mutex::new(None) }
    }

    /// The game of this id: opened by the first call, the same one afterwards. Needs no runtime context. One that uses the data
    /// of another ([`Config::universe`](crate::Config::universe)) is that game.
    ///
    /// # Errors
    /// If an actor cannot be started, or the store has been shut down.
    pub fn game(&self, id: GameId) -> Result<Game, OpenError> {
        Ok(Game::new(self.process.game(self.universe(id))?, Arc::clone(&self.entropy), self.cache))
    }

    /// Whose data a game uses: its own, unless the settings say.
    pub(crate) fn universe(&self, game: GameId) -> GameId {
        self.universes.get(&game).copied().unwrap_or(game)
    }

    /// Why the database will not work again until it is reopened (an fsync error), if so. Writes fail at once then.
    pub fn halted(&self) -> Option<&str> {
        self.process.halted()
    }

    /// What acknowledged writes survive, by the settings that were found at opening: one line for people.
    pub fn durability(&self) -> &str {
        &self.database.durability
    }

    /// How often the database was found to lack writes that it had acknowledged to this process: 0, unless a standby that did not
    /// have them took over, or an old copy is back. What players did then is gone; an engine may want to tell them. Counted
    /// within two seconds of reaching the other database, also in the metric `ds_history_lost_total`.
    pub fn history_losses(&self) -> u64 {
        self.process.history_losses()
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
        let (process, database) = (Arc::clone(&self.process), Arc::clone(&self.database));
        let drained = async move {
            let report = process.drain(patience).await;
            close(&database).await;
            report
        };
        let report = self.runtime.wait(drained).unwrap_or_default();
        *closed = Some(report);
        report
    }

    /// As [`Clawstore::shutdown`], without blocking the calling task.
    pub async fn shutdown_async(&self, patience: Duration) -> DrainReport {
        if let Some(report) = *self.closed.lock() {
            return report;
        }
        let report = self.process.drain(patience).await;
        close(&self.database).await;
        *self.closed.lock() = Some(report);
        report
    }
}

/// What hangs there has been given up: a shutdown keeps its time.
#[expect(clippy::disallowed_methods, reason = "the one wait for a database that may not answer any more")]
async fn close(database: &Opened) {
    if tokio::time::timeout(CLOSE_PATIENCE, database.close()).await.is_err() {
        tracing::warn!(target: "clawstore::store", "the database did not take its leave in time");
    }
}

impl Drop for Clawstore {
    fn drop(&mut self) {
        self.shutdown(DROP_PATIENCE);
    }
}
