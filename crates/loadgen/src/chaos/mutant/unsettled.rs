//! A store that treats batches of unknown outcome as it must not, to see that the harness notices.
//!
//! Owns: a backend between a victim and its store that lies about such batches, or shows them before they are durable. Does not
//! own: anything that ships.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, BackendFuture, Batch, CommitBatches, HoldLeases, ReadEntries, RowOutcome,
};
use clawstore_core::{Entry, EntryKey};
use tokio::time::sleep;

/// How long a batch is shown before it is sent: as long as a disk takes that is very slow, so that it is seen.
const SHOWN_EARLY: Duration = Duration::from_millis(200);
/// Between two attempts to reach the store.
const PAUSE: Duration = Duration::from_millis(20);

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It looks whether the rows are there. Those that are not are said to be fenced: their calls run again.
    Read,
    /// All rows are said to be fenced.
    Rerun,
    /// All rows are said to have failed.
    Fail,
    /// It sends the batch again by itself, and passes on that the lane is over as if nothing had been sent before.
    OverIsNotApplied,
    /// Nothing is, but reads show rows that are on their way.
    ShowEarly,
}

pub(super) struct Unsettled {
    inner: Arc<dyn Backend>,
    trouble: Trouble,
    /// Batches that were not answered yet.
    on_the_way: Mutex<Vec<Arc<Batch>>>,
    /// Rows that were said to have failed, by key and revision: parts of a batch are told the same.
    failed: Mutex<HashSet<(EntryKey, u64)>>,
}

impl Unsettled {
    pub(super) fn new(inner: Arc<dyn Backend>, trouble: Trouble) -> Self {
        Self { inner, trouble, on_the_way: Mutex::default(), failed: Mutex::default() }
    }

    async fn commit(&self, batch: Arc<Batch>) -> Result<Vec<RowOutcome>, BackendError> {
        if self.trouble == Trouble::ShowEarly {
            lock(&self.on_the_way).push(Arc::clone(&batch));
            sleep(SHOWN_EARLY).await;
        }
        if batch.rows.iter().any(|row| lock(&self.failed).contains(&(row.key.clone(), row.entry.revision))) {
            return Err(BackendError::new(BackendErrorKind::Invalid, "said to have failed"));
        }
        let result = self.inner.commit_batch(Arc::clone(&batch)).await;
        lock(&self.on_the_way).retain(|flying| !Arc::ptr_eq(flying, &batch));
        match result {
            Err(error) if error.kind == BackendErrorKind::Unknown => self.settle(batch, error).await,
            result => result,
        }
    }

    async fn settle(&self, batch: Arc<Batch>, error: BackendError) -> Result<Vec<RowOutcome>, BackendError> {
        match self.trouble {
            Trouble::Read => self.settle_by_reading(&batch).await,
            Trouble::Rerun => Ok(vec![RowOutcome::Fenced; batch.rows.len()]),
            Trouble::Fail => {
                lock(&self.failed).extend(batch.rows.iter().map(|row| (row.key.clone(), row.entry.revision)));
                Err(BackendError::new(BackendErrorKind::Invalid, "said to have failed"))
            }
            Trouble::OverIsNotApplied => loop {
                sleep(PAUSE).await;
                let again = self.inner.commit_batch(Arc::clone(&batch)).await;
                let is_open = |kind| matches!(kind, BackendErrorKind::Unknown | BackendErrorKind::Unavailable);
                if !again.as_ref().is_err_and(|error| is_open(error.kind)) {
                    return again;
                }
            },
            Trouble::ShowEarly => Err(error),
        }
    }

    async fn settle_by_reading(&self, batch: &Batch) -> Result<Vec<RowOutcome>, BackendError> {
        let keys: Vec<EntryKey> = batch.rows.iter().map(|row| row.key.clone()).collect();
        let stored = loop {
            match self.inner.read_entries(keys.clone()).await {
                Ok(stored) => break stored,
                Err(_) => sleep(PAUSE).await,
            }
        };
        let is_there = |(row, entry): (&clawstore_core::backend::BatchRow, &Entry)| match *row.entry == *entry {
            true => RowOutcome::Committed,
            false => RowOutcome::Fenced,
        };
        Ok(batch.rows.iter().zip(&stored).map(is_there).collect())
    }

    async fn read(&self, keys: Vec<EntryKey>) -> Result<Vec<Entry>, BackendError> {
        let mut entries = self.inner.read_entries(keys.clone()).await?;
        let on_the_way = lock(&self.on_the_way);
        for (key, entry) in keys.iter().zip(&mut entries) {
            let newest = on_the_way.iter().flat_map(|batch| &batch.rows).filter(|row| row.key == *key);
            if let Some(row) = newest.max_by_key(|row| row.entry.revision) {
                *entry = (*row.entry).clone();
            }
        }
        Ok(entries)
    }
}

fn lock<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReadEntries for Unsettled {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        Box::pin(self.read(keys))
    }
}

impl CommitBatches for Unsettled {
    fn lanes(&self) -> u16 {
        self.inner.lanes()
    }

    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        Box::pin(self.commit(batch))
    }
}

clawstore_testkit::delegate! { ScanEntries, ExpireHistory, ManageGames for Unsettled, via inner }

impl Backend for Unsettled {
    fn leases(&self) -> Option<&dyn HoldLeases> {
        self.inner.leases()
    }
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsettled").field("inner", &self.inner).field("trouble", &self.trouble).finish_non_exhaustive()
    }
}
