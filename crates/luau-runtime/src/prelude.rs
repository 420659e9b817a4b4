//! The part of the world that is written in Luau, and the sandbox around it.
//!
//! Owns: loading the embedded files in order, closing the VM afterwards, and the handles of the functions that the
//! runtime calls. Does not own what those files do: each says so in its first lines.

use std::rc::Rc;

use mlua::{Function, Lua, Result, Table};

use crate::natives::{self, Shared};
use crate::options::RuntimeOptions;
use crate::output::PRELUDE_CHUNK;

/// The files in loading order: each may use what those before it have put into `engine`.
const FILES: [(&str, &str); 11] = [
    ("threads", include_str!("prelude/threads.luau")),
    ("task", include_str!("prelude/task.luau")),
    ("signal", include_str!("prelude/signal.luau")),
    ("enum", include_str!("prelude/enum.luau")),
    ("classes", include_str!("prelude/classes.luau")),
    ("instance", include_str!("prelude/instance.luau")),
    ("attributes", include_str!("prelude/attributes.luau")),
    ("values", include_str!("prelude/values.luau")),
    ("players", include_str!("prelude/players.luau")),
    ("services", include_str!("prelude/services.luau")),
    ("globals", include_str!("prelude/globals.luau")),
];

/// The prelude's functions that the runtime calls.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) add_service: Function,
    pub(crate) add_class: Function,
    pub(crate) environment: Function,
    pub(crate) tick: Function,
    pub(crate) frame_listeners: Function,
    pub(crate) player_joined: Function,
    pub(crate) player_left: Function,
    pub(crate) players: Function,
    pub(crate) begin_close: Function,
    pub(crate) closing_done: Function,
    pub(crate) traceback: Function,
}

/// Builds the world in `lua` and closes the sandbox. `identity` comes from [`identity`].
pub(crate) fn load(lua: &Lua, shared: &Rc<Shared>, identity: Table, random_seed: Option<u32>) -> Result<Host> {
    let globals = lua.globals();
    if let Some(seed) = random_seed {
        globals.get::<Table>("math")?.get::<Function>("randomseed")?.call::<()>(seed)?;
    }
    let traceback = globals.get::<Table>("debug")?.get("traceback")?;

    let engine = lua.create_table()?;
    engine.set("native", natives::create(lua, shared)?)?;
    engine.set("identity", identity)?;
    engine.set("globals", &globals)?;
    engine.set("host", lua.create_table()?)?;
    for (name, source) in FILES {
        lua.load(source).set_name(format!("={PRELUDE_CHUNK} {name}")).call::<()>(&engine)?;
    }

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
        environment: host.get("environment")?,
        tick: host.get("tick")?,
        frame_listeners: host.get("frameListeners")?,
        player_joined: host.get("playerJoined")?,
        player_left: host.get("playerLeft")?,
        players: host.get("players")?,
        begin_close: host.get("beginClose")?,
        closing_done: host.get("closingDone")?,
        traceback,
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
    Ok(table)
}
