//! The rows of a batch.
//!
//! Owns: the order of statements for a row, and its outcome. In the common case a row is one statement that carries its
//! own condition: it changes one row, or none if the base is not stored. Does not own: the transaction and what happens
//! after a failure (`writer`), which revisions are kept but for those that a snapshot wants (the batch says).

use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, BatchRow, Previous, RowOutcome};
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::SNAPSHOT_SKEW;
use clawstore_core::ordered::sort_number;
use clawstore_core::{Entry, EntryKey, StoreKind};
use rusqlite::{CachedStatement, Connection, Statement};

use super::Memory;
use crate::columns::{RowKey, bind_entry, fits, signed};

/// Refuses a batch that no retry would make acceptable, before anything is written.
pub(super) fn check_rows(batch: &Batch) -> Result<(), BackendError> {
    for row in &batch.rows {
        let grows = row.kept.iter().try_fold(row.base, |last, kept| (kept.revision > last).then_some(kept.revision));
        let in_order = grows.is_some_and(|last| row.entry.revision > last);
        if !in_order || !fits(&row.entry) || !row.kept.iter().all(|kept| fits(kept)) {
            let text = format!("{}: revision {} does not follow {}", row.key, row.entry.revision, row.base);
            return Err(BackendError::new(BackendErrorKind::Invalid, text));
        }
    }
    Ok(())
}

/// Writes the rows whose base is stored, within the running transaction.
pub(super) fn write_rows(
    connection: &Connection,
    memory: &mut Memory,
    batch: &Batch,
) -> rusqlite::Result<Vec<RowOutcome>> {
    let mut statements = Statements::prepare(connection)?;
    let mut outcomes = Vec::with_capacity(batch.rows.len());
    for row in &batch.rows {
        let store = if row.base == 0 {
            Some(memory.stores.find_or_insert(connection, &row.key.store)?)
        } else {
            memory.stores.find(connection, &row.key.store)?
        };
        let written = match store {
            Some(store) => {
                let key = RowKey { store, scope: &row.key.store.scope, key: &row.key.key };
                let written = write_row(&mut statements, memory, key, row)?;
                if written {
                    memory.times.note(store, &row.entry);
                }
                written
            }
            None => false,
        };
        outcomes.push(if written { RowOutcome::Committed } else { RowOutcome::Fenced });
    }
    memory.times.write(connection)?;
    Ok(outcomes)
}

/// The statements of a row, looked up once per batch.
struct Statements<'c> {
    insert: CachedStatement<'c>,
    update: CachedStatement<'c>,
    update_live: CachedStatement<'c>,
    keep: CachedStatement<'c>,
    insert_version: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: connection.prepare_cached(include_str!("../../queries/insert_entry.sql"))?,
            update: connection.prepare_cached(include_str!("../../queries/update_entry.sql"))?,
            update_live: connection.prepare_cached(include_str!("../../queries/update_live_entry.sql"))?,
            keep: connection.prepare_cached(include_str!("../../queries/keep_entry.sql"))?,
            insert_version: connection.prepare_cached(include_str!("../../queries/insert_version.sql"))?,
        })
    }
}

/// Writes one row and its versions. `false`: the base is not stored, and nothing was written.
fn write_row(
    statements: &mut Statements<'_>,
    memory: &Memory,
    key: RowKey<'_>,
    row: &BatchRow,
) -> rusqlite::Result<bool> {
    let written = if row.base == 0 {
        insert(&mut statements.insert, key, row)?
    } else {
        supersede(statements, snapshot_of(memory, row), key, row)?
            // To whoever knows the key, its tombstone was there until now.
            || (memory.swept.holds(key, row.base) && insert(&mut statements.insert, key, row)?)
    };
    if !written {
        return Ok(false);
    }
    for (index, kept) in row.kept.iter().enumerate() {
        key.bind(&mut statements.insert_version)?;
        bind_entry(&mut statements.insert_version, kept)?;
        statements.insert_version.raw_bind_parameter(10, superseded_at(row, index + 1).ticks() as i64)?;
        statements.insert_version.raw_execute()?;
    }
    Ok(true)
}

