//! Calls that look at what the store has now, past every cache: `GetVersionAsync` and lists (spec §2.7, §2.10, §3.2).
//!
//! Owns: what may be asked for and what it costs. Does not own: asking (`actors`), pages.

use crate::backend::{SortedItem, SortedQuery, VersionQuery};
use crate::budget::Charge;
use crate::entry::VersionId;
use crate::entry_key::EntryKey;

/// One look. It writes nothing, and may be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// `GetVersionAsync`: [`Reply::Entry`](crate::ops::Reply), of revision 0 if there is no such version.
    Version(EntryKey, VersionId),
    /// A page of `ListVersionsAsync`: [`Reply::Versions`](crate::ops::Reply).
    Versions(VersionQuery),
    /// A page of `GetSortedAsync`: [`Reply::Sorted`](crate::ops::Reply).
    Sorted(SortedQuery),
    /// The same in the exact order of [`scores`](crate::scores), behind an entry: [`Reply::Sorted`](crate::ops::Reply).
    Scores(SortedQuery, Option<SortedItem>),
}

impl Look {
    /// What it costs.
    pub const fn charge(&self) -> Charge {
        match self {
            Self::Version(..) => Charge::VERSION,
            Self::Versions(_) => Charge::VERSIONS,
            Self::Sorted(_) | Self::Scores(..) => Charge::SORTED,
        }
    }
}
