//! A store that answers too early, to see that the harness notices.
//!
//! Owns: a backend that says `Committed` at once and commits the batch some batches later; until then it reads its own
//! queue, so that nothing shows while the process lives and gives no lease back. Does not own: anything that ships.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendError, BackendFuture, Batch, CommitBatches, HoldLeases, ReadEntries, RowOutcome,
};
use clawstore_core::{Entry, EntryKey};
use tokio::sync::Mutex;

/// Batches that are answered and not committed. A few milliseconds of load: what a missing sync would lose.
const BEHIND: usize = 8;

pub(super) struct EarlyAnswers {
    inner: Arc<dyn Backend>,
    queue: Mutex<VecDeque<Arc<Batch>>>,
}

impl EarlyAnswers {
    pub(super) fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, queue: Mutex::default() }
    }

    async fn commit(&self, batch: Arc<Batch>) -> Result<Vec<RowOutcome>, BackendError> {
        let answer = vec![RowOutcome::Committed; batch.rows.len()];
        let mut queue = self.queue.lock().await;
        queue.push_back(batch);
        if queue.len() > BEHIND
            && let Some(due) = queue.pop_front()
        {
            self.inner.commit_batch(due).await?;
        }
        Ok(answer)
    }

    async fn read(&self, keys: Vec<EntryKey>) -> Result<Vec<Entry>, BackendError> {
        let queue = self.queue.lock().await;
        let mut entries = self.inner.read_entries(keys.clone()).await?;
        for (key, entry) in keys.iter().zip(&mut entries) {
            let newest = queue.iter().rev().flat_map(|batch| &batch.rows).find(|row| row.key == *key);
            if let Some(row) = newest {
                *entry = (*row.entry).clone();
            }
        }
        Ok(entries)
    }
}

impl ReadEntries for EarlyAnswers {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        Box::pin(self.read(keys))
    }
}

impl CommitBatches for EarlyAnswers {
    fn lanes(&self) -> u16 {
        self.inner.lanes()
    }

    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        Box::pin(self.commit(batch))
    }
}

clawstore_testkit::delegate! { ScanEntries, ExpireHistory, ManageGames for EarlyAnswers, via inner }

impl Backend for EarlyAnswers {
    fn leases(&self) -> Option<&dyn HoldLeases> {
        self.inner.leases()
    }
}

impl fmt::Debug for EarlyAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EarlyAnswers").field("inner", &self.inner).finish_non_exhaustive()
    }
}
