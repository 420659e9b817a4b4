//! How much one step of a deletion takes.
//!
//! Owns: its bounds in rows and in bytes, so that no batch waits long behind it, and deleting row by row within them. Does not
//! own: which rows (`expiry`, `purge`), when the next step is taken (`backend`).

use rusqlite::{Connection, Params};

use crate::columns::limit;

/// Bytes of values after which a step ends: the pages of a large value are read to set them free, some milliseconds for so many.
const STEP_BYTES: u64 = 8 * 1024 * 1024;

/// What a step of a deletion has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Rows that are gone.
    pub(crate) deleted: usize,
    /// Nothing is left to be deleted.
    pub(crate) is_over: bool,
}

/// What a step may still delete.
#[derive(Debug)]
pub(super) struct Room {
    rows: usize,
    bytes: u64,
    deleted: usize,
}

impl Room {
    /// For a step of at most so many rows.
    pub(super) fn of(rows: usize) -> Self {
        Self { rows, bytes: STEP_BYTES, deleted: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    /// How many rows fit, as SQL takes it.
    pub(super) fn rows(&self) -> i64 {
        if self.is_full() { 0 } else { limit(self.rows) }
    }

    /// A row of so many bytes is gone.
    pub(super) fn take(&mut self, bytes: u64) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.deleted += 1;
    }

    /// Deletes what `find` finds at `place`, ids with sizes, as far as it fits.
    pub(super) fn delete(
        &mut self,
        connection: &Connection,
        find: &str,
        place: impl Params,
        delete: &str,
    ) -> rusqlite::Result<()> {
        let mut find = connection.prepare_cached(find)?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.unwrap_or_default()));
        let found = find.query_map(place, read)?.collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
        let mut delete = connection.prepare_cached(delete)?;
        for (id, bytes) in found {
            if self.is_full() {
                break;
            }
            delete.execute([id])?;
            self.take(bytes.unsigned_abs());
        }
        Ok(())
    }

    /// What was done, if what did not fill the room is all that there was.
    pub(super) fn step(&self) -> Step {
        Step { deleted: self.deleted, is_over: !self.is_full() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clawstore_core::GameId;
    use clawstore_core::backend::{StoreCutoff, Sweep};
    use clawstore_core::clock::Timestamp;

    use super::super::Writer;
    use super::*;
    use crate::connection::open_in_memory;
    use crate::failure::Latch;
    use crate::migrations::migrate;

    pub(in super::super) const GAME: GameId = GameId::Number(7);

    /// A writer on a database with one game, that many stores of it and an empty one, and that many versions in each of them. All
    /// are superseded at tick 9.
    pub(in super::super) fn writer_with(stores: i64, versions: i64, bytes: usize) -> Writer {
        let mut connection = open_in_memory().expect("opens");
        migrate(&mut connection, ":memory:".as_ref()).expect("a schema");
        connection.execute("INSERT INTO game (external_id) VALUES ('7')", []).expect("a game");
        for store in 0..=stores {
            let insert = "INSERT INTO store (game, kind, name) VALUES (1, 'standard', ?1)";
            connection.execute(insert, [format!("s{store}")]).expect("a store");
        }
        let insert = "INSERT INTO version (store, scope, key, revision, created, updated, superseded, value)
                      VALUES (?1, '', 'k', ?2, 1, ?2, 9, ?3)";
        let value = "x".repeat(bytes);
        for (store, version) in (1..=stores).flat_map(|store| (1..=versions).map(move |version| (store, version))) {
            connection.execute(insert, (store, version, &value)).expect("a version");
        }
        Writer::new(connection, None, Latch::default()).expect("a writer")
    }

    #[test]
    fn a_sweep_is_bounded_by_bytes_and_by_rows() {
        let mut writer = writer_with(2, 3, 3 * 1024 * 1024);
        let tick = Timestamp::from_ticks;
        let own = StoreCutoff { game: GAME, store: "s1".into(), kept_since: tick(10) };
        let sweep = |kept_since, shorter| Sweep { kept_since: tick(kept_since), shorter, rows: 0, is_simulated: true };
        let mut step = |sweep: &Sweep, rows| {
            let Step { deleted, is_over } = writer.expire(sweep, rows).expect("a step");
            (deleted, is_over)
        };
        assert_eq!(step(&sweep(9, Vec::new()), 10), (0, true), "still kept");
        assert_eq!(step(&sweep(9, vec![own.clone()]), 2), (2, false));
        assert_eq!(step(&sweep(9, vec![own.clone()]), 2), (1, true), "one store keeps them for a shorter time");
        assert_eq!(step(&sweep(10, vec![own.clone()]), 10), (3, false), "8 MiB and more");
        assert_eq!(step(&sweep(10, vec![own]), 10), (0, true));
    }
}
