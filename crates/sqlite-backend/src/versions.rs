//! Versions of a key.
//!
//! Owns: their statements. Each is one statement, so that what moves from the entries to the versions meanwhile is seen once.
//! Does not own: who runs them (`reader`), what is kept (`writer`), how long it is shown (the caller says).

use clawstore_core::backend::{Kept, VersionInfo, VersionQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::columns::{limit, number, read_entry, signed, ticks};
use crate::store_ids::StoreIds;

pub(crate) fn read(
    connection: &Connection,
    stores: &mut StoreIds,
    key: &EntryKey,
    id: VersionId,
    kept: Kept,
) -> rusqlite::Result<Option<Entry>> {
    let sql = include_str!("../queries/read_version.sql");
    let entry = read_one(connection, stores, sql, key, id.updated, kept)?;
    // One of this time that has another id is another one: the key's history was replaced.
    Ok(entry.filter(|entry| entry.version() == id))
}

pub(crate) fn read_at(
    connection: &Connection,
    stores: &mut StoreIds,
    key: &EntryKey,
    at: Timestamp,
    kept: Kept,
) -> rusqlite::Result<Option<Entry>> {
    read_one(connection, stores, include_str!("../queries/read_version_at.sql"), key, at, kept)
}

fn read_one(
    connection: &Connection,
    stores: &mut StoreIds,
    sql: &str,
    key: &EntryKey,
    at: Timestamp,
    kept: Kept,
) -> rusqlite::Result<Option<Entry>> {
    let Some(store) = stores.find(connection, &key.store)? else { return Ok(None) };
    let (tombstones, versions) = (signed(kept.tombstones_since), signed(kept.versions_since));
    let parameters = (store, &*key.store.scope, &*key.key, signed(at), tombstones, versions);
    connection.prepare_cached(sql)?.query_row(parameters, read_entry).optional()
}

pub(crate) fn list(
    connection: &Connection,
    stores: &mut StoreIds,
    query: &VersionQuery,
) -> rusqlite::Result<Vec<VersionInfo>> {
    let key = &query.key;
    let Some(store) = stores.find(connection, &key.store)? else { return Ok(Vec::new()) };
    let sql = if query.descending {
        include_str!("../queries/list_versions_descending.sql")
    } else {
        include_str!("../queries/list_versions_ascending.sql")
    };
    let (tombstones, versions) = (signed(query.kept.tombstones_since), signed(query.kept.versions_since));
    let (from, to) = query.ticks();
    let key = (store, &*key.store.scope, &*key.key, tombstones, versions, from, to, limit(query.limit));
    connection.prepare_cached(sql)?.query_map(key, read_info)?.collect()
}

fn read_info(row: &Row<'_>) -> rusqlite::Result<VersionInfo> {
    let id = VersionId { revision: number(row, 0)?, created: ticks(row, 1)?, updated: ticks(row, 2)? };
    Ok(VersionInfo { id, is_deleted: row.get(3)? })
}
