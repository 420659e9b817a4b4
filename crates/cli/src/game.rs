//! `clawstore snapshot` and `clawstore game`: what an operator does with a whole game.
//!
//! Owns: that nothing is deleted by accident (a game has to be named, what would be deleted is told first, and somebody has to
//! say yes), and telling how it is taken back. Does not own: what is done (`clawstore`). Lists go to stdout, the rest to stderr.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use clawstore::{Clawstore, Config, DeletedGame, GameId, GameSize, LifeCycleError, OpenError, Purge, ReadOnly};

use crate::args::{
    Confirmation, DatabaseArgument, DeleteGameArguments, GameCommand, ListGamesArguments, NamedGame,
    PurgeGameArguments, RestoreGameArguments, SnapshotArguments,
};
use crate::block_on::block_on;
use crate::exit::{Exit, NotConfirmed};
use crate::inspect::time::utc;

/// Nothing is on its way when a command ends.
const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) fn snapshot(arguments: &SnapshotArguments) -> anyhow::Result<Exit> {
    let game = arguments.game.id;
    let snapshot = with_store(&arguments.database, |store| block_on(store.snapshot(game)))?;
    let at = utc(snapshot.at.unix_ms());
    if snapshot.is_new {
        writeln!(
            io::stderr(),
            "snapshot of game {game} at {at}: the next write of every key keeps what it supersedes, for as long as versions \
             are kept"
        )?;
    } else {
        writeln!(io::stderr(), "game {game} has a snapshot of today already, at {at}; nothing was changed")?;
    }
    Ok(Exit::Success)
}

pub(crate) fn game(command: &GameCommand) -> anyhow::Result<Exit> {
    match command {
        GameCommand::List(arguments) => list(arguments),
        GameCommand::Delete(arguments) => delete(arguments),
        GameCommand::Restore(arguments) => restore(arguments),
        GameCommand::Purge(arguments) => purge(arguments),
    }
}

fn list(arguments: &ListGamesArguments) -> anyhow::Result<Exit> {
    let store = ReadOnly::open_database(arguments.database.database()?)?;
    let deleted = block_on(store.deleted_games())?;
    let mut games: Vec<GameId> = block_on(store.stores())?.iter().map(|store| store.game).collect();
    games.extend(deleted.iter().map(|deleted| deleted.game));
    games.sort_unstable();
    games.dedup();
    let mut out = io::stdout().lock();
    for game in games {
        let state = deleted.iter().find(|deleted| deleted.game == game).map(|deleted| format!("\t{}", told(deleted)));
        writeln!(out, "{game}{}", state.unwrap_or_default())?;
    }
    Ok(Exit::Success)
}

/// `deleted 2026-11-20 12:00:00 UTC, kept until …`: of one that is deleted.
pub(crate) fn told(deleted: &DeletedGame) -> String {
    format!("deleted {}, kept until {}", utc(deleted.at.unix_ms()), utc(deleted.kept_until().unix_ms()))
}

fn delete(arguments: &DeleteGameArguments) -> anyhow::Result<Exit> {
    let NamedGame { id, database } = &arguments.game;
    let what = format!(
        "this deletes the data of game {id}: {}. `{}` takes it back until it is purged, at least for 30 days",
        size(id, database)?,
        command("restore", *id)
    );
    confirm(&arguments.confirmation, *id, &what)?;
    let deleted = with_store(database, |store| match block_on(store.delete_game(*id)) {
        Err(LifeCycleError::AlreadyDeleted(deleted)) => {
            Err(anyhow::anyhow!("game {id} is deleted already: {}; nothing was changed", told(&deleted)))
        }
        deleted => Ok(deleted?),
    })?;
    writeln!(io::stderr(), "game {id}: {}; `{}` takes it back", told(&deleted), command("restore", *id))?;
    Ok(Exit::Success)
}

fn restore(arguments: &RestoreGameArguments) -> anyhow::Result<Exit> {
    let NamedGame { id, database } = &arguments.game;
    with_store(database, |store| block_on(store.restore_game(*id)))?;
    writeln!(io::stderr(), "game {id} is restored: {}", size(id, database)?)?;
    Ok(Exit::Success)
}

fn purge(arguments: &PurgeGameArguments) -> anyhow::Result<Exit> {
    let NamedGame { id, database } = &arguments.game;
    let reader = ReadOnly::open_database(database.database()?)?;
    let deleted = block_on(reader.deleted_games())?.into_iter().find(|deleted| deleted.game == *id);
    let deleted = deleted.ok_or(LifeCycleError::NotDeleted(*id))?;
    let when = if arguments.now { Purge::Now } else { Purge::WhenDue };
    let what = format!(
        "this deletes game {id} FOR GOOD: {}, with all versions. It is {}",
        size(id, database)?,
        told(&deleted)
    );
    drop(reader);
    confirm(&arguments.confirmation, *id, &what)?;
    let rows = with_store(database, |store| match block_on(store.purge_game(*id, when)) {
        Err(LifeCycleError::StillKept(deleted)) => {
            let until = utc(deleted.kept_until().unix_ms());
            Err(anyhow::anyhow!("game {id} is kept until {until}: nothing was purged; --now does it before"))
        }
        purged => Ok(purged?),
    })?;
    writeln!(io::stderr(), "game {id} is purged: {rows} rows of keys and versions are gone; it may be used anew")?;
    Ok(Exit::Success)
}

/// Asks for a yes: the option, or the id typed by somebody at a terminal.
fn confirm(confirmation: &Confirmation, game: GameId, what: &str) -> anyhow::Result<()> {
    if confirmation.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(NotConfirmed(format!("{what}. Nothing was changed: --yes does it")).into());
    }
    write!(io::stderr(), "{what}.\nType the id of the game to go on: ")?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if is_meant(&typed, game) { Ok(()) } else { Err(NotConfirmed("nothing was changed".to_owned()).into()) }
}

fn is_meant(typed: &str, game: GameId) -> bool {
    typed.trim().parse() == Ok(game)
}

/// What a game has, for people.
fn size(game: &GameId, database: &DatabaseArgument) -> anyhow::Result<String> {
    let database = database.database()?;
    let shown = database.to_string();
    let GameSize { stores, keys } = block_on(ReadOnly::open_database(database)?.size(*game))?;
    let many = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    Ok(format!("{} in {}, in {shown}", many(keys, "key"), many(stores, "store")))
}

fn command(what: &str, game: GameId) -> String {
    format!("clawstore game {what} --universe-id {game}")
}

/// Opens a database that is there for writing, as a server does, and closes it again.
fn with_store<T, E>(database: &DatabaseArgument, f: impl FnOnce(&Clawstore) -> Result<T, E>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    let config = Config::load().map_err(OpenError::from)?;
    // Of a name that is mistyped no database is made.
    drop(ReadOnly::open_database(database.database()?)?);
    let store = Clawstore::builder().config(config).database(database.database()?).open()?;
    let done = f(&store)?;
    store.shutdown(PATIENCE);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_id_itself_is_a_yes() {
        let game = GameId::Number(7);
        assert!(is_meant("7\n", game) && is_meant(" 7 \r\n", game));
        for typed in ["", "\n", "y\n", "yes\n", "77\n", "1\n", "-7\n"] {
            assert!(!is_meant(typed, game), "{typed:?}");
        }
    }
}
