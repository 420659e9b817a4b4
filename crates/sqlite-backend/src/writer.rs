//! The thread that writes.
//!
//! Owns: the one connection that can write, its transactions, what it remembers of what is stored, the answer to a repeated
//! batch, when the WAL is checkpointed, and what happens to the connection after a failure. Does not own: the rows of a batch
//! (`commit`), other work in its turn (`expiry`, `games`, `purge`), which batch comes next (`core::lane`).

mod checkpoint;
mod commit;
mod expiry;
mod games;
mod purge;
mod room;
mod store_times;
mod swept;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use clawstore_core::GameId;
use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, RowOutcome};
use clawstore_core::clock::Timestamp;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::failure::{Latch, Stage, backend_error};
use crate::lock_file::LockFile;
use crate::reader::ReadJob;
use crate::store_ids::StoreIds;
use crate::worker::{Jobs, Reply};
pub(crate) use room::Step;
use store_times::StoreTimes;
use swept::Swept;

/// What the writer is asked for.
pub(crate) enum Job {
    Commit(Arc<Batch>, Reply<Vec<RowOutcome>>),
    /// Rare work: it sends its answer itself.
    Chore(Box<dyn FnOnce(&mut Writer) + Send>),
    /// Only of a database in memory, which has no second connection.
    Read(ReadJob),
}

impl Job {
    pub(crate) fn chore<T: Send + 'static>(
        reply: Reply<T>,
        work: impl FnOnce(&mut Writer) -> Result<T, BackendError> + Send + 'static,
    ) -> Self {
        Self::Chore(Box::new(move |writer| {
            // Whoever asked may be gone.
            let _ = reply.send(work(writer));
        }))
    }
}

/// The last batch that committed, to answer it again (I7).
///
/// Memory is enough: this process is the only writer as long as it holds `LOCK`, a commit that failed is invisible to
/// it whatever its kind (`failure`), and after a restart there is no lane that still waits for an answer.
struct Answered {
    seq: u64,
    digest: u64,
    outcomes: Vec<RowOutcome>,
}

/// What the writer remembers of what is stored. Good for as long as this process is the only writer.
#[derive(Debug, Default)]
struct Memory {
    stores: StoreIds,
    times: StoreTimes,
    swept: Swept,
    /// The last snapshot of each game that has one.
    snapshots: HashMap<GameId, Timestamp>,
    purge: Option<purge::Purge>,
}

/// See the module.
pub(crate) struct Writer {
    connection: Connection,
    memory: Memory,
    last: Option<Answered>,
    latch: Latch,
    /// Given back after the connection is closed: fields are dropped in this order.
    _lock: Option<LockFile>,
}

/// Tells everyone that the writer is gone, however it went.
struct LatchOnPanic(Latch);

impl Drop for LatchOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set("the writer thread panicked");
        }
    }
}

impl Writer {
    pub(crate) fn new(connection: Connection, lock: Option<LockFile>, latch: Latch) -> rusqlite::Result<Self> {
        let memory = Memory { snapshots: games::read_snapshots(&connection)?, ..Memory::default() };
        Ok(Self { connection, memory, last: None, latch, _lock: lock })
    }

    /// The body of the thread.
    pub(crate) fn run(mut self, jobs: &Jobs<Job>) {
        let _guard = LatchOnPanic(self.latch.clone());
        checkpoint::watch(&self.connection);
        while let Some(job) = jobs.next() {
            match job {
                Job::Commit(batch, reply) => {
                    // Whoever asked may be gone; what it asked for is done, and answered again if it asks again.
                    let _ = reply.send(self.commit(&batch));
                }
                Job::Chore(work) => work(&mut self),
                Job::Read(read) => read.run(&self.connection, &mut self.memory.stores),
            }
            // After the answer: nobody waits for it, and the next batch is gathered meanwhile.
            self.checkpoint();
        }
        self.close();
    }

    fn commit(&mut self, batch: &Batch) -> Result<Vec<RowOutcome>, BackendError> {
        self.latch.check()?;
        if let Some(last) = &self.last {
            if (last.seq, last.digest) == (batch.seq, batch.digest) {
                return Ok(last.outcomes.clone());
            }
            if batch.seq <= last.seq {
                let text = format!("batch {} with other rows came after batch {} had committed", batch.seq, last.seq);
                return Err(BackendError::new(BackendErrorKind::Invalid, text));
            }
        }
        commit::check_rows(batch)?;
        let outcomes = self.transact(|connection, memory| commit::write_rows(connection, memory, batch))?;
        self.last = Some(Answered { seq: batch.seq, digest: batch.digest, outcomes: outcomes.clone() });
        Ok(outcomes)
    }

    /// Does some work in one transaction.
    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Memory) -> rusqlite::Result<T>,
    ) -> Result<T, BackendError> {
        self.latch.check()?;
        let execute = |sql| self.connection.prepare_cached(sql)?.execute([]);
        // IMMEDIATE takes the right to write at once, so that no statement in between can find it taken.
        let worked = execute("BEGIN IMMEDIATE").and_then(|_| work(&self.connection, &mut self.memory));
        let result = worked.map_err(|error| (Stage::Rows, error));
        let committed = result.and_then(|value| match execute("COMMIT") {
            Ok(_) => Ok(value),
            Err(error) => Err((Stage::Commit, error)),
        });
        match committed {
            Ok(value) => {
                self.memory.stores.committed();
                self.memory.times.committed();
                Ok(value)
            }
            Err((stage, error)) => Err(self.recover(stage, &error)),
        }
    }

    /// Makes the connection fit for the next batch, or stops.
    fn recover(&mut self, stage: Stage, error: &rusqlite::Error) -> BackendError {
        self.memory.stores.rolled_back();
        self.memory.times.rolled_back();
        let answer = backend_error(stage, error);
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            self.latch.set(format_args!("a failed transaction could not be rolled back: {error}"));
        }
        if answer.kind == BackendErrorKind::Halted {
            self.latch.set(&answer.message);
        } else {
            tracing::warn!(kind = ?answer.kind, message = %answer.message, "a transaction was not committed");
            if answer.kind == BackendErrorKind::Unavailable {
                // On a full disk the WAL may hold room that only a checkpoint sets free.
                checkpoint::request();
            }
        }
        answer
    }

    fn checkpoint(&self) {
        if !checkpoint::is_due() || self.latch.is_set() {
            return;
        }
        match checkpoint::run(&self.connection, checkpoint::Mode::Passive) {
            Ok(()) => {}
            Err(error) if checkpoint::is_fatal(&error) => self.latch.set(format_args!("a checkpoint failed: {error}")),
            Err(error) => tracing::warn!(%error, "the WAL was not checkpointed; trying again after the next batch"),
        }
    }

    fn close(self) {
        if self.latch.is_set() {
            // As after a crash: the next start reads the WAL from disk, nothing is moved on from here.
            if let Err(error) = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
                tracing::warn!(%error, "the stopped database is closed with a checkpoint");
            }
        } else if let Err(error) = checkpoint::run(&self.connection, checkpoint::Mode::Truncate) {
            // Nothing is lost: the next start reads the WAL.
            tracing::warn!(%error, "the WAL was not emptied at close");
        }
    }
}
