//! The functions that the prelude calls in Rust.
//!
//! Owns: the bridge to clock, scheduler, output, compiler and userdata types. Does not own any name that a script sees.
//! Scripts never get hold of these functions: they would raise userdata on a wrong argument, and the prelude checks
//! arguments first.

use std::collections::HashMap;
use std::ffi::c_void;

use mlua::{AnyUserData, Error, Function, LightUserData, Lua, LuaString, MaybeSend, MultiValue, Result, Table, Thread};
use mlua::{FromLuaMulti, IntoLuaMulti, Value};

use crate::clock::GameClock;
use crate::guard::Guard;
use crate::json;
use crate::limits::{INFINITE_YIELD_WARNING_SECONDS, LEGACY_WAIT_SECONDS};
use crate::objects;
use crate::output::{Level, Output, message_of};
use crate::random::Generator;
use crate::scheduler::{Scheduler, Wake, address};
use crate::shared::{Shared, State, borrow};

/// What the runtime and the functions it lends to the VM hold in common.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) clock: GameClock,
    pub(crate) output: Output,
    pub(crate) scheduler: State<Scheduler>,
    pub(crate) guard: Guard,
    /// The threads of scripts, by address, and whether an error has ended them. The runtime keeps these threads alive.
    pub(crate) scripts: State<HashMap<usize, bool>>,
    /// Seeds whatever asks for randomness.
    pub(crate) generator: State<Generator>,
}

impl Engine {
    pub(crate) fn new(clock: GameClock, output: Output, guard: Guard, generator: Generator) -> Self {
        Self {
            clock,
            output,
            scheduler: State::new(Scheduler::default()),
            guard,
            scripts: State::default(),
            generator: State::new(generator),
        }
    }
}

/// The first value that a thread gets when the engine wakes it. A script cannot make this value, so a waiting call
/// can tell the engine's wake-up from a `coroutine.resume` by someone else.
pub(crate) fn wake_token() -> LightUserData {
    LightUserData(0x57414b45 as *mut c_void)
}

/// Adds functions to the table `engine.native`, each of which sees the engine.
struct Natives<'a> {
    lua: &'a Lua,
    table: Table,
    engine: &'a Shared<Engine>,
}

impl Natives<'_> {
    fn add<A, R>(&self, name: &str, call: impl Fn(&Engine, &Lua, A) -> Result<R> + MaybeSend + 'static) -> Result<()>
    where
        A: FromLuaMulti,
        R: IntoLuaMulti,
    {
        let engine = Shared::clone(self.engine);
        self.table.set(name, self.lua.create_function(move |lua, args: A| call(&engine, lua, args))?)
    }
}

/// The table `engine.native`.
pub(crate) fn create(lua: &Lua, engine: &Shared<Engine>) -> Result<Table> {
    let natives = Natives { lua, table: lua.create_table()?, engine };
    natives.table.set("token", wake_token())?;
    natives.table.set("legacyWaitSeconds", LEGACY_WAIT_SECONDS)?;
    natives.table.set("infiniteYieldSeconds", INFINITE_YIELD_WARNING_SECONDS)?;
    natives.add("now", |engine, _, ()| Ok(engine.clock.now()))?;
    natives.add("unix", |engine, _, ()| Ok(engine.clock.unix()))?;
    natives.add("unixMillis", |engine, _, ()| Ok(engine.clock.unix_ms()))?;
    add_output(&natives)?;
    add_scheduler(&natives)?;
    add_values(&natives)?;
    Ok(natives.table)
}

