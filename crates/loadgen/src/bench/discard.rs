//! A backend that stores nothing.
//!
//! Owns: commits that are not answered until it is released, and are then answered without being done. Does not own:
//! anything but that.

use std::sync::Arc;

use clawstore_core::backend::{Backend, BackendFuture, Batch, CommitBatches, ReadEntries, RowOutcome, ScanEntries};
use clawstore_core::{Entry, EntryKey, StoreId};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub(super) struct Discard {
    released: watch::Sender<bool>,
}

impl Discard {
    /// Holds every commit from the first on.
    pub(super) fn holding() -> Arc<Self> {
        Arc::new(Self { released: watch::Sender::new(false) })
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
            // The sender lives as long as this.
            let _ = self.released.subscribe().wait_for(|released| *released).await;
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
