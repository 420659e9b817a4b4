//! The command line.
//!
//! Owns: names, defaults and help of every option, and refusing what cannot be meant. Does not own: what they do.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clawstore::{Database, GameId, OpenError};
use regex::Regex;

/// Where data is kept unless something else is said.
const DEFAULT_DIRECTORY: &str = "./clawstore-data";

/// Roblox-compatible data stores for games that you host yourself.
#[derive(Debug, Parser)]
#[command(name = "clawstore", version, about, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play a Luau game in a small Roblox-like server.
    Run(RunArguments),
    /// Print the value of a key. Only reads; works while a server runs.
    Get(GetArguments),
    /// List stores, or the keys of a store. Only reads; works while a server runs.
    Ls(LsArguments),
    /// Bring the schema of a Postgres database up to date, take its last step back, or show its steps. A server does the
    /// first by itself, unless its role may not (setting `migrate = "off"`).
    Migrate(MigrateArguments),
}

/// Exit codes: 0 ended well; 1 the script raised or a --forbid was seen; 2 the script could not be loaded; 3 an --expect
/// or --until was not seen; 4 BindToClose took longer than 30 s; 5 the store could not be opened or has failed.
#[derive(Debug, Args)]
#[command(after_help = "\
The server ends at --until, SIGINT or SIGTERM, at --max-real, when the last simulated player has left, or when nothing is
left that could run. Then players leave, BindToClose functions run, and what was accepted is saved.

Exit codes:
  0  it ended well
  1  a script raised, or a --forbid was seen
  2  a script could not be loaded, or the command line is wrong
  3  an --expect or --until was not seen
  4  BindToClose functions took longer than 30 s
  5  the store could not be opened, or has failed")]
pub(crate) struct RunArguments {
    /// A script, or a folder whose *.server.luau are run.
    pub(crate) script: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
    #[command(flatten)]
    pub(crate) game: GameArgument,
    /// game.PlaceId.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) place_id: u64,
    /// game.JobId; random unless given.
    #[arg(long, value_name = "S")]
    pub(crate) job_id: Option<String>,
    /// Simulated players, who join one after another, play and leave. They are the same ones in every run.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) players: u32,
    /// How long a simulated player stays: seconds, or a range such as 5..9.
    #[arg(long, value_name = "SECONDS", default_value = "12..20")]
    pub(crate) session: Session,
    /// End when a line of output matches.
    #[arg(long, value_name = "REGEX")]
    pub(crate) until: Option<Regex>,
    /// Fail unless a line of output matches. May be given several times.
    #[arg(long, value_name = "REGEX")]
    pub(crate) expect: Vec<Regex>,
    /// Fail if a line of output matches. May be given several times.
    #[arg(long, value_name = "REGEX")]
    pub(crate) forbid: Vec<Regex>,
    /// End after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) max_real: Option<Duration>,
    /// Print no status line every second.
    #[arg(long)]
    pub(crate) no_status: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    /// Name of the store.
    pub(crate) store: String,
    /// The key.
    pub(crate) key: String,
    /// The store's scope.
    #[arg(long, value_name = "S", default_value = "global")]
    pub(crate) scope: String,
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
    #[command(flatten)]
    pub(crate) game: GameArgument,
    /// Print the value over several lines.
    #[arg(long)]
    pub(crate) pretty: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LsArguments {
    /// List the keys of this store; without it, the stores.
    pub(crate) store: Option<String>,
    /// The store's scope.
    #[arg(long, value_name = "S", default_value = "global")]
    pub(crate) scope: String,
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
    #[command(flatten)]
    pub(crate) game: GameArgument,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    /// What to do.
    pub(crate) direction: Direction,
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
}

/// What `migrate` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Direction {
    /// Apply all steps that are not applied yet.
    Up,
    /// Take the last step back. What only it made room for is lost.
    Down,
    /// Show all steps, applied or not.
    Status,
}

#[derive(Debug, Args)]
pub(crate) struct DatabaseArgument {
    /// A directory, postgres://…, or :memory:. Default: what CLAWSTORE_DB says, else DATABASE_URL if it is a Postgres URL, else
    /// ./clawstore-data.
    #[arg(long, value_name = "DIR|URL")]
    db: Option<String>,
}

impl DatabaseArgument {
    pub(crate) fn database(&self) -> Result<Database, OpenError> {
        match &self.db {
            Some(name) => Database::parse(name),
            None => Database::from_env_or(DEFAULT_DIRECTORY),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GameArgument {
    /// The game whose data it is (game.GameId): a number or a UUID.
    #[arg(long = "universe-id", value_name = "N", default_value = "1")]
    pub(crate) id: GameId,
}

/// How long simulated players stay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Session {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl FromStr for Session {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (shortest, longest) = text.split_once("..").unwrap_or((text, text));
        let (shortest, longest) = (seconds(shortest)?, seconds(longest)?);
        if shortest > longest {
            return Err("the range ends before it begins".to_owned());
        }
        Ok(Self { shortest, longest })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<f64>().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    seconds.ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sessions_are_numbers_or_ranges() {
        let session = |text: &str| text.parse::<Session>().map(|s| (s.shortest.as_millis(), s.longest.as_millis()));
        assert_eq!(session("2"), Ok((2_000, 2_000)));
        assert_eq!(session("0.5..1.25"), Ok((500, 1_250)));
        assert!(session("3..2").is_err() && session("a..2").is_err() && session("-1").is_err());
    }
}
