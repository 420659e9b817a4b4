//! The incumbent pattern: one upsert per statement, through a pool.
//!
//! Owns: the incumbent's table and a lean one, both with all keys in them and analyzed, and tasks that write them as fast
//! as they are answered. Does not own: batches of rows (`raw`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::types::Json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::super::{KEYS, STRIDE, p99_us};
use crate::vm::LocalResult;

/// Connections of the incumbent's pool.
const POOL: u32 = 10;
const GAME: Uuid = Uuid::from_u128(1);
const STORE: &str = "Owned";

/// As the incumbent has it: two of its indexes are of no use to these calls, and are kept up to date by each.
const INCUMBENT: &str = "
    DROP SCHEMA IF EXISTS incumbent CASCADE;
    CREATE SCHEMA incumbent;
    CREATE TABLE incumbent.games (id uuid PRIMARY KEY);
    CREATE TABLE incumbent.data_stores (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        game_id uuid NOT NULL REFERENCES incumbent.games (id),
        store_name varchar(255) NOT NULL,
        key varchar(255) NOT NULL,
        value jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (game_id, store_name, key)
    );
    CREATE INDEX ON incumbent.data_stores (game_id, store_name, key);
    CREATE INDEX ON incumbent.data_stores (game_id, store_name);
    CREATE INDEX ON incumbent.data_stores (game_id, store_name, ((value ->> 'score')::numeric)) WHERE value ? 'score';
    INSERT INTO incumbent.games VALUES ('00000000-0000-0000-0000-000000000001');
";
const INCUMBENT_FILL: &str = "
    INSERT INTO incumbent.data_stores (game_id, store_name, key, value)
    SELECT $2, $3, 'player_' || n, $4 FROM generate_series(0, $1 - 1) n";
const INCUMBENT_SET: &str = "
    INSERT INTO incumbent.data_stores (game_id, store_name, key, value) VALUES ($1, $2, $3, $4)
    ON CONFLICT (game_id, store_name, key) DO UPDATE SET value = EXCLUDED.value, updated_at = now()";
const INCUMBENT_GET: &str =
    "SELECT value FROM incumbent.data_stores WHERE game_id = $1 AND store_name = $2 AND key = $3";

/// No more than a key and its text.
const LEAN: &str = "
    DROP TABLE IF EXISTS lean;
    CREATE TABLE lean (key text COLLATE \"C\" PRIMARY KEY, value text NOT NULL);
";
const LEAN_FILL: &str = "
    INSERT INTO lean (key, value) SELECT 'player_' || n, $2 FROM generate_series(0, $1 - 1) n";
const LEAN_SET: &str = "
    INSERT INTO lean (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value";

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Incumbent,
    Lean,
}

/// What a caller does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    /// One upsert.
    Set,
    /// A select, then an upsert.
    Update,
}

/// What a turn gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Calls a second.
    pub(super) rate: f64,
    /// Microseconds that one call in a hundred exceeds.
    pub(super) p99_us: f64,
}

#[derive(Debug)]
pub(super) struct Upserts {
    pool: PgPool,
    shape: Shape,
    save: Value,
    drawn: AtomicUsize,
}

impl Upserts {
    /// A table with all keys in it, analyzed.
    pub(super) async fn open(url: &str, shape: Shape, save: &str) -> LocalResult<Arc<Self>> {
        let pool = PgPoolOptions::new().max_connections(POOL).connect(url).await?;
        let save = serde_json::from_str(save)?;
        let (make, analyze) = match shape {
            Shape::Incumbent => (INCUMBENT, "VACUUM ANALYZE incumbent.data_stores"),
            Shape::Lean => (LEAN, "VACUUM ANALYZE lean"),
        };
        sqlx::raw_sql(make).execute(&pool).await?;
        let table = Arc::new(Self { pool, shape, save, drawn: AtomicUsize::new(0) });
        table.fill().await?;
        sqlx::raw_sql(analyze).execute(&table.pool).await?;
        Ok(table)
    }

    async fn fill(&self) -> sqlx::Result<()> {
        let keys = i32::try_from(KEYS).unwrap_or(i32::MAX);
        let filled = match self.shape {
            Shape::Incumbent => sqlx::query(INCUMBENT_FILL).bind(keys).bind(GAME).bind(STORE).bind(Json(&self.save)),
            Shape::Lean => sqlx::query(LEAN_FILL).bind(keys).bind(self.save.to_string()),
        };
        filled.execute(&self.pool).await.map(drop)
    }

    /// So many tasks call for as long as `turn` says, each again as soon as it is answered.
    pub(super) async fn turn(self: &Arc<Self>, call: Call, tasks: usize, turn: Duration) -> LocalResult<Turn> {
        let (start, stopped, mut callers) = (Instant::now(), Arc::new(AtomicBool::new(false)), JoinSet::new());
        for _ in 0..tasks {
            let (table, stopped) = (Arc::clone(self), Arc::clone(&stopped));
            callers.spawn(async move {
                let mut took = Vec::new();
                while !stopped.load(Ordering::Relaxed) {
                    let called = Instant::now();
                    table.call(call).await?;
                    took.push(called.elapsed());
                }
                Ok::<_, sqlx::Error>(took)
            });
        }
        tokio::time::sleep(turn.saturating_sub(start.elapsed())).await;
        stopped.store(true, Ordering::Relaxed);
        let mut took = Vec::new();
        while let Some(ended) = callers.join_next().await {
            took.extend(ended??);
        }
        // The last calls end after the turn: they and the time they take both count.
        #[expect(clippy::cast_precision_loss, reason = "a few millions")]
        let rate = took.len() as f64 / start.elapsed().as_secs_f64();
        Ok(Turn { rate, p99_us: p99_us(took)? })
    }

    async fn call(&self, call: Call) -> sqlx::Result<()> {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let key = format!("player_{}", drawn * STRIDE % KEYS);
        let value = match call {
            Call::Set => self.save.clone(),
            Call::Update => {
                let get = sqlx::query_scalar::<_, Json<Value>>(INCUMBENT_GET).bind(GAME).bind(STORE).bind(&key);
                get.fetch_one(&self.pool).await?.0
            }
        };
        self.set(&key, with_coins(value, drawn)).await
    }

    async fn set(&self, key: &str, value: Value) -> sqlx::Result<()> {
        let set = match self.shape {
            Shape::Incumbent => sqlx::query(INCUMBENT_SET).bind(GAME).bind(STORE).bind(key).bind(Json(value)),
            Shape::Lean => sqlx::query(LEAN_SET).bind(key).bind(value.to_string()),
        };
        set.execute(&self.pool).await.map(drop)
    }
}

/// Of the same length for every call.
fn with_coins(mut save: Value, seed: usize) -> Value {
    save["coins"] = (100_000 + seed % 900_000).into();
    save
}
