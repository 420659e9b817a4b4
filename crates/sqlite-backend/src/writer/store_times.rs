//! When stores were first and last written to.
//!
//! Owns: which of these times are due to be stored: they are in the transaction of the write, but `updated` only when what is
//! stored is a minute old, so that a batch into one store is rarely a statement more. Does not own: who lists them (`scans`).

use std::collections::BTreeMap;

use clawstore_core::Entry;
use rusqlite::Connection;

use crate::columns::signed;

/// How far the stored `updated` may be behind, in ticks: a minute.
const BEHIND_TICKS: i64 = 60 * 10_000_000;
/// Stores remembered at most: beyond it the memory starts anew, which costs a statement per store.
const REMEMBERED_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StoreTimes {
    /// `updated` of stores, as it is stored. A tree, because every row looks here and hashing a number costs more.
    stored: BTreeMap<i64, i64>,
    /// First and last time that the running transaction stores.
    due: BTreeMap<i64, (i64, i64)>,
}

impl StoreTimes {
    /// An entry was written to a store.
    pub(super) fn note(&mut self, store: i64, entry: &Entry) {
        let (created, updated) = (signed(entry.created), signed(entry.updated));
        if self.stored.get(&store).is_none_or(|stored| updated > stored.saturating_add(BEHIND_TICKS)) {
            let (first, last) = self.due.entry(store).or_insert((created, updated));
            (*first, *last) = ((*first).min(created), (*last).max(updated));
        }
    }

    /// Stores what is due, within the running transaction.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (store, (first, last)) in &self.due {
            let mut statement = connection.prepare_cached(include_str!("../../queries/update_store_times.sql"))?;
            statement.execute((store, first, last))?;
        }
        Ok(())
    }

    /// The transaction has committed.
    pub(super) fn committed(&mut self) {
        if self.stored.len() + self.due.len() > REMEMBERED_MAX {
            self.stored.clear();
        }
        self.stored.extend(std::mem::take(&mut self.due).into_iter().map(|(store, (_, last))| (store, last)));
    }

    /// The transaction did not commit.
    pub(super) fn rolled_back(&mut self) {
        self.due.clear();
    }

    /// What is stored has changed otherwise.
    pub(super) fn forget(&mut self) {
        self.stored.clear();
    }
}
