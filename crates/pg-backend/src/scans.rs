//! Versions, and lists of ordered stores.
//!
//! Owns: their statements. Does not own: what is kept (`commit`).

use clawstore_core::backend::{Kept, SortedItem, SortedQuery, VersionInfo, VersionQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey, Value};
use sqlx::postgres::PgConnection;

use crate::columns::{EntryRow, bound, count, id_columns, ticks, unreadable, unsigned};
use crate::link::Call;
use crate::store_ids::{StoreIds, find_store};

/// One version of a key, by its id.
pub(crate) struct ReadVersion<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) key: &'a EntryKey,
    pub(crate) id: VersionId,
    pub(crate) kept: Kept,
}

/// The version of a key that was current at a time.
pub(crate) struct ReadVersionAt<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) key: &'a EntryKey,
    pub(crate) at: Timestamp,
    pub(crate) kept: Kept,
}

/// Each macro makes a row type of its own.
macro_rules! version {
    ($query:expr, $session:expr) => {{
        let Some(row) = $query.fetch_optional($session).await? else { return Ok(None) };
        let (revision, created, updated) = (row.revision, row.created, row.updated);
        let (user_ids, metadata, value) = (row.user_ids, row.metadata, row.value);
        EntryRow { revision, created, updated, user_ids, metadata, value }.entry().map(Some)
    }};
}

impl Call for ReadVersion<'_> {
    type Answer = Option<Entry>;

    fn shows(&self, _: &Self::Answer) -> bool {
        true
    }

    async fn run(&self, session: &mut PgConnection) -> Result<Option<Entry>, sqlx::Error> {
        let Some(store) = find_store(session, self.stores, &self.key.store).await? else { return Ok(None) };
        let Some([updated, revision, created]) = id_columns(self.id) else { return Ok(None) };
        let query = sqlx::query_file!(
            "queries/read_version.sql",
            store,
            &self.key.store.scope,
            &self.key.key,
            updated,
            revision,
            created,
            bound(self.kept.tombstones_since),
            bound(self.kept.versions_since),
        );
        version!(query, session)
    }
}

impl Call for ReadVersionAt<'_> {
    type Answer = Option<Entry>;

    fn shows(&self, _: &Self::Answer) -> bool {
        true
    }

    async fn run(&self, session: &mut PgConnection) -> Result<Option<Entry>, sqlx::Error> {
        let Some(store) = find_store(session, self.stores, &self.key.store).await? else { return Ok(None) };
        let query = sqlx::query_file!(
            "queries/read_version_at.sql",
            store,
            &self.key.store.scope,
            &self.key.key,
            bound(self.at),
            bound(self.kept.tombstones_since),
            bound(self.kept.versions_since),
        );
        version!(query, session)
    }
}

/// One page of versions.
pub(crate) struct ListVersions<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) query: &'a VersionQuery,
}

impl Call for ListVersions<'_> {
    type Answer = Vec<VersionInfo>;

    fn shows(&self, _: &Self::Answer) -> bool {
        true
    }

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<VersionInfo>, sqlx::Error> {
        let (key, limit) = (&self.query.key, count(self.query.limit));
        let Some(store) = find_store(session, self.stores, &key.store).await? else { return Ok(Vec::new()) };
        let (scope, name, (from, to)) = (&*key.store.scope, &*key.key, self.query.ticks());
        let (tombstones, versions) = (bound(self.query.kept.tombstones_since), bound(self.query.kept.versions_since));
        let info = |revision, created, updated, is_deleted| -> Result<VersionInfo, sqlx::Error> {
            let id = VersionId { revision: unsigned(revision)?, created: ticks(created)?, updated: ticks(updated)? };
            Ok(VersionInfo { id, is_deleted })
        };
        macro_rules! list {
            ($file:literal) => {
                sqlx::query_file!($file, store, scope, name, from, to, tombstones, versions, limit)
                    .fetch_all(session)
                    .await?
                    .into_iter()
                    .map(|row| info(row.revision, row.created, row.updated, row.is_deleted))
                    .collect()
            };
        }
        if self.query.descending {
            list!("queries/list_versions_descending.sql")
        } else {
            list!("queries/list_versions_ascending.sql")
        }
    }
}

/// One page of an ordered store.
pub(crate) struct ListSorted<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) query: &'a SortedQuery,
}

impl Call for ListSorted<'_> {
    type Answer = Vec<SortedItem>;

    fn shows(&self, _: &Self::Answer) -> bool {
        true
    }

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<SortedItem>, sqlx::Error> {
        let (store, limit) = (&self.query.store, count(self.query.limit));
        let Some(id) = find_store(session, self.stores, store).await? else { return Ok(Vec::new()) };
        let ((number, key), last) = self.query.bounds();
        let item = |key: String, number, value: String| -> Result<SortedItem, sqlx::Error> {
            Ok(SortedItem { key: key.into(), number, value: Value::new(value).map_err(unreadable)? })
        };
        macro_rules! list {
            ($file:literal) => {
                sqlx::query_file!($file, id, &store.scope, number, key, last, limit)
                    .fetch_all(session)
                    .await?
                    .into_iter()
                    .map(|row| item(row.key, row.num, row.value))
                    .collect()
            };
        }
        if self.query.ascending {
            list!("queries/list_sorted_ascending.sql")
        } else {
            list!("queries/list_sorted_descending.sql")
        }
    }
}
