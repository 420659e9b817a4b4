//! One game instance: a Luau VM with its players.
//!
//! Owns: the VM, the coroutines that are polled, and `game:GetService` for scripts. Does not own: who ticks it, on which
//! thread, or the store behind it.
//!
//! This is a polling host: it keeps every coroutine that has yielded, and resumes each once a tick with nothing. Whatever
//! the coroutine waits for looks for itself whether it has come. Clawstore's calls do so, too: no waker, no tokio context,
//! any thread.

use std::collections::BTreeSet;
use std::sync::Arc;

use clawstore::clock::Clock;
use clawstore::mlua::thread::ThreadStatus;
use clawstore::mlua::{self, Function, Lua, Table, Thread, Value};
use clawstore::{Bindings, CloseReason, Game, Server, ServerOptions, SystemClock};
use parking_lot::Mutex;

/// What scripts see: written in Luau, around a few functions of the host.
const WORLD: &str = include_str!("world.luau");

/// A running instance of a game.
#[derive(Debug)]
pub struct Instance {
    game: Game,
    /// One per VM: Roblox's "server".
    server: Server,
    bindings: Arc<Bindings>,
    lua: Lua,
    joined: Function,
    left: Function,
    /// Coroutines that have yielded.
    parked: Vec<Thread>,
    /// Those that have yielded for the first time since the last tick.
    started: Arc<Mutex<Vec<Thread>>>,
    players: BTreeSet<i64>,
}

impl Instance {
    /// Starts an instance and runs its script.
    pub fn start(game: &Game, script: &str) -> mlua::Result<Self> {
        let lua = Lua::new();
        let server = game.server(ServerOptions::default());
        let bindings = Arc::new(server.bind(&lua)?);
        let started = Arc::new(Mutex::new(Vec::new()));
        let host = host_functions(&lua, &bindings, &started)?;
        host.set("jobId", server.job_id())?;
        host.set("gameId", game.id().number())?;
        let world: Table = lua.load(WORLD).set_name("=world").call(host)?;
        for pair in world.get::<Table>("globals")?.pairs::<String, Value>() {
            let (name, value) = pair?;
            lua.globals().set(name, value)?;
        }
        let (joined, left) = (world.get("joined")?, world.get("left")?);
        let mut instance = Self {
            game: game.clone(),
            server,
            bindings,
            lua,
            joined,
            left,
            parked: Vec::new(),
            started,
            players: BTreeSet::new(),
        };
        let main = instance.lua.load(script).set_name("=game").into_function()?;
        let main = instance.lua.create_thread(main)?;
        instance.resume(&main).then(|| instance.parked.push(main));
        Ok(instance)
    }

    /// The game it is an instance of.
    pub fn game(&self) -> &Game {
        &self.game
    }

    /// Its VM, for whoever adds globals.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// The data-store API in its VM.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// Coroutines that wait for something.
    pub fn parked(&self) -> usize {
        self.parked.len() + self.started.lock().len()
    }

    /// Players in the game.
    pub fn players(&self) -> &BTreeSet<i64> {
        &self.players
    }

    /// One tick: polls each parked coroutine once. Never waits.
    pub fn tick(&mut self) {
        self.parked.append(&mut self.started.lock());
        let mut parked = std::mem::take(&mut self.parked);
        parked.retain(|thread| self.resume(thread));
        self.parked = parked;
    }

    /// Resumes a coroutine with nothing. True if it has yielded again.
    fn resume(&self, thread: &Thread) -> bool {
        match thread.resume::<()>(()) {
            Ok(()) => thread.status() == ThreadStatus::Resumable,
            Err(error) => {
                report(&error.to_string());
                false
            }
        }
    }

    /// A player joins: `Players.PlayerAdded`.
    pub fn join(&mut self, user_id: i64, name: &str) -> mlua::Result<()> {
        if self.players.insert(user_id) {
            self.server.player_joined(user_id);
            self.joined.call::<()>((user_id, name))?;
        }
        Ok(())
    }

    /// A player leaves: `Players.PlayerRemoving`.
    pub fn leave(&mut self, user_id: i64) -> mlua::Result<()> {
        if self.players.remove(&user_id) {
            self.left.call::<()>(user_id)?;
            self.server.player_left(user_id);
        }
        Ok(())
    }

    /// Ends the instance, whatever its coroutines wait for. Never waits: saves that were accepted go on without it.
    pub fn destroy(self, reason: CloseReason) {
        self.server.close(reason);
    }
}

/// What `world.luau` is made from.
fn host_functions(lua: &Lua, bindings: &Arc<Bindings>, started: &Arc<Mutex<Vec<Thread>>>) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    let api = Arc::clone(bindings);
    host.set("service", lua.create_function(move |_, name: String| Ok(api.service(&name)))?)?;
    let api = Arc::clone(bindings);
    host.set("class", lua.create_function(move |_, name: String| Ok(api.class(&name)))?)?;
    let started = Arc::clone(started);
    let track = lua.create_function(move |_, thread: Thread| {
        started.lock().push(thread);
        Ok(())
    })?;
    host.set("track", track)?;
    let report_problem = lua.create_function(|_, text: String| {
        report(&text);
        Ok(())
    })?;
    host.set("report", report_problem)?;
    let print = lua.create_function(|_, text: String| {
        println!("{text}");
        Ok(())
    })?;
    host.set("print", print)?;
    let clock = SystemClock::start();
    let start = clock.now();
    host.set("now", lua.create_function(move |_, ()| Ok(clock.now().since(start).as_secs_f64()))?)?;
    Ok(host)
}

fn report(problem: &str) {
    eprintln!("script error: {problem}");
}
