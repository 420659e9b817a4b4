//! A backend in memory, for tests.
//!
//! Owns: the seam's promises in their simplest form: base checks, versions, replay of the last batch of a lane, and, if it
//! is shared, leases. Does not own: faults (`gated_backend`). It is the naive model the others are compared with, so it is
//! kept plain.

mod games;
mod leases;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, BackendFuture, Batch, BatchRow, CommitBatches, Fence, HoldLeases,
    Incarnation, Kept, KeyItem, KeyPlace, KeyRange, LaneId, Number, Previous, ReadEntries, RowOutcome, ScanEntries,
    SortedItem, SortedQuery, StoreInfo, StoresQuery, VersionInfo, VersionQuery,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::limits::SNAPSHOT_SKEW;
use clawstore_core::ordered::sort_number;
use clawstore_core::{Entry, EntryKey, GameId, StoreId, StoreKind};

use self::leases::HintLines;
use crate::conformance::InspectVersions;

/// See the module. Clones share what is stored and the memory of the last batches.
#[derive(Debug, Clone, Default)]
pub struct MemoryBackend {
    stored: Arc<Mutex<Stored>>,
    last: Arc<Mutex<BTreeMap<LaneId, Answered>>>,
    hints: Arc<Mutex<HintLines>>,
    /// Several processes may use it: rows are asked for their fence.
    is_shared: bool,
}

#[derive(Debug, Clone, Default)]
struct Stored {
    entries: BTreeMap<EntryKey, Arc<Entry>>,
    versions: BTreeMap<EntryKey, Vec<Superseded>>,
    /// When a standard store was first and last written to.
    written: BTreeMap<(GameId, Box<str>), (Timestamp, Timestamp)>,
    snapshots: BTreeMap<GameId, Timestamp>,
    deleted: BTreeMap<GameId, Timestamp>,
    /// Beats of the incarnations that are alive.
    alive: BTreeMap<Incarnation, u64>,
    /// Those that died or left.
    ended: BTreeSet<Incarnation>,
    owners: BTreeMap<EntryKey, (Incarnation, Fence)>,
    /// Keys that all write, under one fence each.
    shared: BTreeMap<EntryKey, Fence>,
    wanted: BTreeMap<EntryKey, Incarnation>,
    /// Those that have lost their connection.
    cut_off: BTreeSet<Incarnation>,
    /// How often a standby has taken over.
    take_overs: u32,
}

/// A version that is kept.
#[derive(Debug, Clone)]
struct Superseded {
    entry: Arc<Entry>,
    /// When the next revision was written.
    at: Timestamp,
}

#[derive(Debug, Clone)]
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
        Self { last: Arc::default(), ..self.clone() }
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
        let fence = self.owners.get(&row.key).map(|(_, fence)| fence).or_else(|| self.shared.get(&row.key));
        if is_shared && fence != Some(&row.fence) {
            return RowOutcome::Fenced;
        }
        let previous = self.entries.get(&row.key);
        if let (Some(onto), Some(stored)) = (&row.onto, previous) {
            return self.add(row, onto, &Arc::clone(stored)).map_or(RowOutcome::Fenced, RowOutcome::Added);
        }
        if previous.map_or(0, |entry| entry.revision) != row.base {
            return RowOutcome::Fenced;
        }
        let superseded = previous.filter(|old| match row.previous {
            Previous::Kept => true,
            Previous::Overwritten => self.is_in_snapshot(&row.key, old),
            Previous::Erased => false,
        });
        let kept: Vec<_> = superseded.into_iter().chain(&row.kept).cloned().collect();
        let nexts = kept.iter().skip(1).chain([&row.entry]).map(|next| next.updated);
        // Of one that is kept by a snapshot, the next may be one that is not.
        let versions = kept.iter().zip(nexts).map(|(entry, at)| Superseded { entry: Arc::clone(entry), at });
        let versions: Vec<_> = versions.collect();
        self.versions.entry(row.key.clone()).or_default().extend(versions);
        self.entries.insert(row.key.clone(), Arc::clone(&row.entry));
        self.note_time(row);
        if self.wanted.contains_key(&row.key) { RowOutcome::Wanted } else { RowOutcome::Committed }
    }
}

impl Stored {
    fn is_in_snapshot(&self, key: &EntryKey, old: &Entry) -> bool {
        let snapshot = self.snapshots.get(&key.store.game);
        key.store.kind == StoreKind::Standard && snapshot.is_some_and(|at| old.updated <= at.later(SNAPSHOT_SKEW))
    }

    /// Adds a sum to what is stored under a shared key. What it was added to, or `None` if it does not fit.
    fn add(&mut self, row: &BatchRow, onto: &RangeInclusive<i64>, stored: &Entry) -> Option<Number> {
        let is_kept = self.is_in_snapshot(&row.key, stored) || !self.shared.contains_key(&row.key);
        let number = Number::of(stored).filter(|_| !is_kept)?;
        let entry = number.plus(&row.entry, onto)?;
        self.entries.insert(row.key.clone(), Arc::new(entry));
        self.note_time(row);
        Some(number)
    }

