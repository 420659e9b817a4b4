//! Numbers of stores, remembered per connection.
//!
//! Owns: the memory from (game, kind, name) to the id of a store, and its bound. Does not own: making stores. Ids never
//! change and stores are never deleted, so what was committed once may be remembered for good.

use std::collections::HashMap;

use clawstore_core::{GameId, StoreId, StoreKind};
use rusqlite::{Connection, OptionalExtension};

use crate::columns::kind_text;

/// Names remembered at most: scripts choose them, so they may be many. Beyond it the memory starts anew.
const REMEMBERED_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct StoreIds {
    by_game: HashMap<(GameId, StoreKind), HashMap<Box<str>, i64>>,
    count: usize,
    /// Made by the transaction that runs now: forgotten if it does not commit.
    uncommitted: Vec<(GameId, StoreKind, Box<str>)>,
}

impl StoreIds {
    /// The id of a store, `None` if nothing was ever written to it.
    pub(crate) fn find(&mut self, connection: &Connection, store: &StoreId) -> rusqlite::Result<Option<i64>> {
        if let Some(&id) = self.by_game.get(&(store.game, store.kind)).and_then(|names| names.get(&store.name)) {
            return Ok(Some(id));
        }
        let id = connection
            .prepare_cached(include_str!("../queries/find_store.sql"))?
            .query_row((store.game.to_string(), kind_text(store.kind), &*store.name), |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            self.remember(store, id);
        }
        Ok(id)
    }

    /// The id of a store, made within the running transaction if need be.
    pub(crate) fn find_or_insert(&mut self, connection: &Connection, store: &StoreId) -> rusqlite::Result<i64> {
        if let Some(id) = self.find(connection, store)? {
            return Ok(id);
        }
        let game = store.game.to_string();
        connection.prepare_cached(include_str!("../queries/insert_game.sql"))?.execute([&game])?;
        let id = connection
            .prepare_cached(include_str!("../queries/insert_store.sql"))?
            .query_row((&game, kind_text(store.kind), &*store.name), |row| row.get(0))?;
        self.remember(store, id);
        self.uncommitted.push((store.game, store.kind, store.name.clone()));
        Ok(id)
    }

    /// The transaction that made stores has committed.
    pub(crate) fn committed(&mut self) {
        self.uncommitted.clear();
    }

    /// The transaction that made stores did not commit: their ids may be given to others.
    pub(crate) fn rolled_back(&mut self) {
        for (game, kind, name) in self.uncommitted.drain(..) {
            if self.by_game.get_mut(&(game, kind)).and_then(|names| names.remove(&name)).is_some() {
                self.count -= 1;
            }
        }
    }

    fn remember(&mut self, store: &StoreId, id: i64) {
        if self.count >= REMEMBERED_MAX {
            self.by_game.clear();
            self.count = 0;
        }
        let names = self.by_game.entry((store.game, store.kind)).or_default();
        if names.insert(store.name.clone(), id).is_none() {
            self.count += 1;
        }
    }
}
