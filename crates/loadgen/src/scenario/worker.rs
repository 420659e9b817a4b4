//! The processes of a scenario.
//!
//! Owns: their command line, opening the store, waiting for `go`, the lines in which they answer. Does not own: the work
//! (each stands with its scenario).

use std::io::{self, BufRead};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clawstore::{Clawstore, Database};

use super::{counter, hand_over, outage, takeover, twenty, two_writers};
use crate::chaos::process::Process;
use crate::unlimited;

/// What a worker does once it is told to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Task {
    /// Coroutines that increment one key.
    Increment,
    /// Tasks that increment one counter.
    Count,
    /// Coroutines that update one key, 60 times a second.
    HandOver,
    /// The same without hints.
    HandOverUnhinted,
    /// Every key is set once.
    SetAll,
    /// Sets as fast as given, whether they are answered or not, and what that costs.
    Press,
    /// Ten games that save once a second.
    Save,
}

/// How a worker is started.
#[derive(Debug, clap::Args)]
pub struct WorkerOptions {
    /// URL of the database.
    #[arg(long)]
    db: String,
    /// What it does.
    #[arg(long, value_enum)]
    task: Task,
    /// How often or how many, as the task has it.
    #[arg(long)]
    pub(super) count: u64,
    /// Number of this worker.
    #[arg(long)]
    pub(super) number: u64,
}

/// Says `open`, works when it is told, says `end`.
pub(super) fn run(options: &WorkerOptions) -> Result<()> {
    let config = match options.task {
        Task::HandOver => unlimited().sharing(false),
        Task::HandOverUnhinted => unlimited().sharing(false).hints(false),
        _ => unlimited(),
    };
    let store = Clawstore::builder().config(config).database(Database::parse(&options.db)?).open()?;
    println!("open");
    wait_for_line("go")?;
    match options.task {
        Task::Increment => two_writers::work(&store, options),
        Task::Count => counter::work(&store, options),
        Task::HandOver | Task::HandOverUnhinted => hand_over::work(&store, options),
        Task::SetAll => takeover::work(&store, options),
        Task::Press => outage::work(&store, options),
        Task::Save => twenty::work(&store, options),
    }?;
    store.shutdown(Duration::from_secs(10));
    println!("end");
    Ok(())
}

fn wait_for_line(wanted: &str) -> Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    ensure!(line.trim_end() == wanted, "told {line:?} instead of {wanted:?}");
    Ok(())
}

/// Starts a worker.
pub(super) fn start(db: &str, task: &str, count: u64, number: u64) -> Result<Process> {
    let (count, number) = (count.to_string(), number.to_string());
    let arguments = ["worker", "--db", db, "--task", task, "--count", &count, "--number", &number];
    Process::start(&arguments.map(Into::into)).context("a worker")
}

/// The lines of a worker that begin with this word, without it.
pub(super) fn lines_of<'a>(told: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    told.lines().filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '))
}
