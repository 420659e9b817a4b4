//! History that is not kept any more.
//!
//! Owns: one step of its deletion, as one small transaction in the writer's turn, and the deletion of one version. Does not
//! own: when a step is due, how long history is kept (the sweep says), what becomes of keys that are still in use (`swept`).

use std::collections::HashMap;

use clawstore_core::backend::{BackendError, Sweep};
use clawstore_core::entry::VersionId;
use clawstore_core::{EntryKey, StoreId, StoreKind};
use rusqlite::Connection;

use super::swept::SweptRow;
use super::{Memory, Writer};
use crate::columns::{limit, signed};

impl Writer {
    pub(crate) fn expire(&mut self, sweep: &Sweep) -> Result<usize, BackendError> {
        let (versions, rows) = self.transact(|connection, memory| {
            let versions = expire_versions(connection, memory, sweep)?;
            let mut statement = connection.prepare_cached(include_str!("../../queries/expire_entries.sql"))?;
            let place = (signed(sweep.kept_since), limit(sweep.rows - versions));
            let rows = statement.query_map(place, SweptRow::read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((versions, rows))
        })?;
        let deleted = versions + rows.len();
        self.memory.swept.remember(rows);
        Ok(deleted)
    }

    pub(crate) fn remove_version(&mut self, key: &EntryKey, id: VersionId) -> Result<(), BackendError> {
        self.transact(|connection, memory| {
            let Some(store) = memory.stores.find(connection, &key.store)? else { return Ok(()) };
            let Ok(revision) = i64::try_from(id.revision) else { return Ok(()) };
            let version = (store, &*key.store.scope, &*key.key, signed(id.updated), revision, signed(id.created));
            connection.prepare_cached(include_str!("../../queries/remove_version.sql"))?.execute(version)?;
            Ok(())
        })
    }
}

/// Store after store: each has its own cutoff, and only the index of a store tells what is behind it.
fn expire_versions(connection: &Connection, memory: &mut Memory, sweep: &Sweep) -> rusqlite::Result<usize> {
    let cutoffs = cutoffs(connection, memory, sweep)?;
    let mut stores = connection.prepare_cached(include_str!("../../queries/list_stores_with_versions.sql"))?;
    let stores = stores.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut statement = connection.prepare_cached(include_str!("../../queries/expire_versions.sql"))?;
    let mut deleted = 0;
    for store in stores {
        if deleted >= sweep.rows {
            break;
        }
        let cutoff = cutoffs.get(&store).copied().unwrap_or_else(|| signed(sweep.kept_since));
        deleted += statement.execute((store, cutoff, limit(sweep.rows - deleted)))?;
    }
    Ok(deleted)
}

/// Of those stores that have one of their own.
fn cutoffs(connection: &Connection, memory: &mut Memory, sweep: &Sweep) -> rusqlite::Result<HashMap<i64, i64>> {
    let mut cutoffs = HashMap::with_capacity(sweep.shorter.len());
    for cutoff in &sweep.shorter {
        let (name, scope) = (cutoff.store.clone(), Box::default());
        let store = StoreId { game: cutoff.game, kind: StoreKind::Standard, name, scope };
        if let Some(id) = memory.stores.find(connection, &store)? {
            cutoffs.insert(id, signed(cutoff.kept_since));
        }
    }
    Ok(cutoffs)
}
