//! Versions, and lists of ordered stores.
//!
//! Owns: their statements. Does not own: who runs them (`reader`), what is kept (`writer`).

use clawstore_core::backend::{SortedItem, SortedQuery, VersionInfo, VersionQuery};
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey, Value};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::columns::{number, read_entry, ticks, unreadable};
use crate::store_ids::StoreIds;

pub(crate) fn read_version(
    connection: &Connection,
    stores: &mut StoreIds,
    key: &EntryKey,
    revision: u64,
) -> rusqlite::Result<Option<Entry>> {
    let Some(store) = stores.find(connection, &key.store)? else { return Ok(None) };
    let Ok(revision) = i64::try_from(revision) else { return Ok(None) };
    let mut statement = connection.prepare_cached(include_str!("../queries/read_version.sql"))?;
    statement.query_row((store, &*key.store.scope, &*key.key, revision), read_entry).optional()
}

pub(crate) fn list_versions(
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
    let ((above, below), (from, to)) = (query.revisions(), query.ticks());
    let key = (store, &*key.store.scope, &*key.key, above, below, from, to, limit(query.limit));
    connection.prepare_cached(sql)?.query_map(key, read_info)?.collect()
}

fn read_info(row: &Row<'_>) -> rusqlite::Result<VersionInfo> {
    let id = VersionId { revision: number(row, 0)?, created: ticks(row, 1)?, updated: ticks(row, 2)? };
    Ok(VersionInfo { id, is_deleted: row.get(3)? })
}

pub(crate) fn list_sorted(
    connection: &Connection,
    stores: &mut StoreIds,
    query: &SortedQuery,
) -> rusqlite::Result<Vec<SortedItem>> {
    let Some(store) = stores.find(connection, &query.store)? else { return Ok(Vec::new()) };
    let sql = if query.ascending {
        include_str!("../queries/list_sorted_ascending.sql")
    } else {
        include_str!("../queries/list_sorted_descending.sql")
    };
    let ((number, key), last) = query.bounds();
    let place = (store, &*query.store.scope, number, key, last, limit(query.limit));
    connection.prepare_cached(sql)?.query_map(place, read_item)?.collect()
}

fn read_item(row: &Row<'_>) -> rusqlite::Result<SortedItem> {
    let key: String = row.get(0)?;
    let value = Value::new(row.get::<_, String>(2)?).map_err(|error| unreadable(2, error))?;
    Ok(SortedItem { key: key.into(), number: row.get(1)?, value })
}

fn limit(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::connection::open_in_memory;
    use crate::migrations::migrate;

    /// Every statement finds its rows by an index, in the order in which they are asked for.
    #[test]
    fn every_statement_goes_through_its_index() {
        let mut connection = open_in_memory().expect("opens");
        migrate(&mut connection, ":memory:".as_ref()).expect("a schema");
        let queries = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        for file in std::fs::read_dir(queries).expect("is there").map(|file| file.expect("is there").path()) {
            let sql = std::fs::read_to_string(&file).expect("is text");
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("is SQL");
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let steps = statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3));
            for step in steps.expect("has a plan").map(|step| step.expect("is text")) {
                let few = file.ends_with("list_stores.sql") || file.ends_with("read_health.sql");
                assert!(few || !(step.contains("SCAN") || step.contains("TEMP B-TREE")), "{}: {step}", file.display());
                let sorted = file.to_string_lossy().contains("list_sorted") && step.starts_with("SEARCH");
                assert!(!sorted || step.contains("INDEX entry_ordered (store=? AND scope=?"), "{step}");
            }
        }
    }
}
