//! A process dies; another takes its keys.
//!
//! Owns: one process that sets keys and is killed, one that was there all the time and then sets them, and how long that
//! takes. Does not own: how the death is found out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clawstore::{Clawstore, GameId};
use tokio::task::JoinSet;

use super::ScenarioOptions;
use super::worker::{self, WorkerOptions, lines_of};
use crate::chaos::process::Event;
use crate::chaos::target::Server;

const KEYS: u64 = 1_000;
const WITHIN: Duration = Duration::from_secs(2);

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let (keys, within) = (options.count.unwrap_or(KEYS), options.seconds.map_or(WITHIN, Duration::from_secs));
    let server = Server::start()?;
    let mut first = worker::start(&server.url(), "set-all", keys, 1)?;
    let mut second = worker::start(&server.url(), "set-all", keys, 2)?;
    first.wait_for(Event::Open)?;
    second.wait_for(Event::Open)?;
    first.say("go")?;
    first.wait_for(Event::Idle).context("the first process has set its keys")?;
    drop(first.kill()?);
    let start = Instant::now();
    second.say("go")?;
    second.wait_for(Event::Idle).context("the second process has set the keys")?;
    let took = start.elapsed();
    let told = String::from_utf8(second.kill()?)?;
    let slowest = lines_of(&told, "idle").next().unwrap_or_default();
    println!("{keys} keys were written {:.2} s after the kill -9 of their owner; {slowest}", took.as_secs_f64());
    let theirs = server.count("Keys", "2")?;
    ensure!(theirs == i64::try_from(keys)?, "{theirs} of {keys} keys have the value of the second process");
    ensure!(took <= within, "not within {within:?}");
    Ok(())
}

/// Sets all keys at once to the number of this process.
pub(super) fn work(store: &Clawstore, options: &WorkerOptions) -> Result<()> {
    let keys = store.game(GameId::Number(1))?.data_store("Keys")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let start = Instant::now();
    let first = runtime.block_on(async {
        let mut calls = JoinSet::new();
        for index in 0..options.count {
            let (keys, number) = (keys.clone(), options.number);
            calls.spawn(async move { keys.set(&format!("key_{index}"), &number).await });
        }
        let mut first = None;
        while let Some(ended) = calls.join_next().await {
            ended??;
            first.get_or_insert_with(|| start.elapsed());
        }
        anyhow::Ok(first.unwrap_or_default())
    })?;
    println!("idle first answer after {:.2} s, all after {:.2} s", first.as_secs_f64(), start.elapsed().as_secs_f64());
    // The owner keeps its keys until it is killed.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
