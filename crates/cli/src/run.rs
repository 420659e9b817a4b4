//! `clawstore run`: plays a game from its first script to its exit code.
//!
//! Owns: the order of things: scripts are read, then the store is opened, then the server plays, closes, and what it saved
//! is drained. Does not own: the loop (`host`), what the scripts' world looks like (`clawstore-luau`).

mod figures;
mod host;
mod output;
mod pacer;
mod players;
mod scripts;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use clawstore::clock::{Clock, Moment};
use clawstore::{Clawstore, Config, Database, DrainReport, GameId, OpenError, SystemClock};
use clawstore_luau::RuntimeError;
use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::RunArguments;
use crate::console::Console;
use crate::exit::{Exit, LoadError};
use crate::run::host::{Closed, Host};

/// From the end of play until everything is saved or given up: Roblox's 30 s for `BindToClose`, and 8 s for what these
/// have saved last.
const SHUTDOWN: Duration = Duration::from_secs(38);

/// A run that has no choice but to end: the code of a shell for a command that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

pub(crate) fn run(arguments: &RunArguments, console: &Arc<Mutex<Console>>) -> anyhow::Result<Exit> {
    let scripts = scripts::load(&arguments.script)?;
    let stop = stop_flag()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let database = arguments.database.database()?;
    let shown = database.to_string();
    let store = open(database, &clock)?;
    let game = store.game(arguments.game.id)?;
    console.lock().note(&opening(arguments, scripts.len(), &shown));
    console.lock().note(store.durability());

    let mut host = Host::start(arguments, &game, &clock, console, stop).map_err(not_loaded)?;
    host.run_scripts(&scripts).map_err(not_loaded)?;
    let end = host.play();
    let begun = clock.now();
    console.lock().note(&format!("closing: {end}"));
    let closed = host.close(end);

    let stats = game.stats();
    let report = store.shutdown(SHUTDOWN.saturating_sub(clock.now().since(begun)));
    console.lock().note(&ending(&clock, begun, stats.saves, report));
    if let Some(why) = store.halted() {
        console.lock().note(&format!("the store has failed: {why}"));
    }
    Ok(exit(&closed, store.halted().is_none() && report.unknown == 0, console))
}

fn not_loaded(error: RuntimeError) -> LoadError {
    LoadError(error.to_string())
}

fn open(database: Database, clock: &Arc<dyn Clock>) -> Result<Clawstore, OpenError> {
    Clawstore::builder().config(Config::load()?).database(database).clock(Arc::clone(clock)).open()
}

/// Set by the first SIGINT or SIGTERM. A second SIGINT ends the process at once: someone at a keyboard insists.
fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register_conditional_shutdown(SIGINT, EXIT_INTERRUPTED, Arc::clone(&stop))
        .and_then(|_| signal_hook::flag::register(SIGINT, Arc::clone(&stop)))
        .and_then(|_| signal_hook::flag::register(SIGTERM, Arc::clone(&stop)))
        .context("signals cannot be caught")?;
    Ok(stop)
}

fn opening(arguments: &RunArguments, scripts: usize, database: &str) -> String {
    let what = match scripts {
        1 => arguments.script.display().to_string(),
        many => format!("{many} scripts of {}", arguments.script.display()),
    };
    let players = match arguments.players {
        0 => String::new(),
        1 => ", 1 player".to_owned(),
        many => format!(", {many} players"),
    };
    let game: GameId = arguments.game.id;
    format!("{what}: game {game}, data in {database}{players}")
}

fn ending(clock: &Arc<dyn Clock>, begun: Moment, saves: u64, report: DrainReport) -> String {
    let took = clock.now().since(begun).as_secs_f64();
    let DrainReport { acked, failed, unknown } = report;
    format!(
        "closed in {took:.1} s, {saves} writes saved; open at the end: {acked} acked, {failed} failed, {unknown} unknown"
    )
}

/// The first that applies: what explains the others comes first.
fn exit(closed: &Closed, store_is_well: bool, console: &Mutex<Console>) -> Exit {
    let say = |text: String| console.lock().note(&text);
    if !store_is_well {
        return Exit::Store;
    }
    if closed.main_raised {
        say("a script raised an error".to_owned());
        return Exit::Failed;
    }
    if let Some(seen) = &closed.forbidden {
        say(format!("a forbidden line was seen: {seen}"));
        return Exit::Failed;
    }
    if closed.too_long {
        say("functions of BindToClose took longer than 30 s".to_owned());
        return Exit::CloseTooLong;
    }
    for pattern in &closed.unseen {
        say(format!("never seen: {pattern}"));
    }
    if closed.unseen.is_empty() { Exit::Success } else { Exit::Unseen }
}
