//! How fast batches are committed, beside a bare upsert of the same rows through the same driver.
//!
//! `cargo run --release -p clawstore-postgres --example commit_rate -- [ROWS_PER_BATCH] [SECONDS] [VALUE_BYTES] [plain|keep]`
//!
//! Takes a database of its own on the server that the tests use (`cargo xtask pg up`). Both sides overwrite keys of the
//! same 100,000, drawn from all of them and sorted, with values of the same size, one batch after the other over one
//! connection, in turns of a second; the figures are medians of the turns. `keep` keeps every revision that is
//! overwritten. CPU is that of this process and of the server's, per row, from `/proc`.
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clawstore_core::backend::{
    Backend, Batch, BatchRow, CommitBatches, Fence, Incarnation, LaneId, LeaseAsk, Previous, RowOutcome,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_postgres::{PgBackend, PgConnectOptions, PgSettings};
use clawstore_testkit::postgres::Database;
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, Connection as _};

type Outcome<T> = Result<T, Box<dyn Error>>;

const KEYS: usize = 100_000;
const TURN: Duration = Duration::from_secs(1);
const FILL_ROWS: usize = 1_000;
const LANE: LaneId = LaneId { incarnation: Incarnation(1), number: 0 };
const FENCE: Fence = Fence(7);

struct Load {
    rows: usize,
    value_bytes: usize,
    keep: bool,
    drawn: usize,
}

impl Load {
    /// Which keys the next batch writes: different ones, in order of their names.
    fn draw(&mut self, names: &[String]) -> Vec<usize> {
        let start = self.drawn * self.rows;
        self.drawn += 1;
        // A stride that is coprime to the number of keys visits all of them before any twice.
        let mut drawn: Vec<_> = (start..start + self.rows).map(|index| index * 61_813 % KEYS).collect();
        drawn.sort_by(|a, b| names[*a].cmp(&names[*b]));
        drawn
    }

    /// Text that does not compress to nothing.
    fn value(&self, mut seed: u64) -> String {
        let mut text = format!("{{\"coins\":{seed},\"pad\":\"");
        while text.len() < self.value_bytes.saturating_sub(2) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(char::from(b'a' + (seed >> 40) as u8 % 26));
        }
        text + "\"}"
    }
}

struct Ours {
    backend: PgBackend,
    keys: Vec<EntryKey>,
    revisions: Vec<u64>,
    seq: u64,
}

impl Ours {
    async fn open(options: &PgConnectOptions, names: &[String]) -> Outcome<Self> {
        let store = Arc::new(StoreId::new(GameId::Number(1), StoreKind::Standard, b"PlayerData", b"global")?);
        let keys = names.iter().map(|name| EntryKey::new(&store, name.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let backend = Box::pin(PgBackend::open(options.clone(), PgSettings::default())).await?;
        let leases = backend.leases().ok_or("a backend with leases")?;
        leases.join(LANE.incarnation).await?;
        for part in keys.chunks(FILL_ROWS) {
            let requests = part.iter().map(|key| LeaseAsk::new(key.clone(), FENCE)).collect();
            leases.acquire(LANE.incarnation, requests).await?;
        }
        Ok(Self { backend, keys, revisions: vec![0; KEYS], seq: 0 })
    }

    fn batch(&mut self, load: &Load, drawn: &[usize]) -> Outcome<Arc<Batch>> {
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
                value: Some(Value::new(load.value(self.seq + index as u64))?),
                attributes: Attributes::default(),
            };
            rows.push(BatchRow {
                key: self.keys[index].clone(),
                fence: FENCE,
                base,
                previous: if load.keep { Previous::Kept } else { Previous::Overwritten },
                kept: Vec::new(),
                entry: Arc::new(entry),
                onto: None,
            });
        }
        Ok(Arc::new(Batch { lane: LANE, seq: self.seq, digest: self.seq, rows }))
    }

    /// Making the batch is not counted; gathering it is somebody else's time.
    async fn commit(&mut self, load: &Load, drawn: &[usize]) -> Outcome<Duration> {
        let batch = self.batch(load, drawn)?;
        let start = Instant::now();
        let outcomes = self.backend.commit_batch(batch).await?;
        let spent = start.elapsed();
        if outcomes.iter().any(|outcome| *outcome != RowOutcome::Committed) {
            return Err("a row was fenced".into());
        }
        Ok(spent)
    }
}

struct Bare {
    session: PgConnection,
    revision: i64,
}

impl Bare {
    async fn open(options: &PgConnectOptions) -> Outcome<Self> {
        let mut session = PgConnection::connect_with(&options.clone().disable_statement_logging()).await?;
        let table = "CREATE TABLE bare (store int, scope text COLLATE \"C\", key text COLLATE \"C\", revision bigint, \
                     created bigint, updated bigint, value text COMPRESSION lz4, PRIMARY KEY (store, scope, key)) \
                     WITH (fillfactor = 80)";
        sqlx::raw_sql(table).execute(&mut session).await?;
        Ok(Self { session, revision: 0 })
    }

