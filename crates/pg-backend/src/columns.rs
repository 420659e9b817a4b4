//! Entries and keys as columns and back.
//!
//! Owns: how each field is stored. Does not own: the statements.

use bytes::Bytes;
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, Postgres};

/// A key whose store is known: what rows are found by, in the order in which they are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey<'a> {
    pub(crate) store: i32,
    pub(crate) scope: &'a str,
    pub(crate) key: &'a str,
}

impl<'a> RowKey<'a> {
    pub(crate) fn new(store: i32, key: &'a EntryKey) -> Self {
        Self { store, scope: &key.store.scope, key: &key.key }
    }
}

/// Bytes that are text, bound without a copy on our side. The server checks that they are UTF-8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl sqlx::Type<Postgres> for Text<'_> {
    fn type_info() -> PgTypeInfo {
        <str as sqlx::Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Text<'_> {
    fn array_type_info() -> PgTypeInfo {
        <&str as PgHasArrayType>::array_type_info()
    }
}

impl sqlx::Encode<'_, Postgres> for Text<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0);
        Ok(IsNull::No)
    }
}

/// The JSON text of a value; none for a tombstone.
pub(crate) fn value_text(entry: &Entry) -> Option<Text<'_>> {
    entry.value.as_ref().map(|value| Text(value.json()))
}

/// Metadata; none for the empty text.
pub(crate) fn metadata_text(entry: &Entry) -> Option<Text<'_>> {
    let metadata = &entry.attributes.metadata;
    (!metadata.is_empty()).then_some(Text(metadata))
}

/// User ids as the text of a Postgres array, which can stand in an array itself; none for the empty list.
pub(crate) fn user_ids_text(entry: &Entry) -> Option<String> {
    let ids = &entry.attributes.user_ids;
    // Both write a list of integers alike, but for the brackets and the spaces.
    (!ids.is_empty()).then(|| format!("{ids:?}").replace('[', "{").replace(']', "}"))
}

/// Whether the numbers of an entry fit into columns: Postgres's integers are signed.
pub(crate) fn fits(entry: &Entry) -> bool {
    [entry.revision, entry.created.ticks(), entry.updated.ticks()].iter().all(|&number| i64::try_from(number).is_ok())
}

/// The columns of an entry, as a statement returned them.
#[derive(Debug, Default)]
pub(crate) struct EntryRow {
    pub(crate) revision: i64,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) user_ids: Option<Vec<i64>>,
    pub(crate) metadata: Option<String>,
    pub(crate) value: Option<String>,
}

impl EntryRow {
    /// The entry, or why the row cannot be one.
    pub(crate) fn entry(self) -> Result<Entry, sqlx::Error> {
        Ok(Entry {
            revision: unsigned(self.revision)?,
            created: ticks(self.created)?,
            updated: ticks(self.updated)?,
            value: self.value.map(Value::new).transpose().map_err(unreadable)?,
            attributes: Attributes {
                user_ids: self.user_ids.unwrap_or_default(),
                metadata: self.metadata.map(Bytes::from).unwrap_or_default(),
            },
        })
    }
}

/// A column of ours is never negative.
pub(crate) fn unsigned(number: i64) -> Result<u64, sqlx::Error> {
    u64::try_from(number).map_err(unreadable)
}

pub(crate) fn ticks(number: i64) -> Result<Timestamp, sqlx::Error> {
    unsigned(number).map(Timestamp::from_ticks)
}

/// A time that columns are compared with. One that is beyond them is behind all of theirs.
pub(crate) fn bound(at: Timestamp) -> i64 {
    i64::try_from(at.ticks()).unwrap_or(i64::MAX)
}

/// When a version was written, its revision, and when its key was made. `None` for an id that no version can have.
pub(crate) fn id_columns(id: VersionId) -> Option<[i64; 3]> {
    let column = |number: u64| i64::try_from(number).ok();
    Some([column(id.updated.ticks())?, column(id.revision)?, column(id.created.ticks())?])
}

/// How many rows at most.
pub(crate) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A store as columns name it.
pub(crate) fn store_id(game: &str, kind: &str, name: String, scope: String) -> Result<StoreId, sqlx::Error> {
    let kind = match kind {
        "standard" => StoreKind::Standard,
        "ordered" => StoreKind::Ordered,
        _ => return Err(unreadable(format!("a store of kind `{kind}`"))),
    };
    let game = game.parse::<GameId>().map_err(unreadable)?;
    Ok(StoreId { game, kind, name: name.into(), scope: scope.into() })
}

pub(crate) const fn kind_text(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Standard => "standard",
        StoreKind::Ordered => "ordered",
    }
}

/// A column that does not hold what we once wrote there.
pub(crate) fn unreadable(error: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_the_text_of_an_array() {
        let mut entry = Entry::default();
        assert_eq!(user_ids_text(&entry), None);
        entry.attributes.user_ids = vec![1, -2, 3];
        assert_eq!(user_ids_text(&entry).as_deref(), Some("{1, -2, 3}"));
    }
}
