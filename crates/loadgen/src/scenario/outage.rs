//! The server is away under load.
//!
//! Owns: two processes that go on calling meanwhile, whether they are answered or not: their memory, how soon they are
//! refused when permits are gone, how soon they are drained when the server is back, that none of them is declared dead and
//! no acknowledged write is lost. Does not own: callers that wait for answers (`chaos`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clawstore::{Clawstore, DataStore, GameId, Outcome, StoreError};
use clawstore_core::limits::CALL_DEADLINE;
use clawstore_testkit::postgres::StopMode;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::ScenarioOptions;
use super::worker::{self, WorkerOptions, lines_of};
use crate::chaos::process::{Event, Process};
use crate::chaos::target::Server;
use crate::memory::resident_bytes;

const AWAY: Duration = Duration::from_secs(60);
/// Load before the server goes: every key is owned by then.
const BEFORE: Duration = Duration::from_secs(3);
const DRAINED_WITHIN: Duration = Duration::from_secs(10);
/// A refusal needs nothing but the process itself. A busy machine may take a moment for that.
const REFUSED_WITHIN: Duration = Duration::from_millis(250);
/// Of each process. One call in 30 s of deadline costs its value and its overhead: at this rate permits are gone in less.
const CALLS_PER_SECOND: u64 = 4_000;
const TICK: Duration = Duration::from_millis(10);
const KEYS: u64 = 500;
/// What every value is padded with.
const PAD_BYTES: usize = 1_024;
/// How much more may be resident later than when the first call was refused: calls come and go, permits stay used.
const GROWTH_MAX: f64 = 1.25;

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let away = options.seconds.map_or(AWAY, Duration::from_secs);
    let rate = options.count.unwrap_or(CALLS_PER_SECOND);
    let mut server = Server::start()?;
    let mut workers =
        (0..2).map(|number| worker::start(&server.url(), "press", rate, number)).collect::<Result<Vec<_>>>()?;
    for worker in &mut workers {
        worker.wait_for(Event::Open)?;
        worker.say("go")?;
    }
    let_run(&workers, BEFORE)?;
    server.cluster_mut().stop(StopMode::Immediate)?;
    println!("the server is away");
    let_run(&workers, away)?;
    server.cluster_mut().restart()?;
    println!("the server is back after {away:?}");
    let back = Instant::now();
    let mut drained = Vec::new();
    for worker in &mut workers {
        worker.say("stop")?;
    }
    for worker in &workers {
        // More than is allowed: how much more is worth knowing.
        worker.wait_at_most(Event::Idle, CALL_DEADLINE * 2).context("a process is not drained")?;
        drained.push(back.elapsed());
    }
    let states = server.incarnations()?;
    println!("drained {drained:.1?} after the return; incarnations {states:?}");
    for (number, mut worker) in workers.into_iter().enumerate() {
        worker.say("end")?;
        worker.wait_for(Event::End)?;
        judge(number, &String::from_utf8(worker.close()?)?, &server)?;
    }
    ensure!(drained.iter().all(|took| *took <= DRAINED_WITHIN), "not drained within {DRAINED_WITHIN:?}");
    ensure!(states == ["alive", "alive"], "nobody has died");
    Ok(())
}

fn let_run(workers: &[Process], duration: Duration) -> Result<()> {
    let until = Instant::now() + duration;
    workers.iter().try_for_each(|worker| worker.let_run(until.saturating_duration_since(Instant::now())))
}

fn judge(number: usize, told: &str, server: &Server) -> Result<()> {
    let line = |word: &'static str| lines_of(told, word).last().with_context(|| format!("no line `{word}`"));
    let first = |word| anyhow::Ok(line(word)?.split(' ').next().unwrap_or_default().parse::<f64>()?);
    println!(
        "process {number}: {}, the slowest after {}; {}; refused after {}",
        line("counts")?,
        line("slowest")?,
        line("memory")?,
        line("refused")?
    );
    let (refused, slowest) = (first("refused")?, first("slowest")?);
    let memory = line("memory")?.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<f64>>();
    let [most, at_first, _] = memory[..] else { return Err(anyhow!("memory {memory:?}")) };
    for line in lines_of(told, "key") {
        let [key, acked, called] = line.split(' ').collect::<Vec<_>>()[..] else { return Err(anyhow!("{line}")) };
        let stored: Value = serde_json::from_str(&server.value("Pressed", key)?)?;
        let (stored, acked) = (stored["n"].as_u64().context("no number")?, acked.parse::<u64>()?);
        ensure!(stored >= acked, "{key}: {acked} acknowledged, {stored} stored: LOST");
        ensure!(stored <= called.parse()?, "{key}: {stored} is stored, and nobody has set it");
    }
    ensure!(line("again")? == "ok", "a call after the return: {}", line("again")?);
    ensure!(line("counts")?.contains("refused") && refused > 0.0, "permits were never gone: more calls are needed");
    ensure!(refused <= REFUSED_WITHIN.as_secs_f64() * 1e3, "a refusal took {refused} ms");
    ensure!(slowest <= CALL_DEADLINE.as_secs_f64() + 1.0, "a call was answered after {slowest} s");
    ensure!(most <= at_first * GROWTH_MAX, "memory grew when calls were refused already");
    Ok(())
}

