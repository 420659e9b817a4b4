//! Entries, and lists of stores and keys.
//!
//! Owns: their statements. Does not own: versions (`versions`), who runs them (`reader`).

use std::sync::Arc;

use clawstore_core::backend::{KeyItem, KeyPlace, KeyRange, SortedItem, SortedQuery, StoreInfo, StoresQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Entry, EntryKey, GameId, StoreId, Value};
use rusqlite::{Connection, Row};

use crate::columns::{RowKey, kind_from_text, limit, read_entry, signed, ticks, unreadable};
use crate::store_ids::StoreIds;

pub(crate) fn read_entries(
    connection: &Connection,
    stores: &mut StoreIds,
    keys: &[EntryKey],
) -> rusqlite::Result<Vec<Entry>> {
    // One transaction for many keys: else each of them takes and gives back the read lock.
    let transaction = if keys.len() > 1 { Some(connection.unchecked_transaction()?) } else { None };
    let mut statement = connection.prepare_cached(include_str!("../queries/read_entry.sql"))?;
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let entry = match stores.find(connection, &key.store)? {
            Some(store) => {
                RowKey { store, scope: &key.store.scope, key: &key.key }.bind(&mut statement)?;
                statement.raw_query().next()?.map(read_entry).transpose()?
            }
            None => None,
        };
        entries.push(entry.unwrap_or_default());
    }
    drop(statement);
    if let Some(transaction) = transaction {
        transaction.commit()?;
    }
    Ok(entries)
}

pub(crate) fn list_stores(connection: &Connection) -> rusqlite::Result<Vec<StoreId>> {
    let mut statement = connection.prepare_cached(include_str!("../queries/list_stores.sql"))?;
    let mut stores = statement.query_map([], read_store)?.collect::<rusqlite::Result<Vec<_>>>()?;
    // Games are text in SQL and numbers here, so the order is made here.
    stores.sort_unstable();
    Ok(stores)
}

/// Games that are deleted and not purged, with the time of their deletion.
pub(crate) fn list_deleted_games(connection: &Connection) -> rusqlite::Result<Vec<(GameId, Timestamp)>> {
    let mut statement = connection.prepare_cached(include_str!("../queries/list_deleted_games.sql"))?;
    statement.query_map([], |row| Ok((read_game(row, 0)?, ticks(row, 1)?)))?.collect()
}

fn read_store(row: &Row<'_>) -> rusqlite::Result<StoreId> {
    Ok(StoreId {
        game: read_game(row, 0)?,
        kind: kind_from_text(row.get_ref(1)?.as_str().map_err(|error| unreadable(1, error))?)?,
        name: row.get(2)?,
        scope: row.get(3)?,
    })
}

/// A game's number or UUID.
pub(crate) fn read_game(row: &Row<'_>, index: usize) -> rusqlite::Result<GameId> {
    let text = row.get_ref(index)?.as_str().map_err(|error| unreadable(index, error))?;
    text.parse().map_err(|error| unreadable(index, error))
}

pub(crate) fn list_game_stores(connection: &Connection, query: &StoresQuery) -> rusqlite::Result<Vec<StoreInfo>> {
    let since = signed(query.kept.tombstones_since);
    let parameters = (query.game.to_string(), &*query.after, &*query.before, since, limit(query.limit));
    let mut statement = connection.prepare_cached(include_str!("../queries/list_game_stores.sql"))?;
    let infos = statement.query_map(parameters, |row| {
        let name: String = row.get(0)?;
        Ok(StoreInfo { name: name.into(), created: ticks(row, 1)?, updated: ticks(row, 2)? })
    })?;
    infos.collect()
}

