//! `clawstore run`: plays a game from its first script to its exit code.
//!
//! Owns: the order of things: scripts are read, then the store is opened, then the server plays, closes, and what it saved
//! is drained. Does not own: the loop (`world`), what the scripts' world looks like (`clawstore-luau`).

pub(crate) mod control;
pub(crate) mod faults;
mod figures;
pub(crate) mod output;
mod pacer;
pub(crate) mod plan;
pub(crate) mod players;
pub(crate) mod report;
pub(crate) mod scripts;
pub(crate) mod server;
pub(crate) mod time;
pub(crate) mod world;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use clawstore::clock::{Clock, Moment, Timestamp};
use clawstore::limits::Limits as Rates;
use clawstore::{Clawstore, Config, Database, DrainReport, Game, GameId, OpenError, Retention};
use clawstore_luau::RuntimeError;
use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::run::{Budget, ClockKind, RunArguments, Versioning};
use crate::console::Console;
use crate::exit::{Exit, LoadError};
use crate::run::control::Conditions;
use crate::run::faults::{Effect, FaultRule};
use crate::run::output::Output;
use crate::run::plan::Plan;
use crate::run::report::Report;
use crate::run::server::Surroundings;
use crate::run::time::GameTime;
use crate::run::world::{End, Limits, World};

/// From the end of play until everything is saved or given up: Roblox's 30 s for `BindToClose`, and 8 s for what these
/// have saved last.
const SHUTDOWN: Duration = Duration::from_secs(38);

/// A run that has no choice but to end: the code of a shell for a command that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

/// 2026-01-01: when simulated time starts where nothing is kept from earlier runs.
pub(crate) const SIMULATED_START: Timestamp = Timestamp::from_unix_ms(1_767_225_600_000);

pub(crate) fn run(arguments: &RunArguments, console: &Arc<Mutex<Console>>) -> anyhow::Result<Exit> {
    let plan = Plan::of(arguments)?;
    let stop = stop_flag()?;
    let database = arguments.database.database()?;
    let shown = database.to_string();
    let time = game_time(arguments, database.is_in_memory());
    let stores = open(arguments, &database, &time, plan.servers.len())?;
    let games = stores.iter().map(|store| store.game(arguments.game.id)).collect::<Result<Vec<_>, _>>()?;
    console.lock().note(&opening(arguments, &plan, &shown));
    if let Some(store) = stores.first() {
        console.lock().note(store.durability());
    }

    let around = surroundings(arguments, &time, database.is_shared(), console);
    let limits = Limits::of(&arguments.time, !arguments.expectations.no_status);
    let mut world = World::new(plan, games.clone(), &around, limits, console, stop);
    let played = world.start().and_then(|()| world.play());
    // A server that could not start costs the others nothing: they close in order.
    let end = *played.as_ref().unwrap_or(&End::CannotStart);
    let clock = time.clock();
    let begun = clock.now();
    console.lock().note(&format!("closing: {end}"));
    world.close(end).map_err(not_loaded)?;

    let drained = drain(&stores, &games, &clock, begun, console);
    let ended = Ended { world: &world, output: &around.output, store_is_well: drained };
    let exit = ended.exit(console);
    if let Some(path) = &arguments.expectations.report {
        let report = Report {
            clock: if time.is_simulated() { "sim" } else { "real" },
            seed: around.conditions.seed(),
            seconds: world.elapsed().as_secs_f64(),
            ended_by: end.to_string(),
            exit_code: exit.code(),
            faults: around.conditions.injected(),
            servers: world.reports(),
            lines: around.output.take_lines(),
        };
        report.write(path).with_context(|| format!("the report {} cannot be written", path.display()))?;
    }
    played.map_err(not_loaded)?;
    Ok(exit)
}

fn game_time(arguments: &RunArguments, in_memory: bool) -> GameTime {
    let time = &arguments.time;
    if time.clock == ClockKind::Real {
        return GameTime::real();
    }
    let start = match time.start_time {
        Some(unix) => Timestamp::from_unix_ms(unix.saturating_mul(1_000)),
        // What is there from earlier runs must not lie in the future.
        None if !in_memory => GameTime::real().clock().wall(),
        None => SIMULATED_START,
    };
    GameTime::simulated(start)
}

fn surroundings(
    arguments: &RunArguments,
    time: &GameTime,
    is_shared: bool,
    console: &Arc<Mutex<Console>>,
) -> Surroundings {
    let conditions = &arguments.conditions;
    let seed = conditions.seed.or_else(|| time.is_simulated().then_some(0));
    let mut faults = conditions.fault.clone();
    if conditions.no_api_access {
        faults.insert(0, FaultRule::always("DataStoreService", Effect::NoAccess));
    }
    let has_conditions = conditions.latency.is_some() || !faults.is_empty();
    Surroundings {
        time: time.clone(),
        output: Rc::new(Output::new(&arguments.expectations, console)),
        // Simulated time would run away from them.
        hears_others: !time.is_simulated() && is_shared,
        is_controlled: time.is_simulated() || has_conditions || arguments.expectations.report.is_some(),
        conditions: Conditions::new(time, conditions.latency, faults, seed.unwrap_or_else(|| fastrand::u64(..))),
        seed,
    }
}

