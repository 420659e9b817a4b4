//! History that is not kept any more.
//!
//! Owns: one step of its deletion, as one small transaction in the writer's turn, and the deletion of one version. Does not
//! own: when a step is due, how long history is kept (the sweep says), what becomes of keys that are still in use (`swept`).

use clawstore_core::backend::{BackendError, Sweep};
use clawstore_core::entry::VersionId;
use clawstore_core::{EntryKey, StoreId, StoreKind};
use rusqlite::Connection;

use super::room::{Room, Step};
use super::swept::SweptRow;
use super::{Memory, Writer};
use crate::columns::signed;

impl Writer {
    /// One step of at most so many rows.
    pub(crate) fn expire(&mut self, sweep: &Sweep, rows: usize) -> Result<Step, BackendError> {
        let (step, swept) = self.transact(|connection, memory| {
            let mut room = Room::of(rows);
            expire_versions(connection, memory, sweep, &mut room)?;
            let mut statement = connection.prepare_cached(include_str!("../../queries/expire_entries.sql"))?;
            let place = (signed(sweep.kept_since), room.rows());
            let swept = statement.query_map(place, SweptRow::read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            // They have no values.
            swept.iter().for_each(|_| room.take(0));
            Ok((room.step(), swept))
        })?;
        self.memory.swept.remember(swept);
        Ok(step)
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

/// Those of stores with a cutoff of their own, then what is too old for every store.
fn expire_versions(
    connection: &Connection,
    memory: &mut Memory,
    sweep: &Sweep,
    room: &mut Room,
) -> rusqlite::Result<()> {
    let delete = include_str!("../../queries/delete_version.sql");
    for cutoff in &sweep.shorter {
        let (name, scope) = (cutoff.store.clone(), Box::default());
        let store = StoreId { game: cutoff.game, kind: StoreKind::Standard, name, scope };
        if let Some(id) = memory.stores.find(connection, &store)? {
            let place = (id, signed(cutoff.kept_since), room.rows());
            room.delete(connection, include_str!("../../queries/expire_store_versions.sql"), place, delete)?;
        }
    }
    let place = (signed(sweep.kept_since), room.rows());
    room.delete(connection, include_str!("../../queries/expire_versions.sql"), place, delete)
}
