//! How fast batches are committed, beside bare rusqlite with the same table, settings and statement.
//!
//! `cargo run --release -p clawstore-sqlite --example commit_rate -- [ROWS_PER_BATCH] [SECONDS] [VALUE_BYTES] [random|sorted]`
//!
//! Both sides overwrite keys of the same 100,000 with values of the same size, in turns of a second; the figures are
//! medians of the turns. `random` draws the keys of a batch from all of them, `sorted` takes neighbours.
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clawstore_core::backend::{Batch, BatchRow, CommitBatches, Fence, LaneId, Previous};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_sqlite::{DATABASE_FILE, SqliteBackend, SqliteOptions};
use rusqlite::Connection;

const KEYS: usize = 100_000;
const TURN: Duration = Duration::from_secs(1);

struct Load {
    rows: usize,
    value_bytes: usize,
    random: bool,
    drawn: u64,
}

impl Load {
    /// Which keys the next batch writes: `rows` different ones.
    fn draw(&mut self) -> Vec<usize> {
        let start = self.drawn as usize * self.rows;
        self.drawn += 1;
        // A stride that is coprime to the number of keys visits all of them before any twice.
        let stride = if self.random { 61_813 } else { 1 };
        (start..start + self.rows).map(|index| index * stride % KEYS).collect()
    }

    fn value(&self, seed: u64) -> String {
        let head = format!("{{\"coins\":{seed},\"pad\":\"");
        let pad = self.value_bytes.saturating_sub(head.len() + 2);
        format!("{head}{}\"}}", "x".repeat(pad))
    }
}

struct Ours {
    backend: SqliteBackend,
    runtime: tokio::runtime::Runtime,
    keys: Vec<EntryKey>,
    revisions: Vec<u64>,
    seq: u64,
}

impl Ours {
    fn open(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let store = Arc::new(StoreId::new(GameId::Number(1), StoreKind::Standard, b"PlayerData", b"global")?);
        let keys = (0..KEYS).map(|n| EntryKey::new(&store, format!("player_{n}").as_bytes()));
        Ok(Self {
            backend: SqliteBackend::open(dir, &SqliteOptions::default())?,
            runtime: tokio::runtime::Builder::new_current_thread().build()?,
            keys: keys.collect::<Result<_, _>>()?,
            revisions: vec![0; KEYS],
            seq: 0,
        })
    }

    fn batch(&mut self, load: &Load, drawn: &[usize]) -> Result<Arc<Batch>, Box<dyn Error>> {
        self.seq += 1;
        let mut rows = Vec::with_capacity(drawn.len());
        for &index in drawn {
            let base = self.revisions[index];
            self.revisions[index] += 1;
            let at = Timestamp::from_unix_ms(1_767_225_600_000 + self.seq);
            let entry = Entry {
                revision: base + 1,
                created: at,
                updated: at,
                value: Some(Value::new(load.value(self.seq))?),
                attributes: Attributes::default(),
            };
            let key = self.keys[index].clone();
            rows.push(BatchRow {
                key,
                fence: Fence::default(),
                base,
                previous: Previous::Overwritten,
                kept: Vec::new(),
                entry: Arc::new(entry),
                onto: None,
            });
        }
        Ok(Arc::new(Batch { lane: LaneId::default(), seq: self.seq, digest: self.seq, rows }))
    }

    /// Rows a second over one turn. Making the batches is not counted; gathering them is somebody else's time.
    fn turn(&mut self, load: &mut Load, wall: Duration) -> Result<f64, Box<dyn Error>> {
        let (mut rows, mut spent) = (0, Duration::ZERO);
        while spent < wall {
            let drawn = load.draw();
            let batch = self.batch(load, &drawn)?;
            let start = Instant::now();
            self.runtime.block_on(self.backend.commit_batch(batch))?;
            spent += start.elapsed();
            rows += drawn.len();
        }
        Ok(rows as f64 / spent.as_secs_f64())
    }
}

struct Bare(Connection);

impl Bare {
    fn open(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let connection = Connection::open(dir.join("bare.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;
             CREATE TABLE entry (id INTEGER PRIMARY KEY, store INTEGER NOT NULL, scope TEXT NOT NULL, key TEXT NOT NULL,
                 revision INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, user_ids TEXT,
                 metadata TEXT, value TEXT, UNIQUE (store, scope, key)) STRICT;",
        )?;
        Ok(Self(connection))
    }

    fn turn(&self, load: &mut Load, wall: Duration) -> Result<f64, Box<dyn Error>> {
        let mut statement = self.0.prepare(
            "INSERT INTO entry (store, scope, key, revision, created, updated, value) VALUES (1, 'global', ?1, 1, ?2, ?2, ?3)
             ON CONFLICT (store, scope, key)
             DO UPDATE SET revision = revision + 1, updated = excluded.updated, value = excluded.value",
        )?;
        let (mut rows, mut spent) = (0, Duration::ZERO);
        while spent < wall {
            let drawn = load.draw();
            let data: Vec<_> = drawn.iter().map(|n| (format!("player_{n}"), load.value(load.drawn))).collect();
            let start = Instant::now();
            self.0.execute_batch("BEGIN IMMEDIATE")?;
            for (key, value) in &data {
                statement.execute((key, load.drawn as i64, value))?;
            }
            self.0.execute_batch("COMMIT")?;
            spent += start.elapsed();
            rows += drawn.len();
        }
        Ok(rows as f64 / spent.as_secs_f64())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (rows, turns, value_bytes) = (number(0, 1_000)?, number(1, 5)?, number(2, 200)?);
    let random = arguments.get(3).is_none_or(|order| order == "random");
    let dir = tempfile::tempdir()?;
    let (mut ours, bare) = (Ours::open(dir.path())?, Bare::open(dir.path())?);

    let mut load = Load { rows: 1_000, value_bytes, random: false, drawn: 0 };
    for _ in 0..KEYS / load.rows {
        let drawn = load.draw();
        let batch = ours.batch(&load, &drawn)?;
        ours.runtime.block_on(ours.backend.commit_batch(batch))?;
    }
    let mut fill = Load { rows: KEYS, value_bytes, random: false, drawn: 0 };
    bare.turn(&mut fill, Duration::from_nanos(1))?;

    load = Load { rows, value_bytes, random, drawn: 0 };
    let (mut our_rates, mut bare_rates) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        our_rates.push(ours.turn(&mut load, TURN)?);
        bare_rates.push(bare.turn(&mut load, TURN)?);
    }
    let (our_rate, bare_rate) = (median(our_rates), median(bare_rates));
    let wal = std::fs::metadata(dir.path().join(format!("{DATABASE_FILE}-wal")))?.len();
    writeln!(
        std::io::stdout(),
        "rows per batch {rows}, value {value_bytes} B, {}: clawstore {our_rate:.0} rows/s, rusqlite {bare_rate:.0} rows/s, \
         ratio {:.2}, WAL {} MiB",
        if random { "random keys" } else { "neighbouring keys" },
        our_rate / bare_rate,
        wal >> 20,
    )?;
    Ok(())
}