/// Overwrites the stored revision, and keeps it if the row or a snapshot wants it.
fn supersede(
    statements: &mut Statements<'_>,
    snapshot: Option<i64>,
    key: RowKey<'_>,
    row: &BatchRow,
) -> rusqlite::Result<bool> {
    match row.previous {
        Previous::Kept => Ok(keep(&mut statements.keep, key, row)? && update(statements, key, row, None)?),
        Previous::Overwritten if snapshot.is_some() => {
            // Once per key and snapshot the first of them changes nothing.
            Ok(update(statements, key, row, snapshot)?
                || (keep(&mut statements.keep, key, row)? && update(statements, key, row, None)?))
        }
        Previous::Overwritten | Previous::Erased => update(statements, key, row, None),
    }
}

/// Up to which time rows of the key's game were last written that its snapshot wants.
fn snapshot_of(memory: &Memory, row: &BatchRow) -> Option<i64> {
    let store = &row.key.store;
    if memory.snapshots.is_empty() || store.kind == StoreKind::Ordered {
        return None;
    }
    memory.snapshots.get(&store.game).map(|at| signed(at.later(SNAPSHOT_SKEW)))
}

fn insert(statement: &mut Statement<'_>, key: RowKey<'_>, row: &BatchRow) -> rusqlite::Result<bool> {
    bind_row(statement, key, row)?;
    Ok(statement.raw_execute()? > 0)
}

/// `newer_than`: only if the stored revision was written after this time.
fn update(
    statements: &mut Statements<'_>,
    key: RowKey<'_>,
    row: &BatchRow,
    newer_than: Option<i64>,
) -> rusqlite::Result<bool> {
    let (base, newer_than) = (row.base as i64, newer_than.unwrap_or(-1));
    // The common case first: nearly all writes are of live keys.
    if row.key.store.kind == StoreKind::Standard && row.entry.value.is_some() {
        let live = &mut statements.update_live;
        key.bind(live)?;
        bind_entry(live, &row.entry)?;
        live.raw_bind_parameter(10, base)?;
        live.raw_bind_parameter(11, newer_than)?;
        if live.raw_execute()? > 0 {
            return Ok(true);
        }
    }
    let statement = &mut statements.update;
    bind_row(statement, key, row)?;
    statement.raw_bind_parameter(12, base)?;
    statement.raw_bind_parameter(13, newer_than)?;
    Ok(statement.raw_execute()? > 0)
}

/// Binds parameters 1 to 11: key, entry, and what it is found by.
fn bind_row(statement: &mut Statement<'_>, key: RowKey<'_>, row: &BatchRow) -> rusqlite::Result<()> {
    key.bind(statement)?;
    bind_entry(statement, &row.entry)?;
    statement.raw_bind_parameter(10, sort_number(&row.key, &row.entry))?;
    statement.raw_bind_parameter(11, removed(&row.key, &row.entry))
}

/// From when a tombstone is; ordered stores keep none, so theirs are older than any time.
fn removed(key: &EntryKey, entry: &Entry) -> Option<i64> {
    match (&entry.value, key.store.kind) {
        (Some(_), _) => None,
        (None, StoreKind::Standard) => Some(signed(entry.updated)),
        (None, StoreKind::Ordered) => Some(-1),
    }
}

/// When what comes before the n-th kept revision was superseded; beyond the last of them, before the entry.
fn superseded_at(row: &BatchRow, next: usize) -> Timestamp {
    row.kept.get(next).map_or(row.entry.updated, |kept| kept.updated)
}

/// Copies the stored revision to the versions; `false` if it is not the base.
fn keep(statement: &mut Statement<'_>, key: RowKey<'_>, row: &BatchRow) -> rusqlite::Result<bool> {
    key.bind(statement)?;
    statement.raw_bind_parameter(4, row.base as i64)?;
    statement.raw_bind_parameter(5, superseded_at(row, 0).ticks() as i64)?;
    Ok(statement.raw_execute()? > 0)
}
