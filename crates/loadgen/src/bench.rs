//! Figures, each beside its baseline from the same run.
//!
//! Owns: which figures there are, in which order, and how often each side is measured. Does not own: how one is measured
//! (`writes`, `reads`, `polling`, `ticks`, `memory`, `postgres`, `lists`), the baselines (`bare` and those of `postgres`), how they
//! are shown (`report`).
//!
//! Both sides of a figure: same directory and file system, keys, bytes, pragmas, prepared statement and order of access,
//! in turns of equal length that alternate. The figure is the median of the turns. Nothing is paced: an answered call is
//! made again at once.

mod bare;
mod lists;
pub mod memory;
mod polling;
mod postgres;
mod reads;
mod report;
mod script;
mod ticks;
mod writes;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::percentiles::{median, p99};
use crate::vm::LocalResult;
use report::{Figure, Goal};

/// Keys that both sides write to.
const KEYS: usize = 100_000;
/// From one key to the next: coprime to [`KEYS`], so that all are visited before any twice, in no order that helps.
const STRIDE: usize = 61_813;
/// What is written: a save of 200 bytes. `coins` changes from call to call.
const SAVE: &str = concat!(
    r#"{"coins":100000,"inventory":["sword","shield","potion","potion"],"level":12,"name":"Player_000001","#,
    r#""pad":"xxxxxxxxx","rebirths":3,"settings":{"music":true,"sfx":false},"stats":{"deaths":4,"kills":10}}"#
);
const _: () = assert!(SAVE.len() == 200);

/// A save of the same length for every `seed`.
fn save(seed: usize) -> String {
    SAVE.replacen("100000", &(100_000 + seed % 900_000).to_string(), 1)
}

/// Which backend is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Db {
    /// The embedded store, beside bare SQLite.
    Sqlite,
    /// A Postgres server of the bench's own, beside the incumbent pattern and raw batches.
    Postgres,
}

/// What a run is made of.
#[derive(Debug, clap::Args)]
pub struct BenchOptions {
    /// Which backend.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub db: Db,
    /// Instead of all other figures: pages of a store of a million keys beside one of ten thousand.
    #[arg(long)]
    pub lists: bool,
    /// One short turn a side: to see that everything works, not to compare.
    #[arg(long)]
    pub quick: bool,
    /// Also write the figures to a file: a list of {name, value, unit, baseline, ratio}.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Only the figures whose name contains this.
    #[arg(long, value_name = "PART")]
    pub only: Option<String>,
    /// Where the embedded databases are made, on the disk that is to be measured. Default: the directory for temporary
    /// files, where a server of the bench's own is always.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// How often and how long.
#[derive(Debug, Clone, Copy)]
struct Plan {
    turns: usize,
    turn: Duration,
}

impl Plan {
    /// Median of each side, measured in turns; who begins alternates too.
    fn alternate(
        self,
        mut ours: impl FnMut(Duration) -> LocalResult<f64>,
        mut bare: impl FnMut(Duration) -> LocalResult<f64>,
    ) -> LocalResult<(f64, f64)> {
        let (mut our_turns, mut bare_turns) = (Vec::new(), Vec::new());
        for turn in 0..self.turns {
            if turn % 2 == 0 {
                our_turns.push(ours(self.turn)?);
                bare_turns.push(bare(self.turn)?);
            } else {
                bare_turns.push(bare(self.turn)?);
                our_turns.push(ours(self.turn)?);
            }
        }
        Ok((median(our_turns), median(bare_turns)))
    }
}

/// Collects figures, and knows which are wanted.
struct Bench<'a> {
    options: &'a BenchOptions,
    plan: Plan,
    figures: Vec<Figure>,
}

impl Bench<'_> {
    fn wants(&self, name: &str) -> bool {
        self.options.only.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }

    fn add(&mut self, figure: Figure) {
        println!("{figure}");
        self.figures.push(figure);
    }
}

/// Measures, prints the table, writes the file.
///
/// # Errors
/// If something cannot be measured. A goal that is not reached is no error: the table says so.
pub fn run(options: &BenchOptions) -> Result<()> {
    // Errors of a VM stay on its thread; this is where they become text.
    measure(options).map_err(|error| anyhow!("{error}"))
}

fn measure(options: &BenchOptions) -> LocalResult<()> {
    let plan = if options.quick {
        Plan { turns: 1, turn: Duration::from_millis(300) }
    } else {
        Plan { turns: 3, turn: Duration::from_millis(1_500) }
    };
    let begun = Instant::now();
    let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::Builder::new().prefix("clawstore-bench-").tempdir_in(parent)?;
    let mut bench = Bench { options, plan, figures: Vec::new() };
    println!(
        "{} turns of {:?} a side, {KEYS} keys, {} B values, in {}",
        plan.turns,
        plan.turn,
        SAVE.len(),
        dir.path().display()
    );
    println!("{}", report::header());
    if bench.wants("fdatasync") {
        let rate = fdatasync_rate(dir.path(), plan.turn)?;
        bench.add(Figure::alone("fdatasync", rate, "1/s", None));
    }
    match options.db {
        _ if options.lists => lists::run(&mut bench, dir.path())?,
        Db::Sqlite => embedded(&mut bench, dir.path())?,
        Db::Postgres => postgres::run(&mut bench)?,
    }
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&bench.figures)?)?;
    }
    Ok(())
}

fn embedded(bench: &mut Bench<'_>, dir: &Path) -> LocalResult<()> {
    writes::run(bench, dir)?;
    reads::run(bench, dir)?;
    polling::run(bench)?;
    ticks::run(bench)?;
    memory::run(bench, dir)
}

/// What the disk gives: overwrite 4 KiB, make it durable.
fn fdatasync_rate(dir: &Path, turn: Duration) -> LocalResult<f64> {
    let mut file = File::create(dir.join("fdatasync"))?;
    let block = [7_u8; 4096];
    file.write_all(&block)?;
    file.sync_all()?;
    let (start, mut count) = (Instant::now(), 0.0);
    while start.elapsed() < turn {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&block)?;
        file.sync_data()?;
        count += 1.0;
    }
    Ok(count / start.elapsed().as_secs_f64())
}

/// Microseconds that one in a hundred exceeds.
fn p99_us(took: Vec<Duration>) -> LocalResult<f64> {
    Ok(p99(took).ok_or("nothing was answered in the turn")?.as_secs_f64() * 1e6)
}

/// Shorthand for the tables of figures.
const fn at_least(ratio: f64) -> Option<Goal> {
    Some(Goal::AtLeast(ratio))
}

/// Shorthand for the tables of figures.
const fn at_most(ratio: f64) -> Option<Goal> {
    Some(Goal::AtMost(ratio))
}
