//! Numbers of stores, remembered per process.
//!
//! Owns: the memory from (game, kind, name) to the id of a store, its bound, and asking the database. Ids
//! never change and stores are never deleted, so what was committed once may be remembered for good. Does not own: the
//! scope, which is a column of the entry.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clawstore_core::{GameId, StoreId, StoreKind};
use sqlx::postgres::PgConnection;

use crate::columns::kind_text;

/// Names remembered at most: scripts choose them, so they may be many. Beyond it the memory starts anew.
const REMEMBERED_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct StoreIds(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    by_game: HashMap<(GameId, StoreKind), HashMap<Box<str>, i32>>,
    count: usize,
}

impl StoreIds {
    /// The id of each store, as far as it is remembered.
    pub(crate) fn find<'a>(&self, stores: impl Iterator<Item = &'a StoreId>) -> Vec<Option<i32>> {
        let remembered = self.lock();
        stores.map(|store| remembered.by_game.get(&(store.game, store.kind))?.get(&store.name).copied()).collect()
    }

    pub(crate) fn remember(&self, store: &StoreId, id: i32) {
        let mut remembered = self.lock();
        if remembered.count >= REMEMBERED_MAX {
            *remembered = Remembered::default();
        }
        let names = remembered.by_game.entry((store.game, store.kind)).or_default();
        if names.insert(store.name.clone(), id).is_none() {
            remembered.count += 1;
        }
    }

    /// What is behind the lock is whole whenever it is released, a panic included.
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids of stores; `None` for one that nobody has written to.
pub(crate) async fn find_stores<'a>(
    session: &mut PgConnection,
    ids: &StoreIds,
    stores: impl Iterator<Item = &'a StoreId> + Clone,
) -> Result<Vec<Option<i32>>, sqlx::Error> {
    let mut found = ids.find(stores.clone());
    if found.iter().all(Option::is_some) {
        return Ok(found);
    }
    let unknown = Unknown::new(stores.clone().zip(&found).filter(|(_, id)| id.is_none()).map(|(store, _)| store));
    let asked = unknown.find(session).await?;
    for (store, id) in stores.zip(&mut found) {
        if id.is_none()
            && let Some(new) = asked.get(&identity(store))
        {
            *id = Some(*new);
            ids.remember(store, *new);
        }
    }
    Ok(found)
}

/// The id of one store.
pub(crate) async fn find_store(
    session: &mut PgConnection,
    ids: &StoreIds,
    store: &StoreId,
) -> Result<Option<i32>, sqlx::Error> {
    let found = find_stores(session, ids, std::iter::once(store)).await?;
    Ok(found.into_iter().next().flatten())
}

/// The ids of stores, made if need be.
pub(crate) async fn find_or_create_stores<'a>(
    session: &mut PgConnection,
    ids: &StoreIds,
    stores: impl Iterator<Item = &'a StoreId> + Clone,
) -> Result<Vec<Option<i32>>, sqlx::Error> {
    let found = find_stores(session, ids, stores.clone()).await?;
    let missing: Vec<_> = stores.clone().zip(&found).filter(|(_, id)| id.is_none()).map(|(store, _)| store).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    Unknown::new(missing.into_iter()).create(session).await?;
    find_stores(session, ids, stores).await
}

/// What makes a store the same store: its scope does not.
type Identity<'a> = (GameId, StoreKind, &'a str);

fn identity(store: &StoreId) -> Identity<'_> {
    (store.game, store.kind, &store.name)
}

/// Stores to be asked for, each once.
struct Unknown<'a>(Vec<Identity<'a>>);

impl<'a> Unknown<'a> {
    fn new(stores: impl Iterator<Item = &'a StoreId>) -> Self {
        let mut unknown: Vec<_> = stores.map(identity).collect();
        unknown.sort_unstable();
        unknown.dedup();
        Self(unknown)
    }

    fn games(&self) -> Vec<String> {
        self.0.iter().map(|(game, ..)| game.to_string()).collect()
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.0.iter().map(|(_, kind, _)| kind_text(*kind)).collect()
    }

    fn names(&self) -> Vec<&'a str> {
        self.0.iter().map(|(.., name)| *name).collect()
    }

    async fn find(&self, session: &mut PgConnection) -> Result<HashMap<Identity<'a>, i32>, sqlx::Error> {
        let (games, kinds, names) = (self.games(), self.kinds(), self.names());
        let query = sqlx::query_file!("queries/find_stores.sql", &games, &kinds as _, &names as _);
        let rows = query.fetch_all(session).await?;
        // Rows are counted from 1.
        Ok(rows.iter().filter_map(|row| Some((*self.0.get(row.n as usize - 1)?, row.id))).collect())
    }

    async fn create(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        let (games, kinds, names) = (self.games(), self.kinds(), self.names());
        sqlx::query_file!("queries/create_games.sql", &games).execute(&mut *session).await?;
        sqlx::query_file!("queries/create_stores.sql", &games, &kinds as _, &names as _).execute(session).await?;
        Ok(())
    }
}
