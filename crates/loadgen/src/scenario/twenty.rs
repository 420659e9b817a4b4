//! Many processes on a server with stock settings.
//!
//! Owns: processes with ten games each, whose games save once a second; the connections that this takes, and that none is
//! refused. Does not own: throughput.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clawstore::{Clawstore, DataStore, GameId};
use tokio::task::JoinSet;

use super::ScenarioOptions;
use super::worker::{self, WorkerOptions, lines_of};
use crate::chaos::process::Event;
use crate::chaos::target::Server;
use crate::percentiles::p99;

const PROCESSES: u64 = 20;
const GAMES: u64 = 10;
const LASTS: Duration = Duration::from_secs(60);
/// Connections of one process (`decisions.md` 16).
const CONNECTIONS_MAX: u64 = 4;
/// What the server says when it has no room.
const REFUSALS: [&str; 2] = ["too many clients", "remaining connection slots"];

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let (processes, lasts) = (options.count.unwrap_or(PROCESSES), options.seconds.map_or(LASTS, Duration::from_secs));
    let server = Server::start()?;
    let mut workers = Vec::new();
    for number in 0..processes {
        workers.push(worker::start(&server.url(), "save", lasts.as_secs(), number)?);
    }
    for worker in &mut workers {
        worker.wait_for(Event::Open)?;
        worker.say("go")?;
    }
    let most = server.most_connections_during(lasts)?;
    let (mut saves, mut p99, mut slowest) = (0, 0.0_f64, 0.0_f64);
    for (number, worker) in workers.into_iter().enumerate() {
        worker.wait_for(Event::End).with_context(|| format!("process {number}"))?;
        let told = String::from_utf8(worker.close()?)?;
        let line = lines_of(&told, "saves").next().context("a process told nothing")?;
        let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [done, its_p99, its_slowest] = numbers[..] else { return Err(anyhow!("saves {line}")) };
        saves += done as u64;
        (p99, slowest) = (its_p99.max(p99), its_slowest.max(slowest));
    }
    let log = server.cluster().log()?;
    let refused = log.lines().filter(|line| REFUSALS.iter().any(|text| line.contains(text))).count();
    println!(
        "{processes} processes, {GAMES} games each, {} s: {saves} saves; the slowest process has p99 {p99:.1} ms, slowest \
         {slowest:.1} ms; at most {most} connections; {refused} refused",
        lasts.as_secs(),
    );
    ensure!(refused == 0, "connections were refused");
    ensure!(most <= processes * CONNECTIONS_MAX, "more than {CONNECTIONS_MAX} connections a process");
    // The first save of a game comes at once.
    let expected = processes * GAMES * lasts.as_secs();
    ensure!(saves == expected, "{expected} saves were due");
    Ok(())
}

/// Ten games, each saving once a second, `count` times. Every save must succeed.
pub(super) fn work(store: &Clawstore, options: &WorkerOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut took = Vec::new();
    runtime.block_on(async {
        let mut games = JoinSet::new();
        for game in 0..GAMES {
            let store = store.game(GameId::Number(1 + options.number * GAMES + game))?.data_store("Saves")?;
            games.spawn(save(store, options.count));
        }
        while let Some(ended) = games.join_next().await {
            took.extend(ended??);
        }
        anyhow::Ok(())
    })?;
    let (saves, slowest) = (took.len(), took.iter().max().copied());
    let ms = |took: Option<Duration>| took.map_or(f64::NAN, |took| took.as_secs_f64() * 1e3);
    println!("saves {saves} {:.2} {:.2}", ms(p99(took)), ms(slowest));
    Ok(())
}

async fn save(store: DataStore, times: u64) -> Result<Vec<Duration>> {
    let (mut seconds, mut took) = (tokio::time::interval(Duration::from_secs(1)), Vec::new());
    for number in 0..times {
        seconds.tick().await;
        let start = Instant::now();
        store.set("save", &number).await?;
        took.push(start.elapsed());
    }
    Ok(took)
}
