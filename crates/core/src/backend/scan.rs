//! Lists and versions: what is asked for and what comes back.
//!
//! Owns: queries with their order and bounds, the same for every backend. Does not own: how many items a caller may ask
//! for (`limits`), pages and cursors (`listing`), how long history is kept (`versioning`).

use std::sync::Arc;

use super::BackendFuture;
use crate::clock::Timestamp;
use crate::entry::{Entry, VersionId};
use crate::entry_key::{EntryKey, GameId, StoreId};
use crate::limits::NAME_BYTES_MAX;
use crate::value::Value;

/// Behind every name: its first 50 bytes are the greatest that UTF-8 has.
pub const BEHIND_ANY_NAME: &str = "\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}";

const _: () = assert!(BEHIND_ANY_NAME.len() > NAME_BYTES_MAX);

/// Lists what is stored. Nothing that is not kept any more is shown, whether or not it is deleted yet.
pub trait ScanEntries: Send + Sync {
    /// Stores of any game, with their scopes, in order. For people who look into a store.
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>>;
    /// Standard stores of one game that hold at least one key, removed ones included, by name in byte order.
    fn list_game_stores(&self, query: StoresQuery) -> BackendFuture<'_, Vec<StoreInfo>>;
    /// Keys of a store, removed ones included, by scope and key in byte order.
    fn list_keys(&self, range: KeyRange) -> BackendFuture<'_, Vec<KeyItem>>;
    /// One version of a key: the stored one, or one that is kept. `None` if it is neither.
    fn read_version(&self, key: EntryKey, id: VersionId, kept: Kept) -> BackendFuture<'_, Option<Entry>>;
    /// The version that was current at a time: written at it or before, and superseded after it. `None` if there was none,
    /// or it is not kept.
    fn read_version_at(&self, key: EntryKey, at: Timestamp, kept: Kept) -> BackendFuture<'_, Option<Entry>>;
    /// The stored version of a key and those that are kept, tombstones included.
    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>>;
    /// Live entries of an ordered store.
    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>>;
}

/// What of a store's history is still kept (`decisions.md` 10, 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Versions superseded at this time or later.
    pub versions_since: Timestamp,
    /// Removed keys whose tombstone was written at this time or later.
    pub tombstones_since: Timestamp,
}

/// Names of stores between two bounds, neither included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoresQuery {
    /// Of which game.
    pub game: GameId,
    /// Only names behind this one.
    pub after: Arc<str>,
    /// Only names before this one.
    pub before: Arc<str>,
    /// Stores with nothing but older tombstones are empty.
    pub kept: Kept,
    /// At most so many.
    pub limit: usize,
}

/// A store in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    /// Its name; empty for the global data store.
    pub name: Arc<str>,
    /// When it was first written to.
    pub created: Timestamp,
    /// When it was last written to; at most a minute behind.
    pub updated: Timestamp,
}

/// Where a key stands in its store: by scope, then by key, in byte order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPlace {
    /// The scope.
    pub scope: Arc<str>,
    /// The key.
    pub key: Arc<str>,
}

/// Keys of one store between two places, neither included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// Of which store; its scope is not looked at.
    pub store: Arc<StoreId>,
    /// Only keys behind this place.
    pub after: KeyPlace,
    /// Only keys before this place.
    pub before: KeyPlace,
    /// Older tombstones are not shown.
    pub kept: Kept,
    /// At most so many.
    pub limit: usize,
}

impl KeyRange {
    /// Keys of the scope of `store` behind a key, in byte order.
    pub fn of_scope(store: Arc<StoreId>, after: &str, kept: Kept, limit: usize) -> Self {
        let place = |key: &str| KeyPlace { scope: store.scope.as_ref().into(), key: key.into() };
        // No key is empty, so the empty text stands before all of them.
        Self { after: place(after), before: place(BEHIND_ANY_NAME), kept, limit, store }
    }
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyItem {
    /// Its scope and name.
    pub place: KeyPlace,
    /// It is removed, and its tombstone is still kept.
    pub is_deleted: bool,
}

/// Versions of a key, in the order of their times, which is that of their revisions.
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
    /// Only those behind the one of this time, in the order asked for.
    pub after: Option<Timestamp>,
    /// What is still kept.
    pub kept: Kept,
    /// At most so many.
    pub limit: usize,
}

impl VersionQuery {
    /// The ticks asked for, both bounds included: what `from`, `to`, `after` and the order make of them. Empty if the first is
    /// greater.
    pub fn ticks(&self) -> (i64, i64) {
        let ticks = |at: Timestamp| signed(at.ticks());
        let (first, last) = (self.from.map_or(0, ticks), self.to.map_or(i64::MAX, ticks));
        match self.after.map(ticks) {
            None => (first, last),
            Some(after) if self.descending => (first, last.min(after.saturating_sub(1))),
            Some(after) => (first.max(after.saturating_add(1)), last),
        }
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
        let first = if self.ascending { (self.min, "") } else { (self.max, BEHIND_ANY_NAME) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry_key::StoreKind;

    fn store() -> Arc<StoreId> {
        Arc::new(StoreId::new(GameId::Number(1), StoreKind::Ordered, b"Coins", b"gold").expect("legal"))
    }

    #[test]
    fn versions_are_asked_for_between_two_ticks_both_included() {
        let at = |ticks| Some(Timestamp::from_ticks(ticks));
        let ticks = |descending, from, to, after| {
            let key = EntryKey::new(&store(), b"k").expect("legal");
            VersionQuery { key, descending, from, to, after, kept: Kept::default(), limit: 1 }.ticks()
        };
        for descending in [false, true] {
            assert_eq!(ticks(descending, None, None, None), (0, i64::MAX));
            assert_eq!(ticks(descending, at(3), at(9), None), (3, 9));
        }
        assert_eq!(ticks(false, at(3), at(9), at(5)), (6, 9));
        assert_eq!(ticks(true, at(3), at(9), at(5)), (3, 4));
        assert_eq!(ticks(false, at(3), at(9), at(1)), (3, 9), "a cursor widens nothing");
        assert_eq!(ticks(true, at(3), at(9), at(20)), (3, 9), "a cursor widens nothing");
        assert_eq!(ticks(false, None, None, at(u64::MAX)), (i64::MAX, i64::MAX));
    }

    #[test]
    fn numbers_are_asked_for_behind_a_place_and_up_to_a_number() {
        let query = |ascending, after: Option<(i64, &str)>| {
            let after = after.map(|(number, key)| (number, key.into()));
            SortedQuery { store: store(), ascending, min: -5, max: 7, after, limit: 1 }
        };
        assert_eq!(query(true, None).bounds(), ((-5, ""), 7));
        assert_eq!(query(false, None).bounds(), ((7, BEHIND_ANY_NAME), -5));
        assert_eq!(query(true, Some((2, "k"))).bounds(), ((2, "k"), 7));
        assert_eq!(query(false, Some((2, "k"))).bounds(), ((2, "k"), -5));
        assert_eq!(query(true, Some((-9, "k"))).bounds(), ((-5, ""), 7), "a cursor widens nothing");
        assert_eq!(query(false, Some((9, "k"))).bounds(), ((7, BEHIND_ANY_NAME), -5), "a cursor widens nothing");
    }

    #[test]
    fn a_scope_is_a_range_from_behind_a_key() {
        let range = KeyRange::of_scope(store(), "k", Kept::default(), 3);
        let place = |key: &str| KeyPlace { scope: "gold".into(), key: key.into() };
        assert_eq!((range.after, range.before, range.limit), (place("k"), place(BEHIND_ANY_NAME), 3));
    }
}
