//! `clawstore import`: taking over what another engine has saved.
//!
//! Owns: its options, the progress bar, and what is printed where: rows that are refused on stdout, one a line, for other
//! programs; the bar and the report on stderr, for people. Does not own: importing (`clawstore::import`).

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use clap::{Args, Subcommand};
use clawstore::import::{Counts, Import, Page, Plan, check};
use clawstore::{Clawstore, Config, Database, GameId, OpenError};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::args::DatabaseArgument;
use crate::block_on::block_on;
use crate::exit::Exit;

/// How long what was accepted may take to be durable at the end.
const PATIENCE: Duration = Duration::from_secs(38);

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Source {
    /// Take over what a Clawblox engine has saved: the rows of its table `data_stores`, which is only read. Keys that were
    /// ever written here are left alone, so an import that was interrupted goes on when it is run again. Stop the engine
    /// first: what it saves behind the import's back is not seen.
    #[command(after_help = "\
Rows that cannot be stored here (keys and names over 50 bytes, values over 4 MiB) are printed one a line: game, store, key
and reason, parted by tabs.

Exit codes:
  0  every row is here
  1  rows were refused
  2  the command line is wrong
  5  a database could not be opened, or failed; run it again to go on")]
    Clawblox(ClawbloxArguments),
}

#[derive(Debug, Args)]
struct ClawbloxArguments {
    /// Postgres database of the engine.
    #[arg(long, value_name = "URL")]
    from: String,
    #[command(flatten)]
    database: DatabaseArgument,
    /// A store that scripts open with GetOrderedDataStore. May be repeated.
    #[arg(long, value_name = "NAME")]
    ordered: Vec<String>,
    /// Only this game. May be repeated.
    #[arg(long = "game", value_name = "UUID", value_parser = uuid)]
    games: Vec<GameId>,
    /// Read and check everything; open and write nothing.
    #[arg(long)]
    dry_run: bool,
}

fn uuid(text: &str) -> Result<GameId, String> {
    match text.parse() {
        Ok(id @ GameId::Uuid(_)) => Ok(id),
        Ok(GameId::Number(_)) | Err(_) => Err("a Clawblox engine knows its games by UUIDs".to_owned()),
    }
}

pub(crate) fn import(arguments: &ImportArguments) -> anyhow::Result<Exit> {
    let Source::Clawblox(arguments) = &arguments.source;
    let mut plan = Plan::from(Database::parse(&arguments.from)?)?;
    plan.games.clone_from(&arguments.games);
    plan.ordered.clone_from(&arguments.ordered);
    if arguments.dry_run {
        return follow(check(plan)?, "would be written");
    }
    let config = Config::load().map_err(OpenError::from)?;
    let store = Clawstore::builder().config(config).database(arguments.database.database()?).open()?;
    let ended = store.import(plan).map_err(anyhow::Error::from).and_then(|import| follow(import, "written"));
    store.shutdown(PATIENCE);
    ended
}

/// Shows how it goes, and at the end, also an early one, how it went.
fn follow(mut import: Import, written: &str) -> anyhow::Result<Exit> {
    let bar = bar(import.rows());
    let mut counts = Counts::default();
    let ended = loop {
        match block_on(import.next_page()) {
            Some(Ok(page)) => {
                counts += page.counts;
                bar.suspend(|| print_refused(&page))?;
                bar.set_position(counts.read);
            }
            Some(Err(error)) => break Err(error),
            None => break Ok(()),
        }
    };
    bar.finish_and_clear();
    write!(io::stderr(), "{}", report(&counts, written, bar.elapsed()))?;
    match ended {
        Ok(()) if counts.refused == 0 => Ok(Exit::Success),
        Ok(()) => Ok(Exit::Failed),
        Err(error) => Err(anyhow::Error::from(error).context("the import stopped; run it again to go on")),
    }
}

/// Drawn on stderr if that is a terminal.
fn bar(rows: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} rows  {per_sec}  {eta} left");
    ProgressBar::new(rows).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print_refused(page: &Page) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for row in &page.refused {
        // A tab or a line break in a name would make two of one.
        let (store, key) = (row.store.escape_debug(), row.key.escape_debug());
        writeln!(out, "{}\t{store}\t{key}\t{}", row.game, row.reason)?;
    }
    out.flush()
}

fn report(counts: &Counts, written: &str, took: Duration) -> String {
    let rate = counts.read as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE);
    let rows = [
        ("rows read", counts.read),
        (written, counts.written),
        ("already there", counts.already_there),
        ("removed in the source", counts.removed),
        ("refused", counts.refused),
    ];
    let mut text = String::new();
    for (name, count) in rows {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:<22} {}", HumanCount(count));
    }
    let _ = writeln!(text, "{:<22} {:.1} s, {rate:.0} rows/s", "took", took.as_secs_f64());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uuids_are_games_of_the_source() {
        assert!(uuid("0b0e6b0e-0000-4000-8000-000000000001").is_ok());
        assert!(uuid("7").is_err() && uuid("x").is_err());
    }

    #[test]
    fn the_report_is_one_line_a_figure() {
        let counts = Counts { read: 2_000, written: 1_000, already_there: 700, removed: 200, refused: 100 };
        let expected = "rows read              2,000\n\
                        written                1,000\n\
                        already there          700\n\
                        removed in the source  200\n\
                        refused                100\n\
                        took                   2.0 s, 1000 rows/s\n";
        assert_eq!(report(&counts, "written", Duration::from_secs(2)), expected);
    }
}
