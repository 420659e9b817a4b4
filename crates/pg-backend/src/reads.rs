//! What is stored: single keys, and lists.
//!
//! Owns: the read statements. Does not own: caches, or which read may be shared.

use clawstore_core::backend::{KeyItem, KeyPlace, KeyRange, StoreInfo, StoresQuery};
use clawstore_core::{Entry, EntryKey, StoreId};
use sqlx::postgres::{PgBindIterExt as _, PgConnection};

use crate::columns::{EntryRow, bound, count, store_id, ticks};
use crate::link::Call;
use crate::store_ids::{StoreIds, find_store, find_stores};

/// What is stored under each key.
pub(crate) struct ReadEntries<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) keys: &'a [EntryKey],
}

impl Call for ReadEntries<'_> {
    type Answer = Vec<Entry>;

    fn shows(&self, _: &Self::Answer) -> bool {
        true
    }

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

    fn shows(&self, _: &Self::Answer) -> bool {
        true
    }

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<StoreId>, sqlx::Error> {
        let rows = sqlx::query_file!("queries/list_stores.sql").fetch_all(session).await?;
        let stores = rows.into_iter().map(|row| store_id(&row.game, &row.kind, row.name, row.scope));
        let mut stores = stores.collect::<Result<Vec<_>, _>>()?;
        // Games are text in SQL and numbers here, so the order is made here.
        stores.sort_unstable();
        Ok(stores)
    }
}

/// Stores of one game.
pub(crate) struct ListGameStores<'a>(pub(crate) &'a StoresQuery);

impl Call for ListGameStores<'_> {
    type Answer = Vec<StoreInfo>;

    fn shows(&self, _: &Self::Answer) -> bool {
        true
    }

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<StoreInfo>, sqlx::Error> {
        let StoresQuery { game, after, before, kept, limit } = self.0;
        let (game, tombstones, limit) = (game.to_string(), bound(kept.tombstones_since), count(*limit));
        let query = sqlx::query_file!("queries/list_game_stores.sql", &game, &**after, &**before, tombstones, limit);
        let rows = query.fetch_all(session).await?;
        let info = |name: String, created, updated| -> Result<StoreInfo, sqlx::Error> {
            Ok(StoreInfo { name: name.into(), created: ticks(created)?, updated: ticks(updated)? })
        };
        rows.into_iter().map(|row| info(row.name, row.created, row.updated)).collect()
    }
}

/// Keys of one store.
pub(crate) struct ListKeys<'a> {
    pub(crate) stores: &'a StoreIds,
    pub(crate) range: &'a KeyRange,
}

impl Call for ListKeys<'_> {
    type Answer = Vec<KeyItem>;

    fn shows(&self, _: &Self::Answer) -> bool {
        true
    }

    async fn run(&self, session: &mut PgConnection) -> Result<Vec<KeyItem>, sqlx::Error> {
        let KeyRange { store, after, before, kept, limit } = self.range;
        let Some(store) = find_store(session, self.stores, store).await? else { return Ok(Vec::new()) };
        let query = sqlx::query_file!(
            "queries/list_keys.sql",
            store,
            &*after.scope,
            &*after.key,
            &*before.scope,
            &*before.key,
            bound(kept.tombstones_since),
            count(*limit),
        );
        let rows = query.fetch_all(session).await?;
        let item = |scope: String, key: String, is_deleted| {
            let place = KeyPlace { scope: scope.into(), key: key.into() };
            KeyItem { place, is_deleted }
        };
        Ok(rows.into_iter().map(|row| item(row.scope, row.key, row.is_deleted)).collect())
    }
}
