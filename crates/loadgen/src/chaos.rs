//! Faults, again and again, under load.
//!
//! Owns: which faults there are, the options, and running them in turn. The journal of calls and answers is kept by this
//! process, outside of the victim. Does not own: the rounds (`kills`, `survivals`), the rules (`check`), the load (`calls`,
//! `victim`, `scripts`), looking at what is stored (`target`).

pub(crate) mod calls;
pub(crate) mod check;
mod kills;
mod mutant;
pub(crate) mod process;
mod scripts;
mod survivals;
pub(crate) mod target;
pub mod verifier;
pub mod victim;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use check::{Counts, State};

/// Complaints of one round that are printed.
const SHOWN: usize = 10;

/// Which backend the victims use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Db {
    /// The embedded store in a temporary directory.
    Sqlite,
    /// A Postgres server of the harness's own.
    Postgres,
}

/// What is done to a busy victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// kill -9 of the victim.
    Process,
    /// kill -9 of the Postgres server, which is started again; the victim goes on.
    Postmaster,
    /// Connections are cut at each point of a commit; the victim goes on.
    Connection,
    /// Each of them, one after another.
    All,
}

/// Faults that a victim can be given, to see that they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// Answers before the batch is committed.
    AckBeforeCommit,
}

/// What a run is made of.
#[derive(Debug, clap::Args)]
pub struct ChaosOptions {
    /// Which backend.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub db: Db,
    /// What is done to the victims. The embedded store knows kill -9 only.
    #[arg(long, value_enum, default_value = "process")]
    pub fault: Fault,
    /// How many rounds of each fault. A round of `connection` has one cut at each of the four points.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..4000))]
    pub rounds: u64,
    /// Repeat the choices of an earlier run; it printed its seed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Build a fault into the victims: the run must report losses.
    #[arg(long)]
    pub mutant: Option<Mutant>,
}

/// Runs the rounds and prints a line for each.
///
/// # Errors
/// If anything was lost or applied twice, the store did not open, or the load was not what it should be.
pub fn run(options: &ChaosOptions) -> Result<()> {
    let only_kills = options.fault == Fault::Process;
    ensure!(options.db == Db::Postgres || only_kills, "the embedded store has no server and no connections to fail");
    ensure!(options.mutant.is_none() || only_kills, "what a mutant loses shows when its process is killed");
    let seed = options.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs() ^ u64::from(std::process::id()) << 32
    });
    if matches!(options.fault, Fault::Process | Fault::All) {
        kills::run(options, seed)?;
    }
    if matches!(options.fault, Fault::Postmaster | Fault::All) {
        survivals::run(options.rounds, seed, survivals::Blow::Postmaster)?;
    }
    if matches!(options.fault, Fault::Connection | Fault::All) {
        survivals::run(options.rounds, seed, survivals::Blow::Connection)?;
    }
    Ok(())
}

/// How many calls ended how, for people.
pub(crate) fn told(counts: Counts) -> String {
    format!("acked {:>6} failed {} unknown {}", counts.acked, counts.failed, counts.unknown)
}

pub(crate) fn tell_complaints(found: &[String]) {
    found.iter().take(SHOWN).for_each(|wrong| println!("    {wrong}"));
}

/// Keeps what something wrong was found in: the journal, what was stored before it and after.
pub(crate) fn keep_evidence(journal: &[u8], states: [&State; 2]) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("clawstore-chaos-round-").tempdir()?.keep();
    std::fs::write(dir.join("journal"), journal)?;
    for (name, state) in ["before.json", "after.json"].iter().zip(states) {
        std::fs::write(dir.join(name), serde_json::to_vec_pretty(state)?)?;
    }
    println!("    the journal and both states are kept in {}", dir.display());
    Ok(())
}