pub(crate) fn list_keys(
    connection: &Connection,
    stores: &mut StoreIds,
    range: &KeyRange,
) -> rusqlite::Result<Vec<KeyItem>> {
    let Some(store) = stores.find(connection, &range.store)? else { return Ok(Vec::new()) };
    let (after, before, since) = (&range.after, &range.before, signed(range.kept.tombstones_since));
    let places = (store, &*after.scope, &*after.key, &*before.scope, &*before.key, since, limit(range.limit));
    let mut statement = connection.prepare_cached(include_str!("../queries/list_keys.sql"))?;
    let mut rows = statement.query(places)?;
    let (mut items, mut scope): (Vec<KeyItem>, Arc<str>) = (Vec::new(), Arc::clone(&after.scope));
    while let Some(row) = rows.next()? {
        let text = |index| row.get_ref(index)?.as_str().map_err(|error| unreadable(index, error));
        // Most keys of a list are in one scope.
        if text(0)? != &*scope {
            scope = text(0)?.into();
        }
        let place = KeyPlace { scope: Arc::clone(&scope), key: text(1)?.into() };
        items.push(KeyItem { place, is_deleted: row.get(2)? });
    }
    debug_assert!(items.is_sorted_by(|a, b| a.place < b.place), "BINARY order is byte order");
    Ok(items)
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

#[cfg(test)]
mod tests {
    use crate::connection::open_in_memory;
    use crate::migrations::migrate;

    /// What statements look at that read a whole table, or what a recursion has found: there are few games and stores.
    const SMALL: [&str; 4] = ["SCAN game", "SCAN sqlite_master", "SCAN store ", "SCAN found"];

    /// Which part of an index a list, a look at versions, or a deletion reads.
    const RANGES: [(&str, &str); 15] = [
        ("list_game_stores", "sqlite_autoindex_store_1 (game=? AND kind=? AND name>? AND name<?)"),
        ("list_keys", "sqlite_autoindex_entry_1 (store=? AND (scope,key)>(?,?) AND (scope,key)<(?,?))"),
        ("list_sorted_ascending", "entry_ordered (store=? AND scope=? AND (num,key)>(?,?) AND num<?)"),
        ("list_sorted_descending", "entry_ordered (store=? AND scope=? AND num>? AND (num,key)<(?,?))"),
        (
            "list_versions_ascending",
            "sqlite_autoindex_version_1 (store=? AND scope=? AND key=? AND updated>? AND updated<?)",
        ),
        (
            "list_versions_descending",
            "sqlite_autoindex_version_1 (store=? AND scope=? AND key=? AND updated>? AND updated<?)",
        ),
        ("read_version", "sqlite_autoindex_version_1 (store=? AND scope=? AND key=? AND updated=?)"),
        ("read_version_at", "sqlite_autoindex_version_1 (store=? AND scope=? AND key=? AND updated<?)"),
        ("remove_version", "sqlite_autoindex_version_1 (store=? AND scope=? AND key=? AND updated=?)"),
        ("expire_versions", "version_superseded (superseded<?)"),
        ("expire_store_versions", "version_superseded_in_store (store=? AND superseded<?)"),
        ("expire_entries", "entry_removed (removed<?)"),
        ("list_filled_stores", "sqlite_autoindex_store_1 (game=?)"),
        ("purge_versions", "version_superseded_in_store (store=?)"),
        ("purge_entries", "sqlite_autoindex_entry_1 (store=?)"),
    ];

    /// The steps of every statement's plan, by name.
    fn plans() -> Vec<(String, Vec<String>)> {
        let mut connection = open_in_memory().expect("opens");
        migrate(&mut connection, ":memory:".as_ref()).expect("a schema");
        let queries = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
        let files = std::fs::read_dir(queries).expect("is there").map(|file| file.expect("is there").path());
        let plan = |file: std::path::PathBuf| {
            let sql = std::fs::read_to_string(&file).expect("is text");
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("is SQL");
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let steps = statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3));
            let steps = steps.expect("has a plan").map(|step| step.expect("is text")).collect();
            (file.file_stem().expect("has a name").to_string_lossy().into_owned(), steps)
        };
        files.map(plan).collect()
    }

    /// Every statement finds its rows by an index, in the order in which they are asked for.
    #[test]
    fn every_statement_goes_through_its_index() {
        let plans = plans();
        for (name, steps) in &plans {
            for step in steps {
                let is_small = SMALL.iter().any(|small| step.starts_with(small));
                assert!(is_small || !(step.contains("SCAN") || step.contains("TEMP B-TREE")), "{name}: {step}");
            }
        }
        for (name, range) in RANGES {
            let (_, steps) = plans.iter().find(|(plan, _)| plan == name).expect(name);
            assert!(steps.iter().any(|step| step.ends_with(&format!(" INDEX {range}"))), "{name}: {steps:?}");
        }
    }
}
