//! Deletion of a game for good.
//!
//! Owns: one step of it, as one small transaction in the writer's turn, and which stores are left to be looked at, so that a
//! step does not look at all of them again. Does not own: marking a game (`games`), when a step is due (`actors`).

use clawstore_core::GameId;
use clawstore_core::backend::BackendError;
use rusqlite::{Connection, OptionalExtension};

use super::Writer;
use super::room::{Room, Step};

/// A purge that is not over.
#[derive(Debug)]
pub(super) struct Purge {
    game: GameId,
    /// Stores that held something when they were looked at.
    stores: Vec<i64>,
}

impl Writer {
    /// One step of at most so many rows. Over at once for a game that is not marked.
    pub(crate) fn purge_game(&mut self, game: GameId, rows: usize) -> Result<Step, BackendError> {
        // Forgotten if the step fails.
        let known = self.memory.purge.take().filter(|purge| purge.game == game);
        let mut stores = known.map(|purge| purge.stores).unwrap_or_default();
        let purged = self.transact(|connection, _| {
            let id = find_marked(connection, game)?;
            id.map(|id| delete_rows(connection, id, &mut stores, rows)).transpose()
        })?;
        let Some(step) = purged else { return Ok(Step { deleted: 0, is_over: true }) };
        if step.is_over {
            self.memory.times.forget();
            self.memory.snapshots.remove(&game);
        } else {
            self.memory.purge = Some(Purge { game, stores });
        }
        Ok(step)
    }
}

fn find_marked(connection: &Connection, game: GameId) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached(include_str!("../../queries/read_deleted_game.sql"))?;
    statement.query_row([game.to_string()], |row| row.get(0)).optional()
}

fn find_filled(connection: &Connection, game: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(include_str!("../../queries/list_filled_stores.sql"))?;
    statement.query_map([game], |row| row.get(0))?.collect()
}

/// Store after store, and the mark once nothing is left.
fn delete_rows(connection: &Connection, game: i64, stores: &mut Vec<i64>, rows: usize) -> rusqlite::Result<Step> {
    let mut room = Room::of(rows);
    while !room.is_full() {
        if stores.is_empty() {
            *stores = find_filled(connection, game)?;
        }
        let Some(store) = stores.pop() else {
            // Games and stores keep their ids: readers remember them.
            connection.prepare_cached(include_str!("../../queries/purge_store_times.sql"))?.execute([game])?;
            connection.prepare_cached(include_str!("../../queries/purge_game.sql"))?.execute([game])?;
            break;
        };
        let (versions, entries) =
            (include_str!("../../queries/purge_versions.sql"), include_str!("../../queries/purge_entries.sql"));
        room.delete(connection, versions, (store, room.rows()), include_str!("../../queries/delete_version.sql"))?;
        room.delete(connection, entries, (store, room.rows()), include_str!("../../queries/delete_entry.sql"))?;
        if room.is_full() {
            stores.push(store);
        }
    }
    Ok(room.step())
}

#[cfg(test)]
mod tests {
    use super::super::room::tests::{GAME, writer_with};
    use super::*;

    #[test]
    fn a_step_goes_on_where_the_last_one_was() {
        let mut writer = writer_with(3, 2, 10);
        let mut step = |before: &str| {
            writer.connection.execute_batch(before).expect("is SQL");
            let step = writer.purge_game(GAME, 2).expect("a step");
            (step.deleted, step.is_over, writer.memory.purge.as_ref().map(|purge| purge.stores.clone()))
        };
        assert_eq!(step(""), (0, true, None), "it is not marked");
        assert_eq!(step("UPDATE game SET deleted = 1"), (2, false, Some(vec![1, 2, 3])));
        // What comes into a store that was empty is found at the end: it is not looked for before.
        let behind = "INSERT INTO entry (store, scope, key, revision, created, updated)
                      VALUES (4, '', 'k', 1, 1, 1), (4, '', 'l', 1, 1, 1)";
        assert_eq!(step(behind), (2, false, Some(vec![1, 2])));
        assert_eq!(step(""), (2, false, Some(vec![1])));
        assert_eq!(step(""), (2, false, Some(vec![4])));
        assert_eq!(step(""), (0, true, None));
    }

    #[test]
    fn a_step_is_bounded_by_bytes() {
        let mut writer = writer_with(2, 3, 3 * 1024 * 1024);
        writer.connection.execute_batch("UPDATE game SET deleted = 1").expect("marks it");
        let mut step = || writer.purge_game(GAME, 1_000).expect("a step");
        assert_eq!(step(), Step { deleted: 3, is_over: false }, "of more than 8 MiB");
        assert_eq!(step(), Step { deleted: 3, is_over: false });
        assert_eq!(step(), Step { deleted: 0, is_over: true });
    }
}
