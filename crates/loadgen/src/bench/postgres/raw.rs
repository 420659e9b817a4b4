//! What the server can do: 1,000 rows a statement.
//!
//! Owns: connections that upsert batches into a lean table, each its own half of the keys. Does not own: one row at a time
//! (`upserts`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use super::super::{KEYS, STRIDE, save};
use crate::vm::LocalResult;

/// Rows of a statement.
const ROWS: usize = 1_000;
/// Connections at most.
const CONNECTIONS: usize = 2;

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Parsed and checked, as the incumbent has it.
    Jsonb,
    /// As we have it.
    Text,
}

impl Column {
    fn make(self) -> &'static str {
        match self {
            Self::Jsonb => {
                "DROP TABLE IF EXISTS raw_jsonb;
                 CREATE TABLE raw_jsonb (key text COLLATE \"C\" PRIMARY KEY, value jsonb NOT NULL)"
            }
            Self::Text => {
                "DROP TABLE IF EXISTS raw_text;
                 CREATE TABLE raw_text (key text COLLATE \"C\" PRIMARY KEY, value text NOT NULL)"
            }
        }
    }

    fn set(self) -> &'static str {
        match self {
            Self::Jsonb => {
                "INSERT INTO raw_jsonb (key, value)
                 SELECT rows.key, rows.value::jsonb FROM unnest($1::text[], $2::text[]) AS rows (key, value)
                 ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value"
            }
            Self::Text => {
                "INSERT INTO raw_text (key, value)
                 SELECT rows.key, rows.value FROM unnest($1::text[], $2::text[]) AS rows (key, value)
                 ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value"
            }
        }
    }

    fn analyze(self) -> &'static str {
        match self {
            Self::Jsonb => "VACUUM ANALYZE raw_jsonb",
            Self::Text => "VACUUM ANALYZE raw_text",
        }
    }
}

/// Rows for one statement.
#[derive(Debug, Default)]
struct Rows {
    keys: Vec<String>,
    values: Vec<String>,
}

#[derive(Debug)]
struct Lane {
    connection: PgConnection,
    column: Column,
    drawn: usize,
}

#[derive(Debug)]
pub(super) struct Raw {
    lanes: Vec<Lane>,
}

impl Raw {
    /// A table with all keys in it, analyzed.
    pub(super) async fn open(url: &str, column: Column) -> LocalResult<Self> {
        let mut raw = Self { lanes: Vec::new() };
        for _ in 0..CONNECTIONS {
            raw.lanes.push(Lane { connection: PgConnection::connect(url).await?, column, drawn: 0 });
        }
        let lane = &mut raw.lanes[0];
        sqlx::raw_sql(column.make()).execute(&mut lane.connection).await?;
        for first in (0..KEYS).step_by(ROWS) {
            lane.send((first..first + ROWS).map(|index| (index, index)).collect()).await?;
        }
        sqlx::raw_sql(column.analyze()).execute(&mut lane.connection).await?;
        Ok(raw)
    }

    /// Rows a second over so many connections. Making the rows is counted: 2 % of the time.
    pub(super) async fn turn(&mut self, connections: usize, turn: Duration) -> LocalResult<f64> {
        let (stopped, start) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let mut running = JoinSet::new();
        for (number, mut lane) in self.lanes.drain(..).enumerate() {
            let stopped = Arc::clone(&stopped);
            running.spawn(async move {
                let mut written = 0;
                while number < connections && !stopped.load(Ordering::Relaxed) {
                    let rows = lane.draw(number, connections);
                    written += lane.send(rows).await?;
                }
                Ok::<_, sqlx::Error>((lane, written))
            });
        }
        tokio::time::sleep(turn).await;
        stopped.store(true, Ordering::Relaxed);
        let mut written = 0;
        while let Some(ended) = running.join_next().await {
            let (lane, rows) = ended??;
            self.lanes.push(lane);
            written += rows;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few millions")]
        let written = written as f64;
        Ok(written / start.elapsed().as_secs_f64())
    }
}

impl Lane {
    /// The next keys of this lane's share, in the order that the table's index has them.
    fn draw(&mut self, number: usize, lanes: usize) -> Rows {
        let share = KEYS / lanes;
        (0..ROWS)
            .map(|_| {
                self.drawn += 1;
                (self.drawn * STRIDE % share * lanes + number, self.drawn)
            })
            .collect()
    }

    async fn send(&mut self, rows: Rows) -> sqlx::Result<usize> {
        let set = sqlx::query(self.column.set()).bind(&rows.keys).bind(&rows.values);
        set.execute(&mut self.connection).await?;
        Ok(rows.keys.len())
    }
}

impl FromIterator<(usize, usize)> for Rows {
    fn from_iter<T: IntoIterator<Item = (usize, usize)>>(rows: T) -> Self {
        let mut rows: Vec<_> = rows.into_iter().map(|(key, seed)| (format!("player_{key}"), save(seed))).collect();
        rows.sort_unstable();
        let (keys, values) = rows.into_iter().unzip();
        Self { keys, values }
    }
}
