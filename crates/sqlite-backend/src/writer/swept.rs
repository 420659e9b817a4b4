//! Removed rows that were deleted while somebody may still build on them.
//!
//! Owns: the revisions of tombstones that the sweep of this process has deleted. Does not own: the sweep (`expiry`).
//!
//! **Why.** A key's actor lives on the revision that it read or wrote last, and never hears that the row was deleted. Its next
//! write has that revision as its base, and a base that is not stored is fenced (I5). Here there are no leases that would tell
//! which keys are in use, so a write on exactly the tombstone that was deleted, to a key that has no row, is written as if the
//! tombstone were still there. That is what would have happened without the sweep: only this process writes (`LOCK`), so
//! nothing can have been in the row's place meanwhile, and a tombstone that is not kept is a key that was never written. Any
//! other base without a row is fenced as ever.
//!
//! The memory is bounded. A write on a tombstone that is forgotten is fenced: nothing of it is lost, its actor reads the key
//! again and makes the call on what is stored.

use std::collections::HashMap;

use rusqlite::Row;

use crate::columns::{RowKey, number};

/// Rows remembered at most, some 200 bytes each; beyond it the memory starts anew.
const REMEMBERED_MAX: usize = 65_536;

/// A row that was deleted.
pub(super) struct SweptRow {
    key: (i64, Box<str>, Box<str>),
    revision: u64,
}

impl SweptRow {
    /// Reads store, scope, key and revision from column 0 on.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { key: (row.get(0)?, row.get(1)?, row.get(2)?), revision: number(row, 3)? })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Swept(HashMap<(i64, Box<str>, Box<str>), u64>);

impl Swept {
    /// A sweep that deleted these rows has committed.
    pub(super) fn remember(&mut self, rows: Vec<SweptRow>) {
        if self.0.len() + rows.len() > REMEMBERED_MAX {
            self.0.clear();
        }
        self.0.extend(rows.into_iter().map(|row| (row.key, row.revision)));
    }

    /// Was the last row of the key a tombstone of this revision that was deleted here? There may be a row again.
    pub(super) fn holds(&self, key: RowKey<'_>, revision: u64) -> bool {
        let find = || self.0.get(&(key.store, key.scope.into(), key.key.into()));
        !self.0.is_empty() && find() == Some(&revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: usize) -> SweptRow {
        SweptRow { key: (1, "global".into(), format!("k{number}").into()), revision: 2 }
    }

    #[test]
    fn the_memory_is_bounded() {
        let key = |key| RowKey { store: 1, scope: "global", key };
        let mut swept = Swept::default();
        swept.remember((0..REMEMBERED_MAX).map(row).collect());
        assert!(swept.holds(key("k0"), 2) && !swept.holds(key("k0"), 1) && !swept.holds(key("x"), 2));
        swept.remember(vec![row(REMEMBERED_MAX)]);
        assert!(!swept.holds(key("k0"), 2) && swept.holds(key("k65536"), 2));
        assert_eq!(swept.0.len(), 1);
    }
}