    fn note_time(&mut self, row: &BatchRow) {
        if row.key.store.kind == StoreKind::Standard {
            let at = row.entry.updated;
            let store = (row.key.store.game, row.key.store.name.clone());
            let (_, last) = self.written.entry(store).or_insert((at, at));
            *last = at.max(*last);
        }
    }

    /// Every version of a key that is kept, oldest first, with the time when it was superseded.
    fn revisions(&self, key: &EntryKey, kept: Kept) -> Vec<(Entry, Option<Timestamp>)> {
        let versions = self.versions.get(key).into_iter().flatten().filter(|version| version.at >= kept.versions_since);
        let versions = versions.map(|version| (Entry::clone(&version.entry), Some(version.at)));
        let newest = self.entries.get(key).filter(|entry| is_kept(entry, kept));
        versions.chain(newest.map(|entry| (Entry::clone(entry), None))).collect()
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

/// Is the stored revision live, or a tombstone that still counts?
fn is_kept(entry: &Entry, kept: Kept) -> bool {
    entry.value.is_some() || entry.updated >= kept.tombstones_since
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

    fn list_game_stores(&self, query: StoresQuery) -> BackendFuture<'_, Vec<StoreInfo>> {
        Box::pin(async move {
            let stored = lock(&self.stored);
            let holds_any = |store: &(GameId, Box<str>)| {
                let is_meant = |key: &EntryKey| {
                    (key.store.game, key.store.kind, &key.store.name) == (store.0, StoreKind::Standard, &store.1)
                };
                stored.entries.iter().any(|(key, entry)| is_meant(key) && is_kept(entry, query.kept))
            };
            let is_asked = |(game, name): &(GameId, Box<str>)| {
                *game == query.game && *query.after < **name && **name < *query.before
            };
            let stores = stored.written.iter().filter(|(store, _)| is_asked(store) && holds_any(store));
            let info = |((_, name), &(created, updated)): (&(GameId, Box<str>), &(Timestamp, Timestamp))| StoreInfo {
                name: name.as_ref().into(),
                created,
                updated,
            };
            Ok(stores.map(info).take(query.limit).collect())
        })
    }

    fn list_keys(&self, range: KeyRange) -> BackendFuture<'_, Vec<KeyItem>> {
        Box::pin(async move {
            let stored = lock(&self.stored);
            let store = &range.store;
            let is_meant = |key: &EntryKey| {
                (key.store.game, key.store.kind, &key.store.name) == (store.game, store.kind, &store.name)
            };
            let entries = stored.entries.iter().filter(|(key, entry)| is_meant(key) && is_kept(entry, range.kept));
            let items = entries.map(|(key, entry)| KeyItem {
                place: KeyPlace { scope: key.store.scope.as_ref().into(), key: Arc::clone(&key.key) },
                is_deleted: entry.value.is_none(),
            });
            Ok(items.filter(|i| range.after < i.place && i.place < range.before).take(range.limit).collect())
        })
    }

    fn read_version(&self, key: EntryKey, id: VersionId, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        Box::pin(async move {
            let revisions = lock(&self.stored).revisions(&key, kept);
            Ok(revisions.into_iter().map(|(entry, _)| entry).find(|entry| entry.version() == id))
        })
    }

    fn read_version_at(&self, key: EntryKey, at: Timestamp, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        Box::pin(async move {
            let revisions = lock(&self.stored).revisions(&key, kept);
            let is_current = |(entry, superseded): &(Entry, Option<Timestamp>)| {
                entry.updated <= at && superseded.is_none_or(|superseded| at < superseded)
            };
            Ok(revisions.into_iter().find(is_current).map(|(entry, _)| entry))
        })
    }

    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>> {
        Box::pin(async move {
            let revisions = lock(&self.stored).revisions(&query.key, query.kept);
            let (from, to) = (query.from.unwrap_or_default(), query.to);
            let is_behind = |at: Timestamp| match query.after {
                Some(after) if query.descending => at < after,
                Some(after) => at > after,
                None => true,
            };
            let is_asked = |at: Timestamp| at >= from && to.is_none_or(|to| at <= to) && is_behind(at);
            let asked = revisions.into_iter().map(|(entry, _)| entry).filter(|entry| is_asked(entry.updated));
            let mut infos: Vec<_> =
                asked.map(|entry| VersionInfo { id: entry.version(), is_deleted: entry.value.is_none() }).collect();
            if query.descending {
                infos.reverse();
            }
            infos.truncate(query.limit);
            Ok(infos)
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
        stored.versions.get(key).into_iter().flatten().map(|version| Entry::clone(&version.entry)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
