//! Whole games: snapshots, and deletion with its way back.
//!
//! Owns: their statements, one small transaction each in the writer's turn. Does not own: what a snapshot does to a write
//! (`commit`), deletion for good (`purge`), refusing calls of a deleted game (`actors`). Nobody else can be using the game: this
//! is the only process.

use std::collections::HashMap;

use clawstore_core::GameId;
use clawstore_core::backend::{BackendError, Deletion, Restoration, Snapshot};
use clawstore_core::clock::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::Writer;
use crate::columns::{signed, ticks};
use crate::scans::read_game;

/// The last snapshot of each game that has one.
pub(super) fn read_snapshots(connection: &Connection) -> rusqlite::Result<HashMap<GameId, Timestamp>> {
    let mut statement = connection.prepare_cached(include_str!("../../queries/list_snapshots.sql"))?;
    statement.query_map([], |row| Ok((read_game(row, 0)?, ticks(row, 1)?)))?.collect()
}

/// A game, as it is stored.
struct StoredGame {
    id: i64,
    deleted: Option<i64>,
    has_entries: bool,
}

fn find(connection: &Connection, game: GameId) -> rusqlite::Result<Option<StoredGame>> {
    let mut statement = connection.prepare_cached(include_str!("../../queries/read_game.sql"))?;
    let read =
        |row: &rusqlite::Row<'_>| Ok(StoredGame { id: row.get(0)?, deleted: row.get(1)?, has_entries: row.get(2)? });
    statement.query_row([game.to_string()], read).optional()
}

impl Writer {
    pub(crate) fn take_snapshot(&mut self, game: GameId, at: Timestamp) -> Result<Snapshot, BackendError> {
        self.latch.check()?;
        if let Some(&last) = self.memory.snapshots.get(&game).filter(|last| last.day() >= at.day()) {
            return Ok(Snapshot { is_new: false, at: last });
        }
        self.transact(|connection, _| {
            let name = game.to_string();
            connection.prepare_cached(include_str!("../../queries/insert_game.sql"))?.execute([&name])?;
            connection.prepare_cached(include_str!("../../queries/update_snapshot.sql"))?.execute((name, signed(at)))
        })?;
        self.memory.snapshots.insert(game, at);
        Ok(Snapshot { is_new: true, at })
    }

    pub(crate) fn delete_game(&mut self, game: GameId, at: Timestamp) -> Result<Deletion, BackendError> {
        self.transact(|connection, _| match find(connection, game)? {
            Some(StoredGame { deleted: Some(ticks), .. }) => {
                Ok(Deletion::Already(Timestamp::from_ticks(ticks.cast_unsigned())))
            }
            Some(stored) if stored.has_entries => {
                let mut statement = connection.prepare_cached(include_str!("../../queries/delete_game.sql"))?;
                statement.execute((stored.id, signed(at)))?;
                Ok(Deletion::Done)
            }
            _ => Ok(Deletion::Unknown),
        })
    }

    pub(crate) fn restore_game(&mut self, game: GameId) -> Result<Restoration, BackendError> {
        self.transact(|connection, _| {
            let mut statement = connection.prepare_cached(include_str!("../../queries/restore_game.sql"))?;
            let restored = statement.execute([game.to_string()])? > 0;
            Ok(if restored { Restoration::Done } else { Restoration::NotDeleted })
        })
    }
}
