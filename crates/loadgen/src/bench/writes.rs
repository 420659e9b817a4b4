//! Durable writes.
//!
//! Owns: stores filled and opened for each kind of figure, callers that are scripts and callers that are Rust tasks.
//! Does not own: the baselines (`bare`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clawstore::{Clawstore, Config, DataStore, Database, Game, GameId, Runtime};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::bare::Bare;
use super::report::{Figure, Goal};
use super::script::Script;
use super::{Bench, KEYS, SAVE, STRIDE, at_least, at_most};
use crate::unlimited;
use crate::vm::LocalResult;

/// Room for every key of the bench with its actor: keys are owned, and stay so.
const CACHE_BYTES: usize = 4 << 30;
const RUST_CALLERS: usize = 4_096;
const FILLERS: usize = 256;
const WORKERS: usize = 2;

/// Figures of scripts on owned keys beside one row a transaction: name, call, coroutines, goal.
const OWNED: [(&str, &str, usize, Option<Goal>); 4] = [
    ("set_owned_64", "set", 64, at_least(6.0)),
    ("set_owned_1024", "set", 1_024, at_least(9.0)),
    ("update_owned_64", "update", 64, None),
    ("increment_hot_64", "increment", 64, None),
];
/// The same for keys that are not there yet, beside one insert a transaction.
const FRESH: [(&str, usize, Option<Goal>); 2] =
    [("set_fresh_64", 64, at_least(6.0)), ("set_fresh_1024", 1_024, at_least(9.0))];
const RUST: &str = "rust_set_4096";
const ALONE: &str = "set_alone_latency";

/// A store on a runtime that Rust callers share.
pub(super) struct Stage {
    /// Closed by being dropped, first of all.
    _store: Clawstore,
    pub(super) game: Game,
    pub(super) runtime: tokio::runtime::Runtime,
}

impl Stage {
    pub(super) fn open(database: Database, config: Config) -> LocalResult<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
        let handle = Runtime::Handle(runtime.handle().clone());
        let builder = Clawstore::builder().config(config).database(database).runtime(handle);
        let store = builder.open()?;
        let game = store.game(GameId::Number(1))?;
        Ok(Self { _store: store, game, runtime })
    }

    /// Writes so many keys of `name` once, which makes them active.
    pub(super) fn fill(&self, name: &str, keys: usize) -> LocalResult<()> {
        let written = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..FILLERS {
            let (store, written) = (self.game.data_store(name)?, Arc::clone(&written));
            tasks.spawn_on(fill_some(store, written, keys), self.runtime.handle());
        }
        self.runtime.block_on(async {
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            Ok(())
        })
    }
}

async fn fill_some(store: DataStore, written: Arc<AtomicUsize>, keys: usize) -> Result<(), String> {
    let save: &RawValue = serde_json::from_str(SAVE).map_err(|error| error.to_string())?;
    loop {
        let index = written.fetch_add(1, Ordering::Relaxed);
        if index >= keys {
            return Ok(());
        }
        store.set(&format!("player_{index}"), save).await.map_err(|error| error.to_string())?;
    }
}

pub(super) fn run(bench: &mut Bench<'_>, dir: &Path) -> LocalResult<()> {
    owned(bench, dir)?;
    fresh(bench, dir)
}

fn owned(bench: &mut Bench<'_>, dir: &Path) -> LocalResult<()> {
    let names = OWNED.map(|(name, ..)| name);
    if !names.iter().chain(&[RUST, ALONE]).any(|name| bench.wants(name)) {
        return Ok(());
    }
    let mut bare = Bare::open(&dir.join("bare"))?;
    let stage = Stage::open(Database::directory(dir.join("owned")), owner())?;
    stage.fill("Owned", KEYS)?;
    let mut script = Script::open(&stage.game, SAVE)?;
    for (name, call, coroutines, goal) in OWNED {
        if bench.wants(name) {
            let ours = |turn| script.turn(call, coroutines, turn);
            let rates = bench.plan.alternate(ours, |turn| bare.updates(1, turn))?;
            bench.add(Figure::beside(name, rates, "1/s", goal));
        }
    }
    if bench.wants(ALONE) {
        let ours = |turn| script.turn("set", 1, turn).map(|rate| 1e6 / rate);
        let times = bench.plan.alternate(ours, |turn| bare.updates(1, turn).map(|rate| 1e6 / rate))?;
        bench.add(Figure::beside(ALONE, times, "us", at_most(1.3)));
    }
    if bench.wants(RUST) {
        let rates = bench.plan.alternate(|turn| rust_turn(&stage, turn), |turn| bare.updates(1_000, turn))?;
        bench.add(Figure::beside(RUST, rates, "1/s", at_least(0.4)));
    }
    Ok(())
}

/// Settings under which every key of the bench stays active.
pub(super) fn owner() -> Config {
    unlimited().cache_bytes(CACHE_BYTES).idle(Duration::from_secs(3_600))
}

fn fresh(bench: &mut Bench<'_>, dir: &Path) -> LocalResult<()> {
    if !FRESH.iter().any(|(name, ..)| bench.wants(name)) {
        return Ok(());
    }
    let mut bare = Bare::open(&dir.join("bare_fresh"))?;
    // As a server has it by default: keys that are written once leave memory while others come.
    let stage = Stage::open(Database::directory(dir.join("fresh")), unlimited())?;
    stage.fill("Owned", KEYS)?;
    let mut script = Script::open(&stage.game, SAVE)?;
    for (name, coroutines, goal) in FRESH {
        if bench.wants(name) {
            let ours = |turn| script.turn("insert", coroutines, turn);
            let rates = bench.plan.alternate(ours, |turn| bare.inserts(turn))?;
            bench.add(Figure::beside(name, rates, "1/s", goal));
        }
    }
    Ok(())
}

/// Sets a second that tasks complete, each with one call at a time.
pub(super) fn rust_turn(stage: &Stage, turn: Duration) -> LocalResult<f64> {
    let store = stage.game.data_store("Owned")?;
    let keys = (0..KEYS).map(|index| store.key(&format!("player_{index}"))).collect::<Result<Vec<_>, _>>()?;
    let (keys, save) = (Arc::new(keys), Arc::<RawValue>::from(serde_json::from_str::<Box<RawValue>>(SAVE)?));
    let (stopped, drawn, done) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..RUST_CALLERS {
        let (store, keys, save) = (store.clone(), Arc::clone(&keys), Arc::clone(&save));
        let (stopped, drawn, done) = (Arc::clone(&stopped), Arc::clone(&drawn), Arc::clone(&done));
        let caller = async move {
            while !stopped.load(Ordering::Relaxed) {
                let index = drawn.fetch_add(1, Ordering::Relaxed) * STRIDE % KEYS;
                store.set_key(&keys[index], &*save).await.map_err(|error| error.to_string())?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, String>(())
        };
        tasks.spawn_on(caller, stage.runtime.handle());
    }
    stage.runtime.block_on(async {
        tokio::time::sleep(turn.saturating_sub(start.elapsed())).await;
        let (done, spent) = (done.load(Ordering::Relaxed), start.elapsed());
        stopped.store(true, Ordering::Relaxed);
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few millions")]
        let done = done as f64;
        Ok(done / spent.as_secs_f64())
    })
}
