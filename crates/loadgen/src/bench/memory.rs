//! Memory of keys.
//!
//! Owns: a process of its own for each measurement, so that nothing that was freed before is used again, and its resident
//! size at each step. The allocator is that of the shipped program, told to give freed pages back at once: what it would
//! keep for a while is no cost of a key. Does not own: what a key holds.
//!
//! * Active: growth by writing keys that all stay, with the page cache of SQLite, a few hundred bytes a key.
//! * Passivated: growth by writing twice as many others after the first have left memory, when those have left too. What
//!   the allocator keeps of the most that was ever active is no cost of a passivated key; it is told beside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clawstore::{Config, Database, GameStats};

use super::report::Figure;
use super::writes::{Stage, owner};
use super::{Bench, KEYS, at_most};
use crate::memory::resident_bytes;
use crate::unlimited;
use crate::vm::LocalResult;

/// The store of the key that is written before the first look.
const WARM: &str = "Warm";
const ACTIVE: &str = "bytes_per_active_key";
const PASSIVATED: &str = "bytes_per_passivated_key";
const KEPT: &str = "mib_kept_of_active_keys";
/// Stores that are filled one after another where keys leave memory.
const ROUNDS: usize = 3;
/// Keys of a quick run.
const QUICK_KEYS: usize = 30_000;

/// After this a key that should have left memory counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at how many keys are in memory: there is no signal for it outside of the store.
const LOOK: Duration = Duration::from_millis(20);

/// How the bench starts the process that is measured.
#[derive(Debug, clap::Args)]
pub struct MemoryOptions {
    /// Directory of the store.
    #[arg(long)]
    pub db: PathBuf,
    /// How many.
    #[arg(long)]
    pub keys: usize,
    /// Wait until the keys have left memory.
    #[arg(long)]
    pub passivated: bool,
}

pub(super) fn run(bench: &mut Bench<'_>, dir: &Path) -> LocalResult<()> {
    let keys = if bench.options.quick { QUICK_KEYS } else { KEYS };
    let start = |name: &str, passivated: bool| -> LocalResult<Vec<f64>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["memory", "--keys", &keys.to_string(), "--db"]).arg(dir.join(name));
        command.env("MIMALLOC_PURGE_DELAY", "0");
        if passivated {
            command.arg("--passivated");
        }
        let output = command.output()?;
        let text = String::from_utf8(output.stdout)?;
        let figures: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
        figures.map_err(|_| format!("{text}{}", String::from_utf8_lossy(&output.stderr)).into())
    };
    if bench.wants(ACTIVE) {
        let bytes = start(ACTIVE, false)?.first().copied().unwrap_or(f64::NAN);
        bench.add(Figure::alone(ACTIVE, bytes, "B", at_most(8_700.0)));
    }
    if bench.wants(PASSIVATED) {
        let [bytes, kept] = start(PASSIVATED, true)?[..] else { return Err("the process told too little".into()) };
        bench.add(Figure::alone(PASSIVATED, bytes, "B", at_most(450.0)));
        bench.add(Figure::alone(KEPT, kept / f64::from(1 << 20), "MiB", None));
    }
    Ok(())
}

/// The process that is measured: prints bytes per active key; or bytes per passivated key, and bytes that were kept.
///
/// # Errors
/// If the store cannot be opened or written, or keys do not leave memory.
pub fn child(options: &MemoryOptions) -> Result<()> {
    let measured = if options.passivated { passivated(options) } else { active(options) };
    println!("{}", measured.map_err(|error| anyhow!("{error}"))?);
    Ok(())
}

fn active(options: &MemoryOptions) -> LocalResult<String> {
    let stage = open_warm(&options.db, owner())?;
    let before = resident_bytes()?;
    stage.fill("Owned", options.keys)?;
    wait_until(&stage, |stats| stats.in_flight == 0)?;
    Ok(((resident_bytes()? - before) / count(options)).to_string())
}

fn passivated(options: &MemoryOptions) -> LocalResult<String> {
    let stage = open_warm(&options.db, unlimited().idle(Duration::from_secs(1)))?;
    let mut sizes = vec![resident_bytes()?];
    for round in 0..ROUNDS {
        stage.fill(&format!("Owned{round}"), options.keys)?;
        wait_until(&stage, |stats| stats.in_flight == 0 && stats.resident_keys == 0)?;
        sizes.push(resident_bytes()?);
    }
    let (kept, grown) = (sizes[1] - sizes[0], sizes[ROUNDS] - sizes[1]);
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let later = (ROUNDS - 1) as f64;
    Ok(format!("{} {kept}", grown / (later * count(options))))
}

/// One key has been written: what is made once for a process is there.
fn open_warm(db: &Path, config: Config) -> LocalResult<Stage> {
    let stage = Stage::open(Database::directory(db), config)?;
    stage.runtime.block_on(stage.game.data_store(WARM)?.set("key", &1))?;
    Ok(stage)
}

fn wait_until(stage: &Stage, done: impl Fn(&GameStats) -> bool) -> LocalResult<()> {
    let until = Instant::now() + PATIENCE;
    while !done(&stage.game.stats()) {
        if Instant::now() > until {
            return Err(format!("keys are still in memory: {:?}", stage.game.stats()).into());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a number of keys")]
fn count(options: &MemoryOptions) -> f64 {
    options.keys as f64
}
