//! The thread that writes.
//!
//! Owns: the one connection that can write, the answer to a repeated batch, when the WAL is checkpointed, and what
//! happens to the connection after a failure. Does not own: the transaction of a batch (`commit`), which batch comes
//! next (`core::lane`).

mod checkpoint;
mod commit;

use std::sync::Arc;
use std::thread;

use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, RowOutcome};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::failure::{Latch, Stage, backend_error};
use crate::lock_file::LockFile;
use crate::reader::ReadJob;
use crate::store_ids::StoreIds;
use crate::worker::{Jobs, Reply};

/// What the writer is asked for.
pub(crate) enum Job {
    Commit(Arc<Batch>, Reply<Vec<RowOutcome>>),
    /// Only of a database in memory, which has no second connection.
    Read(ReadJob),
    #[cfg(test)]
    Panic(Reply<()>),
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

/// See the module.
pub(crate) struct Writer {
    connection: Connection,
    stores: StoreIds,
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
    pub(crate) fn new(connection: Connection, lock: Option<LockFile>, latch: Latch) -> Self {
        Self { connection, stores: StoreIds::default(), last: None, latch, _lock: lock }
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
                    // After the answer: nobody waits for it, and the next batch is gathered meanwhile.
                    self.checkpoint();
                }
                Job::Read(read) => read.run(&self.connection, &mut self.stores),
                #[cfg(test)]
                Job::Panic(_reply) => panic!("asked to"),
            }
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
        match commit::run(&self.connection, &mut self.stores, batch) {
            Ok(outcomes) => {
                self.stores.committed();
                self.last = Some(Answered { seq: batch.seq, digest: batch.digest, outcomes: outcomes.clone() });
                Ok(outcomes)
            }
            Err((stage, error)) => Err(self.recover(stage, &error)),
        }
    }

    /// Makes the connection fit for the next batch, or stops.
    fn recover(&mut self, stage: Stage, error: &rusqlite::Error) -> BackendError {
        self.stores.rolled_back();
        let answer = backend_error(stage, error);
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            self.latch.set(format_args!("a failed transaction could not be rolled back: {error}"));
        }
        if answer.kind == BackendErrorKind::Halted {
            self.latch.set(&answer.message);
        } else {
            tracing::warn!(kind = ?answer.kind, message = %answer.message, "a batch was not committed");
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
