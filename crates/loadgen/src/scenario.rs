//! Several processes, or games, on one database: what acceptance asks for, one scenario each.
//!
//! Owns: their names and options, and the worker processes' command line. Does not own: rounds of faults (`chaos`), whose
//! victims some scenarios use.

mod beats;
mod counter;
mod crowd;
mod fleet;
mod flood;
mod hand_over;
mod outage;
mod takeover;
mod twenty;
mod two_writers;
mod upgrade;
mod worker;
mod zombie;

use anyhow::{Result, ensure};

use crate::chaos::Db;

pub use worker::WorkerOptions;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Two processes increment one key; the sum is exact, and neither starves.
    TwoWriters,
    /// kill -9 of a process; another writes its keys within 2 s.
    Takeover,
    /// Two processes that run 60 times a second update one key: how long each waits for it, with and without hints.
    HandOver,
    /// A process is frozen, others take its keys, it wakes up: it overwrites nothing.
    Zombie,
    /// Processes come and are killed under load, the others go on: nothing is lost.
    Crowd,
    /// The server is away under load.
    Outage,
    /// Twenty processes with ten games each, on stock settings.
    Twenty,
    /// One game floods, then twice as much; another's latency stays. Also on the embedded store.
    Flood,
    /// Three processes increment one counter at full speed; the sum is exact, and none starves.
    Counter,
    /// A thousand servers beat; what that costs, and what flushes leave behind.
    Beats,
    /// A migration one step newer is applied under load; old and new processes go on side by side.
    Upgrade,
}

/// What a scenario is run with.
#[derive(Debug, clap::Args)]
pub struct ScenarioOptions {
    /// Which one.
    #[arg(value_enum)]
    pub name: Scenario,
    /// Where.
    #[arg(long, value_enum, default_value = "postgres")]
    pub db: Db,
    /// How long its load, its fault or its freeze lasts. Default: what acceptance asks for.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..3600))]
    pub seconds: Option<u64>,
    /// How much of it: increments of a writer, keys to be taken over, processes of twenty or of a counter,
    /// kills in a crowd, servers that beat, hand-overs. Default: what
    /// acceptance asks for.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..1_000_000))]
    pub count: Option<u64>,
    /// Repeat the choices of an earlier run.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Runs it and prints its figures.
///
/// # Errors
/// If anything is not as it must be.
pub fn run(options: &ScenarioOptions) -> Result<()> {
    let is_shared = options.db == Db::Postgres || options.name == Scenario::Flood;
    ensure!(is_shared, "{:?} needs several processes on one database: --db postgres", options.name);
    match options.name {
        Scenario::TwoWriters => two_writers::run(options)?,
        Scenario::Takeover => takeover::run(options)?,
        Scenario::HandOver => hand_over::run(options)?,
        Scenario::Zombie => zombie::run(options)?,
        Scenario::Crowd => crowd::run(options)?,
        Scenario::Outage => outage::run(options)?,
        Scenario::Twenty => twenty::run(options)?,
        Scenario::Flood => flood::run(options)?,
        Scenario::Counter => counter::run(options)?,
        Scenario::Beats => beats::run(options)?,
        Scenario::Upgrade => upgrade::run(options)?,
    }
    println!("{:?}: ok", options.name);
    Ok(())
}

/// The work of one process.
///
/// # Errors
/// If the store cannot be opened, or a call fails that must not.
pub fn work(options: &WorkerOptions) -> Result<()> {
    worker::run(options)
}