fn not_loaded(error: RuntimeError) -> LoadError {
    LoadError(error.to_string())
}

/// One store for all servers, or with `--isolate` one for each.
fn open(
    arguments: &RunArguments,
    database: &Database,
    time: &GameTime,
    servers: usize,
) -> anyhow::Result<Vec<Clawstore>> {
    let count = if arguments.servers.isolate { servers } else { 1 };
    if arguments.servers.isolate && !database.is_shared() {
        return Err(
            LoadError("--isolate needs a Postgres database: only there do processes share keys".to_owned()).into()
        );
    }
    let mut config = Config::load().map_err(OpenError::from)?;
    if let Some(versioning) = arguments.conditions.versioning {
        config = config.retention(match versioning {
            Versioning::Hourly => Retention::Hourly,
            Versioning::EveryWrite => Retention::EveryWrite,
        });
    }
    if let Some(cache) = arguments.conditions.cache {
        config = config.cache(cache.into());
    }
    if let Some(budget) = arguments.conditions.budget {
        config = config.limits(match budget {
            Budget::Off => Rates::Off,
            Budget::Fair => Rates::Fair,
            Budget::Roblox => Rates::Roblox,
            Budget::RobloxClassic => Rates::RobloxClassic,
        });
    }
    let open = |_| {
        let builder = Clawstore::builder().config(config.clone()).database(database.clone());
        builder.clock(time.clock()).open()
    };
    Ok((0..count).map(open).collect::<Result<Vec<_>, OpenError>>()?)
}

/// Saves what was accepted. False if the store has failed.
fn drain(
    stores: &[Clawstore],
    games: &[Game],
    clock: &Arc<dyn Clock>,
    begun: Moment,
    console: &Mutex<Console>,
) -> bool {
    let mut sum = DrainReport::default();
    let mut is_well = true;
    for store in stores {
        let report = store.shutdown(SHUTDOWN.saturating_sub(clock.now().since(begun)));
        sum.acked += report.acked;
        sum.failed += report.failed;
        sum.unknown += report.unknown;
        if let Some(why) = store.halted() {
            console.lock().note(&format!("the store has failed: {why}"));
            is_well = false;
        }
    }
    let saves = games.iter().map(|game| game.stats().saves).sum();
    console.lock().note(&ending(clock, begun, saves, sum));
    is_well && sum.unknown == 0
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

fn opening(arguments: &RunArguments, plan: &Plan, database: &str) -> String {
    let scripts = match (arguments.scripts.as_slice(), plan.script_count()) {
        ([script], 1) => script.display().to_string(),
        (_, 0) => "a project".to_owned(),
        (_, many) => format!("{many} scripts"),
    };
    let servers = match plan.servers.len() {
        1 => String::new(),
        many => format!(", {many} servers"),
    };
    let players = match arguments.players.players {
        0 => String::new(),
        1 => ", 1 player".to_owned(),
        many => format!(", {many} players"),
    };
    let each = if servers.is_empty() || players.is_empty() { "" } else { " each" };
    let game: GameId = arguments.game.id;
    format!("{scripts}: game {game}, data in {database}{servers}{players}{each}")
}

fn ending(clock: &Arc<dyn Clock>, begun: Moment, saves: u64, report: DrainReport) -> String {
    let took = clock.now().since(begun).as_secs_f64();
    let DrainReport { acked, failed, unknown } = report;
    format!(
        "closed in {took:.1} s, {saves} writes saved; open at the end: {acked} acked, {failed} failed, {unknown} unknown"
    )
}

/// A run that is over.
struct Ended<'a> {
    world: &'a World,
    output: &'a Output,
    store_is_well: bool,
}

impl Ended<'_> {
    /// The first that applies: what explains the others comes first.
    fn exit(&self, console: &Mutex<Console>) -> Exit {
        let say = |text: String| console.lock().note(&text);
        if !self.store_is_well {
            return Exit::Store;
        }
        if self.world.main_raised() {
            say("a script raised an error".to_owned());
            return Exit::Failed;
        }
        if let Some(seen) = self.output.forbidden() {
            say(format!("a forbidden line was seen: {seen}"));
            return Exit::Failed;
        }
        if self.world.took_too_long() {
            say("functions of BindToClose took longer than 30 s".to_owned());
            return Exit::CloseTooLong;
        }
        let unseen = self.output.unseen();
        for pattern in &unseen {
            say(format!("never seen: {pattern}"));
        }
        if unseen.is_empty() { Exit::Success } else { Exit::Unseen }
    }
}
