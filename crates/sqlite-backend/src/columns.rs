//! Entries as columns and back.
//!
//! Owns: how each field of an entry is stored. Does not own: the statements.

use bytes::Bytes;
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, StoreKind, Value};
use rusqlite::types::{FromSqlError, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, Statement};

/// Bytes that are text, bound without a copy on our side.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// Which key, as columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowKey<'a> {
    pub(crate) store: i64,
    pub(crate) scope: &'a str,
    pub(crate) key: &'a str,
}

impl RowKey<'_> {
    /// Binds parameters 1 to 3.
    pub(crate) fn bind(self, statement: &mut Statement<'_>) -> rusqlite::Result<()> {
        statement.raw_bind_parameter(1, self.store)?;
        statement.raw_bind_parameter(2, self.scope)?;
        statement.raw_bind_parameter(3, self.key)
    }
}

/// Binds parameters 4 to 9: revision, created, updated, user ids, metadata, value.
pub(crate) fn bind_entry(statement: &mut Statement<'_>, entry: &Entry) -> rusqlite::Result<()> {
    statement.raw_bind_parameter(4, entry.revision as i64)?;
    statement.raw_bind_parameter(5, entry.created.ticks() as i64)?;
    statement.raw_bind_parameter(6, entry.updated.ticks() as i64)?;
    statement.raw_bind_parameter(7, user_ids_text(&entry.attributes.user_ids))?;
    let metadata = &entry.attributes.metadata;
    statement.raw_bind_parameter(8, (!metadata.is_empty()).then_some(Text(metadata)))?;
    statement.raw_bind_parameter(9, entry.value.as_ref().map(|value| Text(value.json())))
}

/// Whether the numbers of an entry fit into columns: SQLite's integers are signed.
pub(crate) fn fits(entry: &Entry) -> bool {
    [entry.revision, entry.created.ticks(), entry.updated.ticks()].iter().all(|&number| i64::try_from(number).is_ok())
}

/// Reads revision, created, updated, user ids, metadata, value, in this order from column 0.
pub(crate) fn read_entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let value = text(row, 5)?.map(Value::new).transpose();
    Ok(Entry {
        revision: number(row, 0)?,
        created: ticks(row, 1)?,
        updated: ticks(row, 2)?,
        value: value.map_err(|error| unreadable(5, error))?,
        attributes: Attributes {
            user_ids: match row.get_ref(3)?.as_bytes_or_null().map_err(|error| unreadable(3, error))? {
                Some(json) => serde_json::from_slice(json).map_err(|error| unreadable(3, error))?,
                None => Vec::new(),
            },
            metadata: text(row, 4)?.unwrap_or_default(),
        },
    })
}

/// A time as a column holds it; the last there is for one that does not fit.
pub(crate) fn signed(at: Timestamp) -> i64 {
    i64::try_from(at.ticks()).unwrap_or(i64::MAX)
}

/// How many rows at most, as SQL takes it.
pub(crate) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

pub(crate) fn ticks(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    number(row, index).map(Timestamp::from_ticks)
}

pub(crate) fn number(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let stored: i64 = row.get(index)?;
    u64::try_from(stored).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, stored))
}

fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Bytes>> {
    let bytes = row.get_ref(index)?.as_bytes_or_null().map_err(|error| unreadable(index, error))?;
    Ok(bytes.map(Bytes::copy_from_slice))
}

/// A column that does not hold what we once wrote there.
pub(crate) fn unreadable(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}

fn user_ids_text(ids: &[i64]) -> Option<String> {
    // A list of integers looks the same in JSON and in Rust but for the spaces.
    (!ids.is_empty()).then(|| format!("{ids:?}").replace(' ', ""))
}

pub(crate) const fn kind_text(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Standard => "standard",
        StoreKind::Ordered => "ordered",
    }
}

pub(crate) fn kind_from_text(text: &str) -> rusqlite::Result<StoreKind> {
    match text {
        "standard" => Ok(StoreKind::Standard),
        "ordered" => Ok(StoreKind::Ordered),
        _ => Err(unreadable(1, FromSqlError::InvalidType)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_json() {
        assert_eq!(user_ids_text(&[]), None);
        assert_eq!(user_ids_text(&[1, -2, 3]).as_deref(), Some("[1,-2,3]"));
    }
}
