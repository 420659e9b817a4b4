//! The same store on Postgres, beside what an engine does today and what the server can do.
//!
//! Owns: which figures there are, a server of its own with stock settings, ours for each of them. Does not own: the
//! baselines (`upserts`, `raw`).

mod raw;
mod upserts;

use std::sync::Arc;
use std::time::Duration;

use clawstore::{Config, Database};
use clawstore_core::versioning::Retention;
use clawstore_testkit::postgres::Cluster;
use sqlx::postgres::PgPool;
use tokio::runtime::Runtime;

use super::report::Figure;
use super::script::Script;
use super::writes::{Stage, owner, rust_turn};
use super::{Bench, KEYS, SAVE, at_least, at_most};
use crate::vm::LocalResult;
use raw::{Column, Raw};
use upserts::{Call, Shape, Turn, Upserts};

/// Callers of the incumbent pattern.
const TASKS: usize = 64;
/// Length of the large values.
const LARGE_BYTES: usize = 2_048;

const SET_64: &str = "pg_set_64";
const SET_64_LEAN: &str = "pg_set_64_vs_lean";
const SET_1024: &str = "pg_set_1024";
const SET_1024_EVERY_WRITE: &str = "pg_set_1024_every_write";
const P99_64: &str = "pg_set_64_p99";
const ALONE: &str = "pg_set_alone_latency";
const UPDATE_64: &str = "pg_update_64";
const LARGE_64: &str = "pg_set_64_2_kib";
const RUST_1: &str = "pg_rust_4096_vs_raw_1";
const RUST_2: &str = "pg_rust_4096_vs_raw_2";
const RUST_TEXT_1: &str = "pg_rust_4096_vs_raw_text_1";
const RUST_TEXT_2: &str = "pg_rust_4096_vs_raw_text_2";

/// Baselines, on a runtime of their own.
struct Baselines {
    runtime: Runtime,
    incumbent: Arc<Upserts>,
    lean: Arc<Upserts>,
    raw: Raw,
    raw_text: Raw,
}

impl Baselines {
    fn open(url: &str) -> LocalResult<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (incumbent, lean, [raw, raw_text]) = runtime.block_on(async {
            let incumbent = Upserts::open(url, Shape::Incumbent, SAVE).await?;
            let lean = Upserts::open(url, Shape::Lean, SAVE).await?;
            let raw = [Raw::open(url, Column::Jsonb).await?, Raw::open(url, Column::Text).await?];
            LocalResult::Ok((incumbent, lean, raw))
        })?;
        Ok(Self { runtime, incumbent, lean, raw, raw_text })
    }

    fn sets(&self, table: &Arc<Upserts>, tasks: usize, turn: Duration) -> LocalResult<Turn> {
        self.runtime.block_on(table.turn(Call::Set, tasks, turn))
    }

    fn updates(&self, turn: Duration) -> LocalResult<Turn> {
        self.runtime.block_on(self.incumbent.turn(Call::Update, TASKS, turn))
    }

    fn raw(&mut self, column: Column, connections: usize, turn: Duration) -> LocalResult<f64> {
        let table = if column == Column::Jsonb { &mut self.raw } else { &mut self.raw_text };
        self.runtime.block_on(table.turn(connections, turn))
    }
}

pub(super) fn run(bench: &mut Bench<'_>) -> LocalResult<()> {
    let cluster = Cluster::start()?;
    let url = cluster.url();
    tell_settings(&url)?;
    owned(bench, &url)?;
    every_write(bench, &url)?;
    large(bench, &url)
}

/// A figure is worth something only with the settings it was taken under.
fn tell_settings(url: &str) -> LocalResult<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let names = ["server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size"];
    let mut told = Vec::new();
    runtime.block_on(async {
        let pool = PgPool::connect(url).await?;
        for name in names {
            let value: String = sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&pool).await?;
            told.push(format!("{name} {value}"));
        }
        LocalResult::Ok(())
    })?;
    println!("Postgres: {}", told.join(", "));
    Ok(())
}

fn stage(url: &str, config: Config) -> LocalResult<Stage> {
    let stage = Stage::open(Database::parse(url)?, config)?;
    stage.fill("Owned", KEYS)?;
    Ok(stage)
}

