//! Several processes, one counter, at full speed.
//!
//! Owns: tasks of three processes that increment it for a while, the exact sum, that no value was answered twice, what each
//! process got, and that none waits a whole second. Does not own: how the increments of several processes are added up.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clawstore::{Clawstore, DataStore, GameId};
use tokio::task::JoinSet;

use super::ScenarioOptions;
use super::worker::{self, WorkerOptions, lines_of};
use crate::chaos::process::Event;
use crate::chaos::target::Server;

const PROCESSES: u64 = 3;
/// Of each process: increments that wait at a time.
const TASKS: u64 = 512;
const LASTS: Duration = Duration::from_secs(20);
/// What acceptance asks for, of all processes together.
const PER_SECOND_MIN: f64 = 5_000.0;
/// No process gets less than this part of an equal share.
const SHARE_MIN: f64 = 0.2;
/// Answers, and the line of a worker that has that many of them.
const VALUES_PER_LINE: usize = 500;

const STORE: &str = "Counters";
const KEY: &str = "counter";

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let processes = options.count.unwrap_or(PROCESSES);
    let lasts = options.seconds.map_or(LASTS, Duration::from_secs);
    let server = Server::start()?;
    let start_worker = |number| worker::start(&server.url(), "count", lasts.as_secs(), number);
    let mut workers = (0..processes).map(start_worker).collect::<Result<Vec<_>>>()?;
    for worker in &workers {
        worker.wait_for(Event::Open)?;
    }
    for worker in &mut workers {
        worker.say("go")?;
    }
    let (mut values, mut rates) = (HashSet::new(), Vec::new());
    for (number, worker) in workers.into_iter().enumerate() {
        worker.wait_for(Event::End).with_context(|| format!("process {number}"))?;
        rates.push(judge(number, &String::from_utf8(worker.close()?)?, &mut values)?);
    }
    let (stored, total): (String, f64) = (server.value(STORE, KEY)?, rates.iter().sum());
    println!("{processes} processes: {total:.0} durable increments/s in total, {stored} stored");
    ensure!(stored == values.len().to_string(), "{} increments were answered", values.len());
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "a few processes")]
    let share = total / processes as f64 * SHARE_MIN;
    ensure!(least >= share, "a process got {least:.0}/s of {total:.0}/s");
    ensure!(total >= PER_SECOND_MIN, "fewer than {PER_SECOND_MIN}/s");
    Ok(())
}

/// Its increments per second.
fn judge(number: usize, told: &str, values: &mut HashSet<u64>) -> Result<f64> {
    for value in lines_of(told, "values").flat_map(|line| line.split(' ')) {
        ensure!(values.insert(value.parse()?), "{value} was answered twice: applied once for two");
    }
    let summary = lines_of(told, "summary").next().context("a worker says nothing of itself")?;
    let [rate, longest] = summary.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>()?[..] else {
        anyhow::bail!("a worker's line: {summary}");
    };
    println!("process {number}: {rate:.0} increments/s, longest wait for any answer {longest:.0} ms");
    ensure!(longest < 1_000.0, "process {number} had no answer for a whole second");
    Ok(rate)
}

/// Increments by many tasks for `count` seconds, and every answer.
pub(super) fn work(store: &Clawstore, options: &WorkerOptions) -> Result<()> {
    let counters = store.game(GameId::Number(1))?.data_store(STORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (start, lasts) = (Instant::now(), Duration::from_secs(options.count));
    let mut answers = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..TASKS {
            tasks.spawn(increment(counters.clone(), start, lasts));
        }
        let mut answers = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            answers.extend(ended??);
        }
        anyhow::Ok(answers)
    })?;
    answers.sort_unstable();
    let ends = std::iter::once(Duration::ZERO).chain(answers.iter().map(|(end, _)| *end));
    let longest = ends.zip(&answers).map(|(before, (end, _))| *end - before).max().unwrap_or(lasts);
    for some in answers.chunks(VALUES_PER_LINE) {
        let values: Vec<String> = some.iter().map(|(_, value)| value.to_string()).collect();
        println!("values {}", values.join(" "));
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = answers.len() as f64 / start.elapsed().as_secs_f64();
    println!("summary {rate:.1} {:.1}", longest.as_secs_f64() * 1e3);
    Ok(())
}

/// When each answer came, and what it was.
async fn increment(counters: DataStore, start: Instant, lasts: Duration) -> Result<Vec<(Duration, i64)>> {
    let mut answers = Vec::new();
    while start.elapsed() < lasts {
        let value = counters.increment(KEY, 1).await?;
        answers.push((start.elapsed(), value));
    }
    Ok(answers)
}
