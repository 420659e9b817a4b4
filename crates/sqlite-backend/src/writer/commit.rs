//! One batch, one transaction.
//!
//! Owns: the order of statements for a row, and its outcome. In the common case a row is one statement that carries its
//! own condition: it changes one row, or none if the base is not stored. Does not own: what happens after a failure
//! (`writer`).

use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, BatchRow, RowOutcome};
use clawstore_core::clock::Timestamp;
use clawstore_core::ordered::sort_number;
use rusqlite::{CachedStatement, Connection, Statement};

use crate::columns::{RowKey, bind_entry, fits};
use crate::failure::Stage;
use crate::store_ids::StoreIds;

type Failure = (Stage, rusqlite::Error);

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

/// Commits the rows whose base is stored. After an error the transaction may still be open.
pub(super) fn run(connection: &Connection, stores: &mut StoreIds, batch: &Batch) -> Result<Vec<RowOutcome>, Failure> {
    let outcomes = write_rows(connection, stores, batch).map_err(|error| (Stage::Rows, error))?;
    let commit = || connection.prepare_cached("COMMIT")?.execute([]);
    commit().map_err(|error| (Stage::Commit, error))?;
    Ok(outcomes)
}

fn write_rows(connection: &Connection, stores: &mut StoreIds, batch: &Batch) -> rusqlite::Result<Vec<RowOutcome>> {
    // IMMEDIATE takes the right to write at once, so that no statement in between can find it taken.
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut statements = Statements::prepare(connection)?;
    let mut outcomes = Vec::with_capacity(batch.rows.len());
    for row in &batch.rows {
        let store = if row.base == 0 {
            Some(stores.find_or_insert(connection, &row.key.store)?)
        } else {
            stores.find(connection, &row.key.store)?
        };
        let written = match store {
            Some(store) => {
                let key = RowKey { store, scope: &row.key.store.scope, key: &row.key.key };
                write_row(&mut statements, key, row)?
            }
            None => false,
        };
        outcomes.push(if written { RowOutcome::Committed } else { RowOutcome::Fenced });
    }
    Ok(outcomes)
}

/// The statements of a row, looked up once per batch.
struct Statements<'c> {
    insert: CachedStatement<'c>,
    update: CachedStatement<'c>,
    keep: CachedStatement<'c>,
    insert_version: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: connection.prepare_cached(include_str!("../../queries/insert_entry.sql"))?,
            update: connection.prepare_cached(include_str!("../../queries/update_entry.sql"))?,
            keep: connection.prepare_cached(include_str!("../../queries/keep_entry.sql"))?,
            insert_version: connection.prepare_cached(include_str!("../../queries/insert_version.sql"))?,
        })
    }
}

/// Writes one row and its versions. `false`: the base is not stored, and nothing was written.
fn write_row(statements: &mut Statements<'_>, key: RowKey<'_>, row: &BatchRow) -> rusqlite::Result<bool> {
    let superseded_at = |next: usize| row.kept.get(next).map_or(row.entry.updated, |kept| kept.updated);
    if row.keep_previous && row.base > 0 && !keep(&mut statements.keep, key, row.base, superseded_at(0))? {
        return Ok(false);
    }
    let written = if row.base == 0 {
        key.bind(&mut statements.insert)?;
        bind_entry(&mut statements.insert, &row.entry)?;
        statements.insert.raw_bind_parameter(10, sort_number(&row.key, &row.entry))?;
        statements.insert.raw_execute()?
    } else {
        key.bind(&mut statements.update)?;
        bind_entry(&mut statements.update, &row.entry)?;
        statements.update.raw_bind_parameter(10, sort_number(&row.key, &row.entry))?;
        statements.update.raw_bind_parameter(11, row.base as i64)?;
        statements.update.raw_execute()?
    };
    if written == 0 {
        return Ok(false);
    }
    for (index, kept) in row.kept.iter().enumerate() {
        key.bind(&mut statements.insert_version)?;
        bind_entry(&mut statements.insert_version, kept)?;
        statements.insert_version.raw_bind_parameter(10, superseded_at(index + 1).ticks() as i64)?;
        statements.insert_version.raw_execute()?;
    }
    Ok(true)
}

/// Copies the stored revision to the versions; `false` if it is not `base`.
fn keep(statement: &mut Statement<'_>, key: RowKey<'_>, base: u64, superseded: Timestamp) -> rusqlite::Result<bool> {
    key.bind(statement)?;
    statement.raw_bind_parameter(4, base as i64)?;
    statement.raw_bind_parameter(5, superseded.ticks() as i64)?;
    Ok(statement.raw_execute()? > 0)
}
