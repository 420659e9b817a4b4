//! A backend in memory, for tests.
//!
//! Owns: the seam's promises in their simplest form: base checks, versions, replay of the last batch of a lane, and, if it
//! is shared, leases. Does not own: faults (`gated_backend`). It is the naive model the others are compared with, so it is
//! kept plain.

mod leases;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, BackendFuture, Batch, BatchRow, CommitBatches, Fence, HoldLeases,
    Incarnation, LaneId, ReadEntries, RowOutcome, ScanEntries, SortedItem, SortedQuery, VersionInfo, VersionQuery,
};
use clawstore_core::ordered::sort_number;
use clawstore_core::{Entry, EntryKey, StoreId};

use crate::conformance::InspectVersions;

/// See the module. Clones share what is stored and the memory of the last batches.
#[derive(Debug, Clone, Default)]
pub struct MemoryBackend {
    stored: Arc<Mutex<Stored>>,
    last: Arc<Mutex<BTreeMap<LaneId, Answered>>>,
    /// Several processes may use it: rows are asked for their fence.
    is_shared: bool,
}

#[derive(Debug, Default)]
struct Stored {
    entries: BTreeMap<EntryKey, Arc<Entry>>,
    versions: BTreeMap<EntryKey, Vec<Arc<Entry>>>,
    /// Beats of the incarnations that are alive.
    alive: BTreeMap<Incarnation, u64>,
    /// Those that died or left.
    ended: BTreeSet<Incarnation>,
    owners: BTreeMap<EntryKey, (Incarnation, Fence)>,
    wanted: BTreeMap<EntryKey, Incarnation>,
}

#[derive(Debug)]
struct Answered {
    seq: u64,
    digest: u64,
    outcomes: Vec<RowOutcome>,
}

impl MemoryBackend {
    /// An empty one, of one process.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one for several processes, each with a clone.
    pub fn shared() -> Self {
        Self { is_shared: true, ..Self::default() }
    }

    /// What a restarted process would open: the same data, no memory of a lane.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { stored: Arc::clone(&self.stored), last: Arc::default(), is_shared: self.is_shared }
    }

    /// What is stored under a key now; [`Entry::default`] for none.
    pub fn entry(&self, key: &EntryKey) -> Entry {
        lock(&self.stored).entries.get(key).map_or_else(Entry::default, |entry| Entry::clone(entry))
    }

    /// Writes as if another process had: past any base, remembered by no lane.
    pub fn overwrite(&self, key: &EntryKey, entry: Entry) {
        lock(&self.stored).entries.insert(key.clone(), Arc::new(entry));
    }

    fn commit(&self, batch: &Batch) -> Result<Vec<RowOutcome>, BackendError> {
        let mut last = lock(&self.last);
        let error = |kind, text: &str| Err(BackendError::new(kind, text));
        if let Some(last) = last.get(&batch.lane) {
            if (last.seq, last.digest) == (batch.seq, batch.digest) {
                return Ok(last.outcomes.clone());
            }
            if batch.seq <= last.seq {
                // Without leases there is no incarnation to begin anew with.
                let kind = if self.is_shared { BackendErrorKind::Over } else { BackendErrorKind::Invalid };
                return error(kind, "a used batch number with other rows");
            }
        }
        let seq = last.get(&batch.lane).map(|last| last.seq);
        if self.is_shared && seq != batch.seq.checked_sub(1) {
            return error(BackendErrorKind::Over, "no such lane, or not at this batch number");
        }
        if let Some(row) = batch.rows.iter().find(|row| !revisions_grow(row)) {
            let text = format!("{}: revision {} does not follow {}", row.key, row.entry.revision, row.base);
            return Err(BackendError::new(BackendErrorKind::Invalid, text));
        }
        let mut stored = lock(&self.stored);
        let outcomes: Vec<_> = batch.rows.iter().map(|row| stored.write(row, self.is_shared)).collect();
        let answered = Answered { seq: batch.seq, digest: batch.digest, outcomes: outcomes.clone() };
        last.insert(batch.lane, answered);
        Ok(outcomes)
    }
}

fn revisions_grow(row: &BatchRow) -> bool {
    let kept = row.kept.iter().map(|entry| entry.revision);
    let revisions: Vec<_> = std::iter::once(row.base).chain(kept).chain([row.entry.revision]).collect();
    revisions.is_sorted_by(|a, b| a < b)
}