/// How a call ended, and after how long.
struct Ended {
    key: u64,
    n: u64,
    took: Duration,
    result: Result<String, StoreError>,
}

/// What was counted.
#[derive(Debug, Default)]
struct Counts {
    acked: u64,
    refused: u64,
    expired: u64,
    unknown: u64,
    slowest_refusal: Duration,
    slowest: Duration,
    /// The newest number of each key that was acknowledged.
    newest: HashMap<u64, u64>,
}

impl Counts {
    fn add(&mut self, ended: &Ended) {
        self.slowest = ended.took.max(self.slowest);
        match &ended.result {
            Ok(_) => {
                self.acked += 1;
                let newest = self.newest.entry(ended.key).or_default();
                *newest = ended.n.max(*newest);
            }
            Err(StoreError::Call(error)) if error.outcome == Outcome::Unknown => self.unknown += 1,
            // What was admitted waits for its deadline.
            Err(_) if ended.took > CALL_DEADLINE / 2 => self.expired += 1,
            Err(_) => {
                self.refused += 1;
                self.slowest_refusal = ended.took.max(self.slowest_refusal);
            }
        }
    }
}

/// Calls at the given rate until it hears `stop`, says `idle` when nothing is open any more, and calls once again.
pub(super) fn work(store: &Clawstore, options: &WorkerOptions) -> Result<()> {
    let keys = store.game(GameId::Number(1))?.data_store("Pressed")?;
    let stop = hear("stop")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut counts, mut memory) =
        (Counts::default(), Memory { store, most: 0.0, at_first_refusal: 0.0, pending: 0.0 });
    let called = runtime.block_on(press(options, &keys, stop, &mut counts, &mut memory))?;
    while store.pending_bytes() > 0 {
        std::thread::sleep(TICK);
    }
    println!("idle");
    let again = runtime.block_on(keys.set(&format!("again_{}", options.number), &1));
    println!("again {}", again.map_or_else(|error| error.to_string(), |_| "ok".to_owned()));
    let Counts { acked, refused, expired, unknown, slowest_refusal, slowest, newest } = counts;
    println!("counts acked {acked} refused {refused} expired {expired} unknown {unknown}");
    println!("slowest {:.1} s", slowest.as_secs_f64());
    println!("refused {:.1} ms at most", slowest_refusal.as_secs_f64() * 1e3);
    let Memory { most, at_first_refusal, pending, .. } = memory;
    println!(
        "memory {most:.0} MiB at most; {at_first_refusal:.0} MiB at the first refusal; {pending:.0} MiB of permits"
    );
    for (key, acked) in newest {
        println!("key {} {acked} {called}", key_name(options.number, key));
    }
    std::io::stdin().read_line(&mut String::new()).map(drop)?;
    Ok(())
}

fn key_name(number: u64, key: u64) -> String {
    format!("key_{number}_{key}")
}

async fn press(
    options: &WorkerOptions,
    keys: &DataStore,
    mut stop: tokio::sync::oneshot::Receiver<()>,
    counts: &mut Counts,
    memory: &mut Memory<'_>,
) -> Result<u64> {
    let pad: Arc<str> = "x".repeat(PAD_BYTES).into();
    let (ended, mut answers) = unbounded_channel::<Ended>();
    let (mut calls, mut ticks) = (JoinSet::new(), tokio::time::interval(TICK));
    let per_tick = (options.count / 100).max(1);
    let mut called = 0;
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => break,
            Some(ended) = answers.recv() => counts.add(&ended),
            _ = ticks.tick() => {
                memory.look(counts.refused)?;
                for _ in 0..per_tick {
                    called += 1;
                    calls.spawn(call(keys.clone(), options.number, called, Arc::clone(&pad), ended.clone()));
                }
                while calls.try_join_next().is_some() {}
            }
        }
    }
    drop(ended);
    while let Some(ended) = answers.recv().await {
        counts.add(&ended);
    }
    Ok(called)
}

/// Numbers of one key grow, and its calls keep their order.
async fn call(keys: DataStore, number: u64, n: u64, pad: Arc<str>, told: UnboundedSender<Ended>) {
    let (key, start) = (n % KEYS, Instant::now());
    let result = keys.set(&key_name(number, key), &json!({ "n": n, "pad": &*pad })).await;
    // Nobody listens any more only if this process ends.
    let _ = told.send(Ended { key, n, took: start.elapsed(), result });
}

/// Completes when the harness says this word.
fn hear(word: &'static str) -> Result<tokio::sync::oneshot::Receiver<()>> {
    let (tell, heard) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("commands".into()).spawn(move || {
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).is_ok() && line.trim_end() == word {
            let _ = tell.send(());
        }
    })?;
    Ok(heard)
}

/// What was used, in MiB.
struct Memory<'a> {
    store: &'a Clawstore,
    /// Resident.
    most: f64,
    at_first_refusal: f64,
    /// The most of permits.
    pending: f64,
}

impl Memory<'_> {
    fn look(&mut self, refused: u64) -> Result<()> {
        let mib = f64::from(1 << 20);
        let resident = resident_bytes()? / mib;
        self.most = resident.max(self.most);
        if refused == 0 {
            self.at_first_refusal = resident;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few MiB")]
        let pending = self.store.pending_bytes() as f64;
        self.pending = self.pending.max(pending / mib);
        Ok(())
    }
}
