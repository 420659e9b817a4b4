//! The baseline of every write: bare rusqlite on a table of the same form.
//!
//! Owns: the same schema (the store makes it), pragmas and prepared statements as the store's own writer, and turns of
//! transactions. Making the rows is not counted. Does not own: anything of the store's code at run time.

use std::path::Path;
use std::time::{Duration, Instant};

use clawstore_sqlite::{DATABASE_FILE, SqliteBackend, SqliteOptions};
use rusqlite::{Connection, Statement};

use super::{KEYS, STRIDE, save};
use crate::vm::LocalResult;

const UPDATE: &str = include_str!("../../../sqlite-backend/queries/update_entry.sql");
const INSERT: &str = include_str!("../../../sqlite-backend/queries/insert_entry.sql");

/// As `set_writer_pragmas` of the backend. It checkpoints by itself at 4,096 pages; here SQLite does, at the same length.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864;
    PRAGMA wal_autocheckpoint = 4096; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cache_size = -65536;";

pub(super) struct Bare {
    connection: Connection,
    revisions: Vec<i64>,
    drawn: usize,
    fresh: usize,
}

/// A row to be written.
struct Row {
    key: String,
    base: i64,
    value: String,
}

impl Bare {
    /// A database with all keys in it.
    pub(super) fn open(dir: &Path) -> LocalResult<Self> {
        SqliteBackend::open(dir, &SqliteOptions::default())?.close();
        let connection = Connection::open(dir.join(DATABASE_FILE))?;
        connection.execute_batch(PRAGMAS)?;
        connection.execute_batch(
            "INSERT INTO game (id, external_id) VALUES (1, '1');
             INSERT INTO store (id, game, kind, name) VALUES (1, 1, 'standard', 'Owned'), (2, 1, 'standard', 'Fresh');",
        )?;
        let mut bare = Self { connection, revisions: vec![0; KEYS], drawn: 0, fresh: 0 };
        for first in (0..KEYS).step_by(1_000) {
            let rows: Vec<Row> = (first..first + 1_000).map(|index| bare.row(index)).collect();
            bare.transaction(INSERT, 1, &rows)?;
        }
        Ok(bare)
    }

    fn row(&mut self, index: usize) -> Row {
        let base = self.revisions[index];
        self.revisions[index] += 1;
        Row { key: format!("player_{index}"), base, value: save(index) }
    }

    /// Rows a second, overwriting keys of all, in transactions of so many.
    pub(super) fn updates(&mut self, rows: usize, turn: Duration) -> LocalResult<f64> {
        self.turn(turn, rows, UPDATE, 1, |bare| {
            bare.drawn += 1;
            bare.row(bare.drawn * STRIDE % KEYS)
        })
    }

    /// Rows a second of keys that were not there, one a transaction, in the order in which scripts make them.
    pub(super) fn inserts(&mut self, turn: Duration) -> LocalResult<f64> {
        self.turn(turn, 1, INSERT, 2, |bare| {
            bare.fresh += 1;
            Row { key: super::script::fresh_key(bare.fresh), base: 0, value: save(bare.fresh) }
        })
    }

    fn turn(
        &mut self,
        turn: Duration,
        rows: usize,
        sql: &str,
        store: i64,
        mut draw: impl FnMut(&mut Self) -> Row,
    ) -> LocalResult<f64> {
        let (mut written, mut spent) = (0.0, Duration::ZERO);
        while spent < turn {
            let rows: Vec<Row> = (0..rows).map(|_| draw(self)).collect();
            let start = Instant::now();
            self.transaction(sql, store, &rows)?;
            spent += start.elapsed();
            #[expect(clippy::cast_precision_loss, reason = "a few millions")]
            let count = rows.len() as f64;
            written += count;
        }
        Ok(written / spent.as_secs_f64())
    }

    /// As the backend's writer: every statement comes from the cache of prepared ones.
    fn transaction(&self, sql: &str, store: i64, rows: &[Row]) -> LocalResult<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut statement = self.connection.prepare_cached(sql)?;
        let is_update = sql == UPDATE;
        for row in rows {
            bind(&mut statement, store, row, is_update)?;
            if statement.raw_execute()? != 1 {
                return Err(format!("the row of {} was not written", row.key).into());
            }
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

fn bind(statement: &mut Statement<'_>, store: i64, row: &Row, is_update: bool) -> rusqlite::Result<()> {
    const TICKS: i64 = 17_672_256_000_000_000;
    statement.raw_bind_parameter(1, store)?;
    statement.raw_bind_parameter(2, "global")?;
    statement.raw_bind_parameter(3, &row.key)?;
    statement.raw_bind_parameter(4, row.base + 1)?;
    statement.raw_bind_parameter(5, TICKS)?;
    statement.raw_bind_parameter(6, TICKS + row.base)?;
    statement.raw_bind_parameter(7, None::<&str>)?;
    statement.raw_bind_parameter(8, None::<&str>)?;
    statement.raw_bind_parameter(9, &row.value)?;
    statement.raw_bind_parameter(10, None::<i64>)?;
    // Not removed.
    statement.raw_bind_parameter(11, None::<i64>)?;
    if is_update {
        statement.raw_bind_parameter(12, row.base)?;
        // No snapshot was taken.
        statement.raw_bind_parameter(13, 0)?;
    }
    Ok(())
}
