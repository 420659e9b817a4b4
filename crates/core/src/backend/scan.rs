//! Lists and versions: what is asked for and what comes back.
//!
//! Owns: queries with their order and cursors, the same for every backend. Does not own: how many items a caller may ask
//! for (`limits`), pages.

use std::sync::Arc;

use super::BackendFuture;
use crate::clock::Timestamp;
use crate::entry::{Entry, VersionId};
use crate::entry_key::{EntryKey, StoreId};
use crate::limits::NAME_BYTES_MAX;
use crate::value::Value;

/// Behind every key: its first 50 bytes are the greatest that UTF-8 has.
const BEHIND_ANY_KEY: &str = "\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}";

const _: () = assert!(BEHIND_ANY_KEY.len() > NAME_BYTES_MAX);

/// Lists what is stored.
pub trait ScanEntries: Send + Sync {
    /// Stores of any game, with their scopes, in order.
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>>;
    /// Live keys of a store after `after` in byte order, at most `limit`.
    fn list_keys(&self, store: Arc<StoreId>, after: Option<Arc<str>>, limit: usize)
    -> BackendFuture<'_, Vec<EntryKey>>;
    /// One revision of a key: the stored one, or one that is kept. `None` if it is neither.
    fn read_version(&self, key: EntryKey, revision: u64) -> BackendFuture<'_, Option<Entry>>;
    /// The stored revision of a key and those that are kept, tombstones included.
    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>>;
    /// Live entries of an ordered store.
    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>>;
}

/// Versions of a key, in the order of their revisions, which is that of their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionQuery {
    /// Of which key.
    pub key: EntryKey,
    /// Newest first.
    pub descending: bool,
    /// Not those accepted before this.
    pub from: Option<Timestamp>,
    /// Not those accepted after this.
    pub to: Option<Timestamp>,
    /// Only those behind this revision, in the order asked for.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

impl VersionQuery {
    /// The revisions asked for, neither bound included: what `after` and the order make of it.
    pub fn revisions(&self) -> (i64, i64) {
        let after = self.after.map(signed);
        if self.descending { (0, after.unwrap_or(i64::MAX)) } else { (after.unwrap_or(0), i64::MAX) }
    }

    /// The ticks asked for, both bounds included.
    pub fn ticks(&self) -> (i64, i64) {
        let ticks = |at: Timestamp| signed(at.ticks());
        (self.from.map_or(0, ticks), self.to.map_or(i64::MAX, ticks))
    }
}

/// Databases have no unsigned numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A version, without its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionInfo {
    /// Its id, with all of its times.
    pub id: VersionId,
    /// It is a tombstone.
    pub is_deleted: bool,
}

/// Live entries of an ordered store by number, those of the same number by key in byte order. Descending is exactly the
/// reverse of ascending, keys of the same number included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedQuery {
    /// Of which store.
    pub store: Arc<StoreId>,
    /// Smallest number first.
    pub ascending: bool,
    /// Not those of a smaller number.
    pub min: i64,
    /// Not those of a greater number.
    pub max: i64,
    /// Only those behind this number and key, in the order asked for.
    pub after: Option<(i64, Arc<str>)>,
    /// At most so many.
    pub limit: usize,
}

impl SortedQuery {
    /// Number and key in front of the first that is asked for, and the last number: all that a database must compare.
    pub fn bounds(&self) -> ((i64, &str), i64) {
        // No key is empty, so the empty text stands before all of them.
        let first = if self.ascending { (self.min, "") } else { (self.max, BEHIND_ANY_KEY) };
        let after = self.after.as_ref().map_or(first, |(number, key)| (*number, &**key));
        if self.ascending { (after.max(first), self.max) } else { (after.min(first), self.min) }
    }
}

/// An entry of an ordered store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedItem {
    /// Its key.
    pub key: Arc<str>,
    /// The number by which it is sorted.
    pub number: i64,
    /// Its value.
    pub value: Value,
}