impl Stored {
    fn write(&mut self, row: &BatchRow, is_shared: bool) -> RowOutcome {
        let owner = self.owners.get(&row.key);
        if is_shared && owner.is_none_or(|(_, fence)| *fence != row.fence) {
            return RowOutcome::Fenced;
        }
        let previous = self.entries.get(&row.key);
        if previous.map_or(0, |entry| entry.revision) != row.base {
            return RowOutcome::Fenced;
        }
        let superseded = previous.filter(|_| row.keep_previous).cloned();
        let versions = superseded.into_iter().chain(row.kept.iter().cloned());
        self.versions.entry(row.key.clone()).or_default().extend(versions);
        self.entries.insert(row.key.clone(), Arc::clone(&row.entry));
        if self.wanted.contains_key(&row.key) { RowOutcome::Wanted } else { RowOutcome::Committed }
    }
}

impl Stored {
    /// Everything that is known of a key, oldest first.
    fn revisions(&self, key: &EntryKey) -> Vec<Entry> {
        let kept = self.versions.get(key).into_iter().flatten();
        kept.chain(self.entries.get(key)).map(|entry| Entry::clone(entry)).collect()
    }

    /// Live entries of an ordered store, ascending.
    fn sorted(&self, store: &StoreId) -> Vec<SortedItem> {
        let entries = self.entries.iter().filter(|(key, _)| *key.store == *store);
        let item = |(key, entry): (&EntryKey, &Arc<Entry>)| {
            let (number, value) = (sort_number(key, entry)?, entry.value.clone()?);
            Some(SortedItem { key: Arc::clone(&key.key), number, value })
        };
        let mut items: Vec<_> = entries.filter_map(item).collect();
        items.sort_by(|a, b| (a.number, &a.key).cmp(&(b.number, &b.key)));
        items
    }
}

impl ReadEntries for MemoryBackend {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        Box::pin(async move { Ok(keys.iter().map(|key| self.entry(key)).collect()) })
    }
}

impl CommitBatches for MemoryBackend {
    fn lanes(&self) -> u16 {
        if self.is_shared { 2 } else { 1 }
    }

    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        Box::pin(async move { self.commit(&batch) })
    }
}

impl ScanEntries for MemoryBackend {
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>> {
        Box::pin(async move {
            let mut stores: Vec<_> = lock(&self.stored).entries.keys().map(|key| StoreId::clone(&key.store)).collect();
            stores.dedup();
            Ok(stores)
        })
    }

    fn list_keys(
        &self,
        store: Arc<StoreId>,
        after: Option<Arc<str>>,
        limit: usize,
    ) -> BackendFuture<'_, Vec<EntryKey>> {
        Box::pin(async move {
            let stored = lock(&self.stored);
            let live = stored.entries.iter().filter(|(key, entry)| key.store == store && entry.value.is_some());
            let beyond = live.filter(|(key, _)| after.as_ref().is_none_or(|after| key.key > *after));
            Ok(beyond.map(|(key, _)| key.clone()).take(limit).collect())
        })
    }

    fn read_version(&self, key: EntryKey, revision: u64) -> BackendFuture<'_, Option<Entry>> {
        Box::pin(async move { Ok(lock(&self.stored).revisions(&key).into_iter().find(|e| e.revision == revision)) })
    }

    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>> {
        Box::pin(async move {
            let mut revisions = lock(&self.stored).revisions(&query.key);
            let (from, to) = (query.from.unwrap_or_default(), query.to);
            revisions.retain(|entry| entry.updated >= from && to.is_none_or(|to| entry.updated <= to));
            if query.descending {
                revisions.reverse();
            }
            let first = match query.after {
                Some(after) if query.descending => revisions.partition_point(|entry| entry.revision >= after),
                Some(after) => revisions.partition_point(|entry| entry.revision <= after),
                None => 0,
            };
            let info = |entry: &Entry| VersionInfo { id: entry.version(), is_deleted: entry.value.is_none() };
            Ok(revisions.iter().skip(first).take(query.limit).map(info).collect())
        })
    }

    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>> {
        Box::pin(async move {
            let mut items = lock(&self.stored).sorted(&query.store);
            items.retain(|item| (query.min..=query.max).contains(&item.number));
            if !query.ascending {
                items.reverse();
            }
            if let Some(after) = &query.after {
                items.retain(|item| {
                    let place = (item.number, &item.key).cmp(&(after.0, &after.1));
                    place == if query.ascending { Ordering::Greater } else { Ordering::Less }
                });
            }
            items.truncate(query.limit);
            Ok(items)
        })
    }
}

impl Backend for MemoryBackend {
    fn leases(&self) -> Option<&dyn HoldLeases> {
        self.is_shared.then_some(self as &dyn HoldLeases)
    }
}

impl InspectVersions for MemoryBackend {
    fn versions(&self, key: &EntryKey) -> Vec<Entry> {
        let stored = lock(&self.stored);
        stored.versions.get(key).into_iter().flatten().map(|entry| Entry::clone(entry)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
