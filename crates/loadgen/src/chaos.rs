//! Faults, again and again, under load.
//!
//! Owns: which faults there are, the options, and running them in turn. The journal of calls and answers is kept by this
//! process, outside of the victim. Does not own: the rounds of one process (`kills`, `survivals`) and of several (`servers`), the
//! rules (`check`), the load (`calls`, `victim`, `scripts`), looking at what is stored (`target`).

pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod history;
mod kills;
mod mix;
mod mutant;
pub(crate) mod process;
mod registers;
mod scripts;
mod servers;
mod survivals;
pub(crate) mod target;
pub mod verifier;
pub mod victim;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use check::{State, Wrong};
use history::Counts;

pub use mutant::Mutant;

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

/// What is done to busy victims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Fault {
    /// kill -9 of a victim; with --servers it is started again.
    Process,
    /// kill -9 of the Postgres server, which is started again; the victims go on.
    Postmaster,
    /// Connections are cut at each point of a commit; the victims go on.
    Connection,
    /// With --servers: one is stopped for 1 to 15 s and goes on, sometimes with its connections gone.
    Freeze,
    /// With --servers: what is sent does not arrive, and nobody is told. Later it does.
    Hole,
    /// With --servers: everything arrives late.
    Slow,
    /// With --servers: the primary is killed or left to itself, and the synchronous standby takes over.
    Promotion,
    /// With --servers: an asynchronous standby takes over that lacks the last writes. The loss must be reported.
    Loss,
    /// Each of them, one after another; with --servers in turn, and without `loss`.
    All,
}

/// What a run is made of.
#[derive(Debug, clap::Args)]
pub struct ChaosOptions {
    /// Which backend.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub db: Db,
    /// What is done to the victims, parted by commas. The embedded store knows kill -9 only. Default: process, or what a mutant is
    /// shown by.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub fault: Vec<Fault>,
    /// How many rounds of each fault. A round of `connection` has one cut at each of the four points.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..4000))]
    pub rounds: u64,
    /// Repeat the choices of an earlier run; it printed its seed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Build a fault into the victims or their database: the run must report it.
    #[arg(long)]
    pub mutant: Option<Mutant>,
    /// So many server processes on one database, instead of one victim.
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=8))]
    pub servers: Option<u64>,
    /// With --servers: how many keys they share.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(30..1_000_000))]
    pub keys: u64,
    /// With --servers: how many calls in a hundred are on a few hot keys.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub hot: u64,
    /// With --servers: for how long a round's load goes on at least, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..600))]
    pub seconds: u64,
    /// With --servers: write a report for people and one for programs into this directory.
    #[arg(long)]
    pub report: Option<PathBuf>,
}

impl ChaosOptions {
    /// The faults in question, each once.
    fn faults(&self) -> Vec<Fault> {
        let mut faults = match (&self.fault[..], self.mutant) {
            ([], Some(mutant)) if self.servers.is_some() => mutant.shown_by().to_vec(),
            ([], _) => vec![Fault::Process],
            (named, _) => named.to_vec(),
        };
        if let Some(all) = faults.iter().position(|fault| *fault == Fault::All) {
            faults.remove(all);
            faults.extend([Fault::Process, Fault::Postmaster, Fault::Connection]);
            if self.servers.is_some() {
                faults.extend([Fault::Freeze, Fault::Hole, Fault::Slow, Fault::Promotion]);
            }
        }
        faults.sort_unstable();
        faults.dedup();
        faults
    }
}

/// Runs the rounds and prints a line for each.
///
/// # Errors
/// If anything was lost or applied twice, the store did not open, or the load was not what it should be.
pub fn run(options: &ChaosOptions) -> Result<()> {
    let faults = options.faults();
    let seed = options.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs() ^ u64::from(std::process::id()) << 32
    });
    if options.servers.is_some() {
        ensure!(options.db == Db::Postgres, "several servers need --db postgres");
        return servers::run(options, &faults, seed);
    }
    let only_kills = faults == [Fault::Process];
    ensure!(options.db == Db::Postgres || only_kills, "the embedded store has no server and no connections to fail");
    let is_for_one = options.mutant.is_none_or(Mutant::is_for_one);
    ensure!(is_for_one, "this mutant needs --servers: what it breaks shows when several share keys");
    ensure!(options.mutant.is_none() || only_kills, "what a mutant loses shows when its process is killed");
    for fault in faults {
        match fault {
            Fault::Process => kills::run(options, seed)?,
            Fault::Postmaster => survivals::run(options.rounds, seed, survivals::Blow::Postmaster)?,
            Fault::Connection => survivals::run(options.rounds, seed, survivals::Blow::Connection)?,
            other => anyhow::bail!("{other:?} needs --servers"),
        }
    }
    Ok(())
}

/// How many calls ended how, for people.
pub(crate) fn told(counts: Counts) -> String {
    format!("acked {:>6} failed {} unknown {}", counts.acked, counts.failed, counts.unknown)
}

pub(crate) fn tell_complaints(found: &[Wrong]) {
    found.iter().take(SHOWN).for_each(|wrong| println!("    {wrong}"));
}

/// Keeps what something wrong was found in: the journals, what was stored before them and after.
pub(crate) fn keep_evidence(journals: &[Vec<u8>], states: [&State; 2]) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("clawstore-chaos-round-").tempdir()?.keep();
    for (number, journal) in journals.iter().enumerate() {
        std::fs::write(dir.join(format!("journal-{number}")), journal)?;
    }
    for (name, state) in ["before.json", "after.json"].iter().zip(states) {
        std::fs::write(dir.join(name), serde_json::to_vec_pretty(state)?)?;
    }
    println!("    the journals and both states are kept in {}", dir.display());
    Ok(())
}
