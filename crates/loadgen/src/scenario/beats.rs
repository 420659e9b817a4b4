//! What the beats of very many servers cost the database, and what flushes leave behind.
//!
//! Owns: the beats of a thousand incarnations, by the product's own statement, the processor time of all processes of the
//! Postgres server meanwhile, and the multixacts that flushes under load use. Does not own: when a process beats (`core`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clawstore_core::backend::{Beat, HoldLeases as _, Incarnation, LaneId, LaneMark};
use clawstore_postgres::{PgBackend, PgSettings};
use rustix::process::Pid;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::ScenarioOptions;
use super::fleet::Fleet;
use crate::chaos::target::Server;
use crate::random::Random;

const SERVERS: u64 = 1_000;
const LASTS: Duration = Duration::from_secs(20);
/// Each takes a part of the servers, over a connection of its own.
const BACKENDS: usize = 4;
/// Of each server, as a process has.
const LANES: u16 = 2;
/// Keys that they own together.
const KEYS: u64 = 100_000;
/// Of one core.
const COST_MAX: f64 = 0.1;
/// Under load, for the multixacts of flushes.
const FLUSHING: Duration = Duration::from_secs(5);
/// Ticks of `/proc/<pid>/stat` in a second; the kernel shows no other number to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Keys of every server, as if each had written some.
const OWNED: &str = "
    WITH game AS (INSERT INTO clawstore.game (external_id) VALUES ('1') RETURNING id),
         store AS (INSERT INTO clawstore.store (game, kind, name) SELECT id, 'standard', 'Keys' FROM game RETURNING id),
         server AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n, count(*) OVER () AS servers FROM clawstore.incarnation)
    INSERT INTO clawstore.entry (store, scope, key, revision, created, updated, fence, owner, value)
    SELECT store.id, 'global', 'key_' || k, 1, 1, 1, k, server.id, '1'
    FROM store, generate_series(1, $1::bigint) AS k
    JOIN server ON server.n = k % server.servers";

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let servers = options.count.unwrap_or(SERVERS);
    let lasts = options.seconds.map_or(LASTS, Duration::from_secs);
    let (cost, rate) = cost_of_beats(servers, lasts)?;
    println!("{servers} servers, {KEYS} keys owned, {rate:.0} beats/s: {:.1} % of a core", cost * 100.0);
    let multixacts = multixacts_of_flushes(options.seed)?;
    println!("flushes of two servers for {FLUSHING:?}: {multixacts} multixacts");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let due = servers as f64;
    ensure!(rate > 0.9 * due, "{due} beats/s were due");
    ensure!(cost < COST_MAX, "more than {:.0} % of a core", COST_MAX * 100.0);
    ensure!(multixacts == 0, "flushes use multixacts");
    Ok(())
}

/// Processor time of the server per second, and beats per second.
fn cost_of_beats(servers: u64, lasts: Duration) -> Result<(f64, f64)> {
    let server = Server::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let url = server.url();
    runtime.block_on(async {
        let mut backends = Vec::new();
        for _ in 0..BACKENDS {
            backends.push(Arc::new(PgBackend::open(url.parse()?, PgSettings::default()).await?));
        }
        let mut random = Random::new(servers, 3);
        let ids: Vec<Incarnation> = (0..servers).map(|_| Incarnation::from_bits(u128::from(random.next()))).collect();
        for id in &ids {
            backends[0].join(*id).await?;
        }
        own_keys(&url).await?;
        let postmaster = server.cluster().pid()?;
        // The first beats plan their statement.
        beat_all(&backends, &ids).await?;
        let (start, before, mut beats) = (Instant::now(), processor_time(postmaster)?, 0_u32);
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        while start.elapsed() < lasts {
            seconds.tick().await;
            beat_all(&backends, &ids).await?;
            beats += u32::try_from(ids.len())?;
        }
        seconds.tick().await;
        let (took, used) = (start.elapsed().as_secs_f64(), processor_time(postmaster)? - before);
        Ok((used / took, f64::from(beats) / took))
    })
}

/// One beat of each, by all backends at once.
async fn beat_all(backends: &[Arc<PgBackend>], ids: &[Incarnation]) -> Result<()> {
    let mut parts = JoinSet::new();
    for (backend, part) in backends.iter().zip(ids.chunks(ids.len().div_ceil(backends.len()))) {
        let (backend, part) = (Arc::clone(backend), part.to_vec());
        parts.spawn(async move {
            for incarnation in part {
                let lanes =
                    (0..LANES).map(|number| LaneMark { lane: LaneId { incarnation, number }, seq: 0 }).collect();
                let answer = backend.beat(Beat { lanes, ..Beat::new(incarnation, Vec::new()) }).await?;
                ensure!(answer.alive, "{incarnation:?} is not alive");
            }
            Ok(())
        });
    }
    while let Some(ended) = parts.join_next().await {
        ended??;
    }
    Ok(())
}

/// Makes the keys that all of them own.
async fn own_keys(url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query(OWNED).bind(i64::try_from(KEYS)?).execute(&mut connection).await?;
    sqlx::query("ANALYZE").execute(&mut connection).await?;
    Ok(())
}

/// Seconds that the postmaster and its children have used, living and reaped.
fn processor_time(postmaster: Pid) -> Result<f64> {
    let postmaster = postmaster.as_raw_nonzero().get();
    let mut ticks = 0.0;
    for entry in std::fs::read_dir("/proc")? {
        // Processes come and go meanwhile.
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
        let (pid, _) = stat.split_once(' ').unwrap_or_default();
        let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        let (is_it, is_child) =
            (pid.parse() == Ok(postmaster), fields.get(1) == Some(&postmaster.to_string().as_str()));
        // utime and stime are the 14th and 15th field of the line; those of reaped children follow.
        ticks += if is_it { number(11) + number(12) + number(13) + number(14) } else { 0.0 };
        ticks += if is_child { number(11) + number(12) } else { 0.0 };
    }
    Ok(ticks / TICKS_PER_SECOND)
}

/// How many were given out while two servers wrote the same keys.
fn multixacts_of_flushes(seed: u64) -> Result<i64> {
    let fleet = Fleet::start(seed, 2)?;
    let before = fleet.server.multixacts()?;
    fleet.let_run(FLUSHING)?;
    let after = fleet.server.multixacts()?;
    fleet.judge().context("the load")?;
    Ok(after - before)
}
