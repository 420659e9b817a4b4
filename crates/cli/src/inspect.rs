//! `clawstore get` and `clawstore ls`: looking into a store, also while a server runs.
//!
//! Owns: what is printed where: values and names on stdout, for other programs; what is known about them on stderr, for
//! people. Does not own: reading (`clawstore::ReadOnly`). Nothing here writes.

mod json;
pub(crate) mod time;

use std::io::{self, Write};

use clawstore::{Entry, OpenError, ReadOnly};

use crate::args::{DatabaseArgument, GetArguments, LsArguments};
use crate::block_on::block_on;
use crate::exit::Exit;
use crate::game::told;

/// Keys asked for at a time.
const PAGE: usize = 1_000;

pub(crate) fn get(arguments: &GetArguments) -> anyhow::Result<Exit> {
    let store = open(&arguments.database)?;
    let (game, scope) = (arguments.game.id, &arguments.scope);
    let entry = block_on(store.entry(game, &arguments.store, scope, &arguments.key))?;
    let Some(value) = &entry.value else {
        let what = if entry.revision == 0 { "there is no" } else { "it was removed:" };
        anyhow::bail!(
            "{what} key `{}` in store `{}` (game {game}, scope `{scope}`); `clawstore ls` shows what there is",
            arguments.key,
            arguments.store
        );
    };
    let json = String::from_utf8_lossy(value.json());
    let json = if arguments.pretty { json::pretty(&json) } else { json.into_owned() };
    writeln!(io::stdout(), "{json}")?;
    write!(io::stderr(), "{}", key_info(&entry))?;
    Ok(Exit::Success)
}

fn key_info(entry: &Entry) -> String {
    let mut text = format!(
        "version   {}\nrevision  {}\ncreated   {}\nupdated   {}\n",
        entry.version(),
        entry.revision,
        time::utc(entry.created.unix_ms()),
        time::utc(entry.updated.unix_ms())
    );
    let attributes = &entry.attributes;
    if !attributes.user_ids.is_empty() {
        let ids: Vec<_> = attributes.user_ids.iter().map(i64::to_string).collect();
        text.push_str(&format!("user ids  {}\n", ids.join(", ")));
    }
    if !attributes.metadata.is_empty() {
        text.push_str(&format!("metadata  {}\n", String::from_utf8_lossy(&attributes.metadata)));
    }
    text
}

pub(crate) fn ls(arguments: &LsArguments) -> anyhow::Result<Exit> {
    let store = open(&arguments.database)?;
    match &arguments.store {
        None => list_stores(&store),
        Some(name) => list_keys(&store, name, arguments),
    }
}

fn list_stores(store: &ReadOnly) -> anyhow::Result<Exit> {
    let deleted = block_on(store.deleted_games())?;
    let mut out = io::stdout().lock();
    for id in block_on(store.stores())? {
        let name = if id.name.is_empty() { "(global data store)" } else { &id.name };
        let state =
            deleted.iter().find(|deleted| deleted.game == id.game).map(|deleted| format!("\t{}", told(deleted)));
        writeln!(out, "{name}\tscope {}\tgame {}{}", id.scope, id.game, state.unwrap_or_default())?;
    }
    Ok(Exit::Success)
}

fn list_keys(store: &ReadOnly, name: &str, arguments: &LsArguments) -> anyhow::Result<Exit> {
    let (game, scope) = (arguments.game.id, &arguments.scope);
    let mut out = io::stdout().lock();
    let mut last: Option<String> = None;
    loop {
        let keys = block_on(store.keys(game, name, scope, last.as_deref(), PAGE))?;
        for key in &keys {
            writeln!(out, "{key}")?;
        }
        if keys.len() == PAGE {
            last = keys.into_iter().next_back();
            continue;
        }
        if last.is_none() && keys.is_empty() {
            anyhow::bail!(
                "there are no keys in store `{name}` (game {game}, scope `{scope}`); `clawstore ls` shows the stores"
            );
        }
        return Ok(Exit::Success);
    }
}

fn open(argument: &DatabaseArgument) -> Result<ReadOnly, OpenError> {
    ReadOnly::open_database(argument.database()?)
}
