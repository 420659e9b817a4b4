//! What is stored: single keys, and lists.
//!
//! Owns: the read statements. Does not own: caches, or which read may be shared.

use std::sync::Arc;

use clawstore_core::{Entry, EntryKey, StoreId};
use sqlx::postgres::{PgBindIterExt as _, PgConnection};

use crate::columns::{EntryRow, store_id};
use crate::link::Call;
use crate::store_ids::{StoreIds, find_stores};

/// What is stored under each key.
pub(crate) struct ReadEntries<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) keys: &'a [EntryKey],
}

impl Call for ReadEntries<'_> {
    type Answer = Vec<Entry>;

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<Entry>, sqlx::Error> {
        let keys = self.keys;
        let mut entries = vec![Entry::default(); keys.len()];
        let ids = find_stores(session, self.stores, keys.iter().map(|key| &*key.store)).await?;
        let known: Vec<_> = keys.iter().zip(ids).enumerate().filter_map(|(n, (key, id))| Some((n, key, id?))).collect();
        if known.is_empty() {
            return Ok(entries);
        }
        let query = sqlx::query_file!(
            "queries/read_entries.sql",
            known.iter().map(|(.., store)| *store).bind_iter() as _,
            known.iter().map(|(_, key, _)| &*key.store.scope).bind_iter() as _,
            known.iter().map(|(_, key, _)| &*key.key).bind_iter() as _,
        );
        for row in query.fetch_all(session).await? {
            // Rows are counted from 1.
            let (place, ..) = known[row.n as usize - 1];
            let (revision, created, updated) = (row.revision, row.created, row.updated);
            let (user_ids, metadata, value) = (row.user_ids, row.metadata, row.value);
            entries[place] = EntryRow { revision, created, updated, user_ids, metadata, value }.entry()?;
        }
        Ok(entries)
    }
}

/// Every store with its scopes.
pub(crate) struct ListStores;

impl Call for ListStores {
    type Answer = Vec<StoreId>;

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<StoreId>, sqlx::Error> {
        let rows = sqlx::query_file!("queries/list_stores.sql").fetch_all(session).await?;
        let stores = rows.into_iter().map(|row| store_id(&row.game, &row.kind, row.name, row.scope));
        let mut stores = stores.collect::<Result<Vec<_>, _>>()?;
        // Games are text in SQL and numbers here, so the order is made here.
        stores.sort_unstable();
        Ok(stores)
    }
}

/// One page of live keys.
pub(crate) struct ListKeys<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) store: &'a Arc<StoreId>,
    pub(crate) after: Option<&'a str>,
    pub(crate) limit: usize,
}

impl Call for ListKeys<'_> {
    type Answer = Vec<EntryKey>;

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<EntryKey>, sqlx::Error> {
        let ids = find_stores(session, self.stores, std::iter::once(&**self.store)).await?;
        let [Some(id)] = ids[..] else { return Ok(Vec::new()) };
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        // No key is empty, so the empty text stands before all of them.
        let after = self.after.unwrap_or_default();
        let query = sqlx::query_file!("queries/list_keys.sql", id, &self.store.scope, after, limit);
        let rows = query.fetch_all(session).await?;
        let keys: Vec<_> =
            rows.into_iter().map(|row| EntryKey { store: Arc::clone(self.store), key: row.key.into() }).collect();
        debug_assert!(keys.is_sorted(), "the collation C is byte order");
        Ok(keys)
    }
}
