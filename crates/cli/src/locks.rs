//! `clawstore locks`: who holds which key.
//!
//! Owns: what is printed: the list on stdout, the rest on stderr. Does not own: what is done (`clawstore::Locks`).

use std::io::{self, Write};

use clawstore::backend::{Holder, Lock, LockQuery};
use clawstore::{Locks, Released, StoreKind};

use crate::args::{ListLocksArguments, LocksCommand, ReleaseLockArguments};
use crate::block_on::block_on;
use crate::exit::Exit;

/// More are not listed in one go: `--store` and `--prefix` find the rest.
const LOCKS_MAX: usize = 10_000;

pub(crate) fn locks(command: &LocksCommand) -> anyhow::Result<Exit> {
    match command {
        LocksCommand::List(arguments) => list(arguments),
        LocksCommand::Release(arguments) => release(arguments),
    }
}

fn list(arguments: &ListLocksArguments) -> anyhow::Result<Exit> {
    let locks = Locks::open(arguments.database.database()?)?;
    let query = LockQuery {
        game: arguments.game.id,
        store: arguments.store.as_deref().map(Into::into),
        prefix: arguments.prefix.as_str().into(),
        limit: LOCKS_MAX,
    };
    let found = block_on(locks.list(query))?;
    let mut out = io::stdout().lock();
    for lock in &found {
        writeln!(out, "{}", line(lock))?;
    }
    match found.len() {
        0 => writeln!(io::stderr(), "no key is held")?,
        LOCKS_MAX => writeln!(io::stderr(), "there may be more: --store and --prefix narrow it down")?,
        _ => {}
    }
    Ok(Exit::Success)
}

/// Store, scope, key, state, server, and who waits.
fn line(lock: &Lock) -> String {
    let store = &lock.key.store;
    let name = if store.name.is_empty() { "(global data store)" } else { &store.name };
    let kind = if store.kind == StoreKind::Ordered { "\tordered" } else { "" };
    let state = match &lock.holder {
        Holder::Server { name, is_alive: true, .. } => format!("held by {name}"),
        Holder::Server { name, .. } => format!("free, last held by {name}"),
        Holder::All => "shared by all servers".to_owned(),
    };
    let wanted = lock.wanted_by.as_ref().map(|name| format!("\twanted by {name}")).unwrap_or_default();
    format!("{name}\tscope {}\t{}\t{state}{wanted}{kind}", store.scope, lock.key.key)
}

fn release(arguments: &ReleaseLockArguments) -> anyhow::Result<Exit> {
    let ReleaseLockArguments { game, store, scope, key, ordered, database } = arguments;
    let locks = Locks::open(database.database()?)?;
    let query =
        LockQuery { game: *game, store: Some(store.as_str().into()), prefix: key.as_str().into(), limit: LOCKS_MAX };
    let kind = if *ordered { StoreKind::Ordered } else { StoreKind::Standard };
    let is_meant = |lock: &Lock| {
        (lock.key.store.kind, &*lock.key.store.scope, &*lock.key.key) == (kind, scope.as_str(), key.as_str())
    };
    let Some(lock) = block_on(locks.list(query))?.into_iter().find(is_meant) else {
        anyhow::bail!(
            "nobody holds key `{key}` of store `{store}` (game {game}, scope `{scope}`); `clawstore locks list` shows who \
             holds what"
        );
    };
    let before = line(&lock);
    let what = match block_on(locks.release(lock))? {
        Released::Given => "its server has given it, or was gone",
        Released::Taken => "its server did not give it and has lost it; its next call asks for it again",
        Released::Unshared => "it is not shared any more",
        Released::Changed => {
            anyhow::bail!("`{key}` has changed hands in between; nothing was changed. It was: {before}")
        }
    };
    writeln!(io::stderr(), "`{key}` is free: {what}. It was: {before}")?;
    Ok(Exit::Success)
}
