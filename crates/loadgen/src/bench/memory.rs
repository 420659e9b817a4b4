//! Memory of keys.
//!
//! Owns: a process of its own for each figure, so that nothing that was freed before is used again, and its resident
//! size before and after. The allocator is the platform's (glibc), as in the shipped program. Does not own: what a key
//! holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clawstore::Config;

use super::report::Figure;
use super::writes::{Stage, owner};
use super::{Bench, KEYS, at_most};
use crate::vm::LocalResult;

/// Keys of another store that are written first, so that pools, caches and code are there before the first look.
const WARM: &str = "Warm";
const ACTIVE: &str = "bytes_per_active_key";
const PASSIVATED: &str = "bytes_per_passivated_key";

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
    /// Wait until the keys have left memory.
    #[arg(long)]
    pub passivated: bool,
}

pub(super) fn run(bench: &mut Bench<'_>, dir: &Path) -> LocalResult<()> {
    for (name, goal) in [(ACTIVE, 8_700.0), (PASSIVATED, 450.0)] {
        if !bench.wants(name) {
            continue;
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("memory").arg("--db").arg(dir.join(name));
        if name == PASSIVATED {
            command.arg("--passivated");
        }
        let output = command.output()?;
        let text = String::from_utf8(output.stdout)?;
        let bytes = text.trim().parse().map_err(|_| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))?;
        bench.add(Figure::alone(name, bytes, "B", at_most(goal)));
    }
    Ok(())
}

/// The process that is measured: prints bytes per key.
///
/// # Errors
/// If the store cannot be opened or written, or keys do not leave memory.
pub fn child(options: &MemoryOptions) -> Result<()> {
    let bytes = measure(options).map_err(|error| anyhow!("{error}"))?;
    println!("{bytes}");
    Ok(())
}

fn measure(options: &MemoryOptions) -> LocalResult<f64> {
    let config = if options.passivated { Config::default().idle(Duration::from_secs(1)) } else { owner() };
    let stage = Stage::open(&options.db, config)?;
    // One key: what is made once for a process is made now.
    stage.runtime.block_on(stage.game.data_store(WARM)?.set("key", &1))?;
    let before = resident()?;
    stage.fill("Owned")?;
    if std::env::var("H4_CYCLES").is_ok() {
        for n in 0..4 {
            while stage.game.stats().resident_keys != 0 { thread::sleep(LOOK); }
            eprintln!("{n} rss {}", resident()?);
            if let Ok(x) = std::fs::read_to_string("/proc/self/smaps_rollup") { eprintln!("{x}"); }
            stage.fill(&format!("Owned{n}"))?;
        }
    }
    let until = Instant::now() + PATIENCE;
    let done = || {
        let stats = stage.game.stats();
        stats.in_flight == 0 && (!options.passivated || stats.resident_keys == 0)
    };
    while !done() {
        if Instant::now() > until {
            return Err(format!("keys are still in memory: {:?}", stage.game.stats()).into());
        }
        thread::sleep(LOOK);
    }
    let after = resident()?;
    #[expect(clippy::cast_precision_loss, reason = "sizes of memory")]
    let (delta, keys) = (after.saturating_sub(before) as f64, KEYS as f64);
    stage.store.shutdown(PATIENCE);
    Ok(delta / keys)
}

/// Resident bytes of this process.
fn resident() -> LocalResult<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}
