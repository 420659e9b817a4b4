//! Calls that look at what the store has now, past every cache: `GetVersionAsync`, `BatchGetAsync` and lists (spec §2.7, §2.10,
//! §3.2, §3.3).
//!
//! Owns: what may be asked for and what it costs. Does not own: asking (`actors`), pages.

use crate::backend::{SortedItem, SortedQuery, VersionQuery};
use crate::budget::Charge;
use crate::clock::Timestamp;
use crate::entry::VersionId;
use crate::entry_key::EntryKey;
use crate::listing::{KeyList, StoreList};

/// One look. It writes nothing, and may be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// `GetVersionAsync`: [`Reply::Entry`](crate::ops::Reply), of revision 0 if there is no such version.
    Version(EntryKey, VersionId),
    /// `GetVersionAtTimeAsync`: the same, for the version that was current at a time.
    VersionAt(EntryKey, Timestamp),
    /// A page of `ListVersionsAsync`: [`Reply::Versions`](crate::ops::Reply).
    Versions(VersionQuery),
    /// A page of `GetSortedAsync`: [`Reply::Sorted`](crate::ops::Reply).
    Sorted(SortedQuery),
    /// The same in the exact order of [`scores`](crate::scores), behind an entry: [`Reply::Sorted`](crate::ops::Reply).
    Scores(SortedQuery, Option<SortedItem>),
    /// `BatchGetAsync`, of keys of one ordered store: [`Reply::Entries`](crate::ops::Reply).
    Batch(Vec<EntryKey>),
    /// A page of `ListKeysAsync`: [`Reply::Keys`](crate::ops::Reply).
    Keys(KeyList),
    /// A page of `ListDataStoresAsync`: [`Reply::Stores`](crate::ops::Reply).
    Stores(StoreList),
}

impl Look {
    /// The key that it is about, if it is about one.
    pub const fn key(&self) -> Option<&EntryKey> {
        match self {
            Self::Version(key, _) | Self::VersionAt(key, _) => Some(key),
            Self::Versions(query) => Some(&query.key),
            Self::Sorted(_) | Self::Scores(..) | Self::Batch(_) | Self::Keys(_) | Self::Stores(_) => None,
        }
    }

    /// What it costs.
    pub fn charge(&self) -> Charge {
        match self {
            Self::Version(..) | Self::VersionAt(..) => Charge::VERSION,
            Self::Versions(_) | Self::Keys(_) | Self::Stores(_) => Charge::LIST,
            Self::Batch(keys) => Charge::batch(keys.len()),
            Self::Sorted(_) | Self::Scores(..) => Charge::SORTED,
        }
    }
}
