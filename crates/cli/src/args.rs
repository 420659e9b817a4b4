//! The command line.
//!
//! Owns: names, defaults and help of every option, and refusing what cannot be meant. Does not own: what they do; the options
//! of `run` (`args/run.rs`).

pub(crate) mod run;
pub(crate) mod values;

use clap::{Args, Parser, Subcommand};
use clawstore::{Database, GameId, OpenError};

use crate::args::run::RunArguments;
use crate::import::ImportArguments;

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
    Run(Box<RunArguments>),
    /// Run the specs of a game in simulated time, with faults on demand.
    Test(Box<crate::specs::TestArguments>),
    /// Print the value of a key. Only reads; works while a server runs.
    Get(GetArguments),
    /// List stores, or the keys of a store. Only reads; works while a server runs.
    Ls(LsArguments),
    /// Bring the schema of a Postgres database up to date, take its last step back, or show its steps. A server does the
    /// first by itself, unless its role may not (setting `migrate = "off"`).
    Migrate(MigrateArguments),
    /// Take over what another engine has saved.
    Import(ImportArguments),
    /// Back up a game: the first write of every key from now on keeps what it supersedes as a version. At most once a UTC day.
    Snapshot(SnapshotArguments),
    /// Delete the data of a whole game, take that back, or delete it for good.
    #[command(subcommand)]
    Game(GameCommand),
    /// Who holds which key, where several servers use one database, and taking a key away from its server.
    #[command(subcommand)]
    Locks(LocksCommand),
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
    #[command(flatten)]
    pub(crate) game: GameArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GameCommand {
    /// List the games that have data, and which of them are deleted. Only reads; works while a server runs.
    List(ListGamesArguments),
    /// Delete the data of a game. Nothing is lost before it is purged: `restore` takes it back. Its servers must have ended.
    Delete(DeleteGameArguments),
    /// Take a deletion back.
    Restore(RestoreGameArguments),
    /// Delete a deleted game for good, once the 30 days for which it is kept are over.
    Purge(PurgeGameArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LocksCommand {
    /// List the keys that a server holds or that are shared. Only reads; works while servers run.
    List(ListLocksArguments),
    /// Take a key from the server that holds it. Never needed for a server that has died: its keys are free. The server goes on:
    /// nothing is lost, and its next call on the key asks for it again.
    Release(ReleaseLockArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListLocksArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
    #[command(flatten)]
    pub(crate) game: GameArgument,
    /// Only those of this store.
    #[arg(long, value_name = "NAME")]
    pub(crate) store: Option<String>,
    /// Only keys that begin so.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseLockArguments {
    /// The game whose data it is (game.GameId): a number or a UUID.
    pub(crate) game: GameId,
    /// Name of the store.
    pub(crate) store: String,
    /// The store's scope.
    pub(crate) scope: String,
    /// The key.
    pub(crate) key: String,
    /// It is an ordered store.
    #[arg(long)]
    pub(crate) ordered: bool,
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
}

#[derive(Debug, Args)]
pub(crate) struct ListGamesArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteGameArguments {
    #[command(flatten)]
    pub(crate) game: NamedGame,
    #[command(flatten)]
    pub(crate) confirmation: Confirmation,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreGameArguments {
    #[command(flatten)]
    pub(crate) game: NamedGame,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeGameArguments {
    #[command(flatten)]
    pub(crate) game: NamedGame,
    #[command(flatten)]
    pub(crate) confirmation: Confirmation,
    /// Do not wait for the end of the 30 days.
    #[arg(long)]
    pub(crate) now: bool,
}

/// A game that has to be named: there is no default for what cannot be guessed.
#[derive(Debug, Args)]
pub(crate) struct NamedGame {
    /// The game whose data it is (game.GameId): a number or a UUID.
    #[arg(long = "universe-id", value_name = "N", required = true)]
    pub(crate) id: GameId,
    #[command(flatten)]
    pub(crate) database: DatabaseArgument,
}

#[derive(Debug, Args)]
pub(crate) struct Confirmation {
    /// Do it without asking. Without it the id of the game has to be typed; where nobody can type, nothing is done.
    #[arg(long)]
    pub(crate) yes: bool,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_document_of_the_runner_has_every_option() {
        const DOCUMENT: &str = include_str!("../../../docs/RUNNER.md");
        let command = Arguments::command();
        let commands = command.get_subcommands().filter(|it| ["run", "test"].contains(&it.get_name()));
        let options: Vec<String> = commands
            .flat_map(|it| it.get_arguments())
            .filter_map(|it| it.get_long())
            .map(|it| format!("--{it}"))
            .collect();
        assert!(options.len() > 30, "{options:?}");
        // As a whole word: `--server` is not found in `--servers`.
        let names = |option: &String| {
            DOCUMENT.match_indices(option.as_str()).any(|(at, _)| {
                DOCUMENT[at + option.len()..].starts_with(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            })
        };
        let missing: Vec<&String> = options.iter().filter(|option| !names(option)).collect();
        assert!(missing.is_empty(), "docs/RUNNER.md does not have {missing:?}");
    }
}