fn add_output(natives: &Natives<'_>) -> Result<()> {
    for (name, level) in [("print", Level::Print), ("warn", Level::Warn), ("writeError", Level::Error)] {
        natives.add(name, move |engine, _, text: LuaString| {
            engine.output.write(level, &text.to_string_lossy());
            Ok(())
        })?;
    }
    natives.add("failed", |engine, _, thread: Thread| {
        if let Some(failed) = borrow(&engine.scripts).get_mut(&address(&thread)) {
            *failed = true;
        }
        Ok(())
    })?;
    natives.add("collect", |_, lua, ()| lua.gc_collect())?;
    natives.add("errorText", |_, _, error: Error| Ok(message_of(&error)))?;
    natives.add("report", |engine, _, (message, traceback): (LuaString, LuaString)| {
        engine.guard.thread_ended();
        engine.output.error(&message.to_string_lossy(), &traceback.to_string_lossy());
        Ok(())
    })
}

fn add_scheduler(natives: &Natives<'_>) -> Result<()> {
    natives.add("park", |engine, _, (thread, seconds): (Thread, f64)| {
        let now = engine.clock.now();
        Ok(borrow(&engine.scheduler).park(thread, now, seconds, Wake::Waited { since: now }))
    })?;
    natives.add("startLater", |engine, _, (thread, seconds, args): (Thread, f64, MultiValue)| {
        let now = engine.clock.now();
        borrow(&engine.scheduler).park(thread, now, seconds, Wake::Start(args));
        Ok(())
    })?;
    natives.add("defer", |engine, _, (thread, args): (Thread, MultiValue)| {
        borrow(&engine.scheduler).defer(thread, args);
        Ok(())
    })?;
    natives.add("withdraw", |engine, _, id: u64| {
        borrow(&engine.scheduler).withdraw(id);
        Ok(())
    })?;
    natives.add("withdrawThread", |engine, _, thread: Thread| {
        borrow(&engine.scheduler).withdraw_thread(&thread);
        Ok(())
    })
}

fn add_values(natives: &Natives<'_>) -> Result<()> {
    natives.add("define", |_, lua, (name, metamethods): (String, Table)| objects::define(lua, &name, metamethods))?;
    natives.add("compile", |_, lua, (text, chunk, environment): (LuaString, String, Table)| {
        match compile(lua, &text, &chunk, environment) {
            Ok(body) => Ok((Some(body), None)),
            Err(Error::SyntaxError { message, .. }) => Ok((None, Some(message))),
            Err(other) => Err(other),
        }
    })?;
    // The result, or nil and why there is none.
    natives.add("encodeJson", |engine, lua, value: Value| {
        let encoded = json::encode(lua, &engine.guard, &value);
        Ok((encoded.as_ref().ok().cloned(), encoded.err()))
    })?;
    natives.add("decodeJson", |engine, lua, text: LuaString| {
        let decoded = json::decode(lua, &engine.guard, &text.as_bytes());
        Ok((decoded.as_ref().ok().cloned(), decoded.err()))
    })?;
    natives.add("entropy", |engine, _, ()| Ok(borrow(&engine.generator).next_u32()))?;
    natives.add("newGenerator", |_, lua, seed: i64| {
        lua.create_any_userdata(State::new(Generator::new(seed.cast_unsigned())))
    })?;
    natives.add("cloneGenerator", |_, lua, generator: AnyUserData| {
        let twin = borrow(&*generator.borrow::<State<Generator>>()?).clone();
        lua.create_any_userdata(State::new(twin))
    })?;
    natives.add("nextNumber", |_, _, generator: AnyUserData| {
        Ok(borrow(&*generator.borrow::<State<Generator>>()?).next_u32())
    })
}

/// Compiles a script. Its errors say `chunk` where a file's name would stand.
pub(crate) fn compile(lua: &Lua, text: &LuaString, chunk: &str, environment: Table) -> Result<Function> {
    // Lets `math.floor` and the like stay as fast as without an environment; `setfenv` takes it away again.
    environment.set_safeenv(true);
    // As text: bytecode would be run as it is.
    let text = text.to_string_lossy();
    lua.load(text.as_str())
        .set_mode(mlua::chunk::ChunkMode::Text)
        .set_name(format!("={chunk}"))
        .set_environment(environment)
        .into_function()
}
