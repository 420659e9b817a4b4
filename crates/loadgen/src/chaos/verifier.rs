//! The process that looks at what a kill has left.
//!
//! Owns: opening the store as a server would, timing that, and telling every key with its value. Does not own: judging
//! (`check`). It waits until its input ends and then closes the store, or is killed instead: so stores that were never
//! closed are met again.

use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clawstore::{Clawstore, Database, OpenError, ReadOnly};
use serde_json::Value;

use super::victim::{GAME, STORE};

const PAGE: usize = 1_000;

/// How a verifier is started by the harness.
#[derive(Debug, clap::Args)]
pub struct VerifierOptions {
    /// Directory of the store.
    #[arg(long)]
    pub db: PathBuf,
}

/// Writes `open <µs>`, a line per key, and `end`.
///
/// # Errors
/// If the store cannot be opened or read.
pub fn run(options: &VerifierOptions) -> Result<()> {
    let start = Instant::now();
    let store = Clawstore::builder().database(Database::directory(&options.db)).open()?;
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "open {}", start.elapsed().as_micros())?;
    let data_store = store.game(GAME)?.data_store(STORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for key in runtime.block_on(all_keys(options))? {
        let stored = runtime.block_on(data_store.get::<Value>(&key))?;
        writeln!(out, "V {key} {}", stored.map_or(Value::Null, |stored| stored.value))?;
    }
    writeln!(out, "end")?;
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    store.shutdown(Duration::from_secs(10));
    Ok(())
}

async fn all_keys(options: &VerifierOptions) -> Result<Vec<String>, OpenError> {
    let reader = ReadOnly::open(&options.db)?;
    let mut keys: Vec<String> = Vec::new();
    loop {
        let page = reader.keys(GAME, STORE, "global", keys.last().map(String::as_str), PAGE).await;
        let page = page.map_err(|error| OpenError::Actor(error.to_string()))?;
        let is_last = page.len() < PAGE;
        keys.extend(page);
        if is_last {
            return Ok(keys);
        }
    }
}
