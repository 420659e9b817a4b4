//! A backend that stores nothing.
//!
//! Owns: commits that are answered, without being done, after a while or when it is released. Does not own: anything but
//! that.

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::{Backend, BackendFuture, Batch, CommitBatches, ReadEntries, RowOutcome, ScanEntries};
use clawstore_core::{Entry, EntryKey, StoreId};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub(super) struct Discard {
    released: watch::Sender<bool>,
    /// How long a commit takes at most.
    delay: Duration,
}

impl Discard {
    /// Holds every commit from the first on.
    pub(super) fn holding() -> Arc<Self> {
        Self::slow(Duration::MAX)
    }

    /// Answers each commit after `delay`, one after the other.
    pub(super) fn slow(delay: Duration) -> Arc<Self> {
        Arc::new(Self { released: watch::Sender::new(delay.is_zero()), delay })
    }

    pub(super) fn release(&self) {
        self.released.send_replace(true);
    }
}

impl ReadEntries for Discard {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        Box::pin(async move { Ok(keys.iter().map(|_| Entry::default()).collect()) })
    }
}

impl CommitBatches for Discard {
    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        Box::pin(async move {
            // Either end will do: the time is up, or it is released (the sender lives as long as this).
            let mut released = self.released.subscribe();
            let _ = tokio::time::timeout(self.delay, released.wait_for(|released| *released)).await;
            Ok(vec![RowOutcome::Committed; batch.rows.len()])
        })
    }
}

impl ScanEntries for Discard {
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn list_keys(
        &self,
        _store: Arc<StoreId>,
        _after: Option<Arc<str>>,
        _limit: usize,
    ) -> BackendFuture<'_, Vec<EntryKey>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Backend for Discard {}