fn owned(bench: &mut Bench<'_>, url: &str) -> LocalResult<()> {
    let sets = [SET_64, SET_64_LEAN, SET_1024, P99_64, ALONE, UPDATE_64];
    let names = sets.iter().chain(&[RUST_1, RUST_2, RUST_TEXT_1, RUST_TEXT_2]);
    if !names.into_iter().any(|name| bench.wants(name)) {
        return Ok(());
    }
    let mut base = Baselines::open(url)?;
    let stage = stage(url, owner())?;
    let mut script = Script::open(&stage.game, SAVE)?;
    let plan = bench.plan;
    for (name, coroutines, goal) in [(SET_64, 64, at_least(6.0)), (SET_1024, 1_024, at_least(10.0))] {
        if bench.wants(name) {
            let theirs = |turn| base.sets(&base.incumbent, TASKS, turn).map(|turn| turn.rate);
            let rates = plan.alternate(|turn| script.turn("set", coroutines, turn), theirs)?;
            bench.add(Figure::beside(name, rates, "1/s", goal));
        }
    }
    if bench.wants(SET_64_LEAN) {
        let theirs = |turn| base.sets(&base.lean, TASKS, turn).map(|turn| turn.rate);
        let rates = plan.alternate(|turn| script.turn("set", TASKS, turn), theirs)?;
        bench.add(Figure::beside(SET_64_LEAN, rates, "1/s", None));
    }
    if bench.wants(P99_64) {
        let theirs = |turn| base.sets(&base.incumbent, TASKS, turn).map(|turn| turn.p99_us);
        let times = plan.alternate(|turn| script.p99_us("timed_set", TASKS, turn), theirs)?;
        bench.add(Figure::beside(P99_64, times, "us", at_most(0.25)));
    }
    if bench.wants(ALONE) {
        let theirs = |turn| base.sets(&base.lean, 1, turn).map(|turn| 1e6 / turn.rate);
        let times = plan.alternate(|turn| script.turn("set", 1, turn).map(|rate| 1e6 / rate), theirs)?;
        bench.add(Figure::beside(ALONE, times, "us", at_most(1.5)));
    }
    if bench.wants(UPDATE_64) {
        let theirs = |turn| base.updates(turn).map(|turn| turn.rate);
        let rates = plan.alternate(|turn| script.turn("update", TASKS, turn), theirs)?;
        bench.add(Figure::beside(UPDATE_64, rates, "1/s", at_least(6.0)));
    }
    rust(bench, &stage, &mut base)
}

/// Rust callers beside what the server can do. The goals are meant for jsonb, which the rates they came from were taken with.
fn rust(bench: &mut Bench<'_>, stage: &Stage, base: &mut Baselines) -> LocalResult<()> {
    let figures = [
        (RUST_1, Column::Jsonb, 1, at_least(0.55)),
        (RUST_2, Column::Jsonb, 2, at_least(0.5)),
        (RUST_TEXT_1, Column::Text, 1, None),
        (RUST_TEXT_2, Column::Text, 2, None),
    ];
    for (name, column, connections, goal) in figures {
        if bench.wants(name) {
            let theirs = |turn| base.raw(column, connections, turn);
            let rates = bench.plan.alternate(|turn| rust_turn(stage, turn), theirs)?;
            bench.add(Figure::beside(name, rates, "1/s", goal));
        }
    }
    Ok(())
}

fn every_write(bench: &mut Bench<'_>, url: &str) -> LocalResult<()> {
    if !bench.wants(SET_1024_EVERY_WRITE) {
        return Ok(());
    }
    let base = Baselines::open(url)?;
    let stage = stage(url, owner().retention(Retention::EveryWrite))?;
    let mut script = Script::open(&stage.game, SAVE)?;
    let theirs = |turn| base.sets(&base.incumbent, TASKS, turn).map(|turn| turn.rate);
    let rates = bench.plan.alternate(|turn| script.turn("set", 1_024, turn), theirs)?;
    bench.add(Figure::beside(SET_1024_EVERY_WRITE, rates, "1/s", at_least(4.5)));
    Ok(())
}

fn large(bench: &mut Bench<'_>, url: &str) -> LocalResult<()> {
    if !bench.wants(LARGE_64) {
        return Ok(());
    }
    let save = SAVE.replacen("xxxxxxxxx", &"x".repeat(9 + LARGE_BYTES - SAVE.len()), 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let incumbent = runtime.block_on(Upserts::open(url, Shape::Incumbent, &save))?;
    let stage = stage(url, owner())?;
    let mut script = Script::open(&stage.game, &save)?;
    let theirs = |turn| runtime.block_on(incumbent.turn(Call::Set, TASKS, turn)).map(|turn| turn.rate);
    let rates = bench.plan.alternate(|turn| script.turn("set", TASKS, turn), theirs)?;
    bench.add(Figure::beside(LARGE_64, rates, "1/s", at_least(3.5)));
    Ok(())
}
