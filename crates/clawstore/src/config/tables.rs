//! The tables of the settings file: stores that keep history in their own way, and games that share a universe.
//!
//! Owns: what they may say, and naming the entry that is wrong. Does not own: settings of the whole process (`config`).

use std::collections::BTreeMap;

use clawstore_core::GameId;
use clawstore_core::limits::{HISTORY_DAYS_MAX, NAME_BYTES_MAX};
use clawstore_core::versioning::{History, Retention};
use serde::Deserialize;

use super::{ConfigError, bad};

/// `[stores.<name>]`: of one store, in all games and scopes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreTable {
    versioning: Option<String>,
    days: Option<u64>,
    sharing: Option<String>,
}

/// `[games."<id>"]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GameTable {
    universe: Id,
}

/// A number may be written as one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

/// `hourly` or `every-write`.
pub(super) fn retention(name: &str, text: &str) -> Result<Retention, ConfigError> {
    match text {
        "hourly" => Ok(Retention::Hourly),
        "every-write" => Ok(Retention::EveryWrite),
        other => Err(bad(name, other, "`hourly` or `every-write`")),
    }
}

/// `auto` or `never`.
pub(super) fn sharing(name: &str, text: &str) -> Result<bool, ConfigError> {
    match text {
        "auto" => Ok(true),
        "never" => Ok(false),
        other => Err(bad(name, other, "`auto` or `never`")),
    }
}

/// Whether the keys of a store may be shared, if its table says so.
pub(super) fn store_sharing(store: &str, table: &StoreTable) -> Result<Option<bool>, ConfigError> {
    table.sharing.as_deref().map(|text| sharing(&format!("stores.{store}.sharing"), text)).transpose()
}

/// What a table says of a store; the rest is as for all stores.
pub(super) fn history(store: &str, table: &StoreTable, default: History) -> Result<History, ConfigError> {
    if store.len() > NAME_BYTES_MAX {
        return Err(bad(&format!("stores.{store}"), store, "a name of at most 50 bytes"));
    }
    let mut history = default;
    if let Some(text) = &table.versioning {
        history.retention = retention(&format!("stores.{store}.versioning"), text)?;
    }
    if let Some(days) = table.days {
        let fits = u16::try_from(days).ok().filter(|days| (1..=HISTORY_DAYS_MAX).contains(days));
        history.days =
            fits.ok_or_else(|| bad(&format!("stores.{store}.days"), days, "a number of days from 1 to 30"))?;
    }
    Ok(history)
}

/// Which game uses the data of which.
pub(super) fn universe(game: &str, table: &GameTable) -> Result<(GameId, GameId), ConfigError> {
    const EXPECTED: &str = "a game id: a UUID or a whole number from 1 to 2^53 - 1";
    let id = |name: &str, text: String| text.parse::<GameId>().map_err(|_| bad(name, text, EXPECTED));
    let universe = match &table.universe {
        Id::Number(number) => number.to_string(),
        Id::Text(text) => text.clone(),
    };
    Ok((id("games", game.to_owned())?, id(&format!("games.{game}.universe"), universe)?))
}

/// No universe is a game that uses the data of another: whose data it is must be plain.
pub(super) fn check(universes: &BTreeMap<GameId, GameId>) -> Result<(), ConfigError> {
    let leads_on = |universe: &GameId| universes.get(universe).is_some_and(|next| next != universe);
    match universes.iter().find(|(_, universe)| leads_on(universe)) {
        None => Ok(()),
        Some((game, universe)) => {
            let expected = "a game with data of its own: it uses the data of another itself";
            Err(bad(&format!("games.{game}.universe"), universe, expected))
        }
    }
}
