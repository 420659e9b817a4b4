//! The part of the world that is written in Luau, and the sandbox around it.
//!
//! Owns: loading the embedded files in order, closing the VM afterwards, and the handles of the functions that the
//! runtime calls. Does not own what those files do: each says so in its first lines.

use mlua::{Function, Lua, Result, Table};

use crate::natives::{self, Engine};
use crate::options::RuntimeOptions;
use crate::output::PRELUDE_CHUNK;
use crate::shared::Shared;

/// An embedded file: its name and its text.
type File = (&'static str, &'static str);

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("prelude/", $name, ".luau")))),*]
    };
}

/// Threads, `task` and signals: all that a scheduler needs.
const SCHEDULER: &[File] = files!["threads", "task", "signal"];

/// The rest of the world in loading order: each file may use what those before it have put into `engine`.
const WORLD: &[File] = files![
    "enum_list",
    "enum",
    "classes",
    "instance",
    "ancestry",
    "attributes",
    "datatypes",
    "values",
    "bindables",
    "datetime",
    "datetime_format",
    "random",
    "catalog",
    "scripts",
    "services",
    "players",
    "run_service",
    "http_service",
    "test_service",
    "collection_service",
    "marketplace_service",
    "log_service",
    "containers",
    "game",
    "tree",
    "globals",
];

/// The prelude's functions that the runtime calls.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) add_service: Function,
    pub(crate) add_class: Function,
    pub(crate) script: Function,
    pub(crate) load_tree: Function,
    pub(crate) tick: Function,
    pub(crate) frame: Function,
    pub(crate) deferred_events: Function,
    pub(crate) frame_listeners: Function,
    pub(crate) player_joined: Function,
    pub(crate) player_left: Function,
    pub(crate) players: Function,
    pub(crate) purchase: Function,
    pub(crate) begin_close: Function,
    pub(crate) closing_done: Function,
}

/// Puts threads, `task` and signals into `lua`. Returns the table `engine` that they have filled.
pub(crate) fn load_scheduler(lua: &Lua, shared: &Shared<Engine>) -> Result<Table> {
    let engine = lua.create_table()?;
    engine.set("native", natives::create(lua, shared)?)?;
    engine.set("globals", lua.globals())?;
    engine.set("host", lua.create_table()?)?;
    load_files(lua, &engine, SCHEDULER)?;
    Ok(engine)
}

fn load_files(lua: &Lua, engine: &Table, files: &[File]) -> Result<()> {
    files
        .iter()
        .try_for_each(|(name, text)| lua.load(*text).set_name(format!("={PRELUDE_CHUNK} {name}")).call::<()>(engine))
}

/// Builds the world in `lua`, on top of the scheduler, and closes the sandbox. `identity` comes from [`identity`].
pub(crate) fn load_world(lua: &Lua, engine: &Table, identity: Table, random_seed: Option<u32>) -> Result<Host> {
    let globals = lua.globals();
    if let Some(seed) = random_seed {
        globals.get::<Table>("math")?.get::<Function>("randomseed")?.call::<()>(seed)?;
    }
    engine.set("identity", identity)?;
    load_files(lua, engine, WORLD)?;

    let open: [Table; 2] = [globals.get("_G")?, globals.get("shared")?];
    lua.sandbox(true)?;
    // The sandbox makes every table among the globals read-only; these two are there for scripts to write into.
    for table in open {
        table.set_readonly(false);
    }

    let host: Table = engine.get("host")?;
    Ok(Host {
        add_service: host.get("addService")?,
        add_class: host.get("addClass")?,
        script: host.get("script")?,
        load_tree: host.get("loadTree")?,
        tick: host.get("tick")?,
        frame: host.get("frame")?,
        deferred_events: host.get("deferredEvents")?,
        frame_listeners: host.get("frameListeners")?,
        player_joined: host.get("playerJoined")?,
        player_left: host.get("playerLeft")?,
        players: host.get("players")?,
        purchase: host.get("purchase")?,
        begin_close: host.get("beginClose")?,
        closing_done: host.get("closingDone")?,
    })
}

/// What scripts can read of the options: the table `engine.identity`.
pub(crate) fn identity(lua: &Lua, options: &RuntimeOptions) -> Result<Table> {
    let table = lua.create_table()?;
    table.set("gameId", options.game_id)?;
    table.set("placeId", options.place_id)?;
    table.set("placeVersion", options.place_version)?;
    table.set("jobId", options.job_id.as_str())?;
    table.set("privateServerId", options.private_server_id.as_str())?;
    table.set("maxPlayers", options.max_players)?;
    table.set("studio", options.studio)?;
    table.set("signalBehavior", options.signal_behavior.name())?;
    Ok(table)
}