    async fn commit(&mut self, load: &Load, names: &[String], drawn: &[usize]) -> Outcome<Duration> {
        self.revision += 1;
        let values: Vec<_> = drawn.iter().map(|index| load.value(self.revision as u64 + *index as u64)).collect();
        let keys: Vec<_> = drawn.iter().map(|index| names[*index].as_str()).collect();
        let numbers = vec![self.revision; drawn.len()];
        let start = Instant::now();
        sqlx::query(
            "INSERT INTO bare SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], \
             $6::bigint[], $7::text[]) ON CONFLICT (store, scope, key) DO UPDATE SET revision = excluded.revision, \
             created = excluded.created, updated = excluded.updated, value = excluded.value",
        )
        .bind(vec![1; drawn.len()])
        .bind(vec!["global"; drawn.len()])
        .bind(&keys)
        .bind(&numbers)
        .bind(&numbers)
        .bind(&numbers)
        .bind(&values)
        .execute(&mut self.session)
        .await?;
        Ok(start.elapsed())
    }
}

/// What one side did in its turns.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    latencies: Vec<Duration>,
    server_cpu: Duration,
    client_cpu: Duration,
    rows: usize,
}

impl Figures {
    fn turn(&mut self, rows: usize, latencies: Vec<Duration>, [server_cpu, client_cpu]: [Duration; 2]) {
        let rows = rows * latencies.len();
        self.rates.push(rows as f64 / latencies.iter().sum::<Duration>().as_secs_f64());
        self.latencies.extend(latencies);
        self.server_cpu += server_cpu;
        self.client_cpu += client_cpu;
        self.rows += rows;
    }

    fn rate(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }

    fn print(&mut self, name: &str) -> std::io::Result<()> {
        self.latencies.sort();
        let quantile = |of: usize| self.latencies[self.latencies.len() * of / 100].as_secs_f64() * 1e3;
        let per_row = |cpu: Duration| cpu.as_secs_f64() * 1e6 / self.rows as f64;
        writeln!(
            std::io::stdout(),
            "{name}: {:.0} rows/s, batch p50 {:.2} ms, p99 {:.2} ms, CPU per row: server {:.1} µs, client {:.1} µs",
            self.rate(),
            quantile(50),
            quantile(99),
            per_row(self.server_cpu),
            per_row(self.client_cpu),
        )
    }
}

/// CPU time of the only server process that wrote, and of this one: `utime + stime` in hundredths of a second.
fn cpu_time(server: i32) -> Outcome<[Duration; 2]> {
    let of = |pid: i32| -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name of the program, in brackets, may contain spaces.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        Ok(Duration::from_millis(10 * (ticks(11) + ticks(12))))
    };
    Ok([of(server)?, of(std::process::id() as i32)?])
}

/// The server process that runs statements like this one.
async fn server_process(session: &mut PgConnection, statement: &str) -> Outcome<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE $1";
    Ok(sqlx::query_scalar(sql).bind(format!("%{statement}%")).fetch_one(session).await?)
}

async fn run(arguments: &[String]) -> Outcome<()> {
    let number = |index: usize, default: usize| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (rows, turns, value_bytes) = (number(0, 1_000)?, number(1, 5)?, number(2, 200)?);
    let keep = arguments.get(3).is_some_and(|word| word == "keep");
    let database = Database::create();
    let options: PgConnectOptions = database.url().parse()?;
    let names: Vec<_> = (0..KEYS).map(|n| format!("player_{n}")).collect();
    let (mut ours, mut bare) = (Ours::open(&options, &names).await?, Bare::open(&options).await?);

    // Twice: the first time rows grow and move.
    let mut fill = Load { rows: FILL_ROWS, value_bytes, keep: false, drawn: 0 };
    for _ in 0..2 * KEYS / FILL_ROWS {
        let drawn = fill.draw(&names);
        ours.commit(&fill, &drawn).await?;
        bare.commit(&fill, &names, &drawn).await?;
    }
    let mut other = PgConnection::connect_with(&options).await?;
    let servers =
        [server_process(&mut other, "commit_batch_v2").await?, server_process(&mut other, "INSERT INTO bare").await?];
    let mut load = Load { rows, value_bytes, keep, drawn: 0 };
    let mut figures = [Figures::default(), Figures::default()];
    for turn in 0..2 * turns {
        let (side, mut latencies) = (turn % 2, Vec::new());
        let [server, client] = cpu_time(servers[side])?;
        let start = Instant::now();
        while start.elapsed() < TURN {
            let drawn = load.draw(&names);
            latencies.push(match side {
                0 => ours.commit(&load, &drawn).await?,
                _ => bare.commit(&load, &names, &drawn).await?,
            });
        }
        let [server_after, client_after] = cpu_time(servers[side])?;
        figures[side].turn(rows, latencies, [server_after - server, client_after - client]);
    }
    let [ours, bare] = &mut figures;
    writeln!(
        std::io::stdout(),
        "{rows} rows per batch, values of {value_bytes} B{}",
        if keep { ", all kept" } else { "" }
    )?;
    ours.print("clawstore")?;
    bare.print("bare upsert")?;
    writeln!(std::io::stdout(), "ratio {:.2}", ours.rate() / bare.rate())?;
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&arguments))
}
