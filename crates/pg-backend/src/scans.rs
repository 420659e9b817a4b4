//! Versions, and lists of ordered stores.
//!
//! Owns: their statements. Does not own: what is kept (`commit`).

use std::sync::Arc;

use clawstore_core::backend::{SortedItem, SortedQuery, VersionInfo, VersionQuery};
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey, StoreId, Value};
use sqlx::postgres::PgConnection;

use crate::columns::{EntryRow, ticks, unreadable, unsigned};
use crate::link::Call;
use crate::store_ids::{StoreIds, find_stores};

/// One revision of a key.
pub(crate) struct ReadVersion<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) key: &'a EntryKey,
    pub(crate) revision: u64,
}

impl Call for ReadVersion<'_> {
    type Answer = Option<Entry>;

    async fn run(&self, session: &mut PgConnection) -> Result<Option<Entry>, sqlx::Error> {
        let key = self.key;
        let Some(store) = find_store(session, self.stores, &key.store).await? else { return Ok(None) };
        let Ok(revision) = i64::try_from(self.revision) else { return Ok(None) };
        let query = sqlx::query_file!("queries/read_version.sql", store, &key.store.scope, &key.key, revision);
        let Some(row) = query.fetch_optional(session).await? else { return Ok(None) };
        let (revision, created, updated) = (row.revision, row.created, row.updated);
        let (user_ids, metadata, value) = (row.user_ids, row.metadata, row.value);
        EntryRow { revision, created, updated, user_ids, metadata, value }.entry().map(Some)
    }
}

/// One page of versions.
pub(crate) struct ListVersions<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) query: &'a VersionQuery,
}

impl Call for ListVersions<'_> {
    type Answer = Vec<VersionInfo>;

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<VersionInfo>, sqlx::Error> {
        let (key, limit) = (&self.query.key, limit(self.query.limit));
        let Some(store) = find_store(session, self.stores, &key.store).await? else { return Ok(Vec::new()) };
        let ((above, below), (from, to)) = (self.query.revisions(), self.query.ticks());
        let (scope, name) = (&*key.store.scope, &*key.key);
        let info = |revision, created, updated, is_deleted| -> Result<VersionInfo, sqlx::Error> {
            let id = VersionId { revision: unsigned(revision)?, created: ticks(created)?, updated: ticks(updated)? };
            Ok(VersionInfo { id, is_deleted })
        };
        // Each macro makes a row type of its own.
        macro_rules! list {
            ($file:literal) => {
                sqlx::query_file!($file, store, scope, name, above, below, from, to, limit)
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

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<SortedItem>, sqlx::Error> {
        let (store, limit) = (&self.query.store, limit(self.query.limit));
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

async fn find_store(
    session: &mut PgConnection,
    stores: &StoreIds,
    store: &Arc<StoreId>,
) -> Result<Option<i32>, sqlx::Error> {
    let found = find_stores(session, stores, std::iter::once(&**store)).await?;
    Ok(found.into_iter().next().flatten())
}

fn limit(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}
