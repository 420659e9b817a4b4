//! One game instance: a Luau VM with its players.
//!
//! Owns: the VM, what scripts are given, players, and kicking those who are away. Does not own: who ticks it, on which thread;
//! how its coroutines are resumed (`threads`); the store behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use clawstore::compat::clawblox::DataStoreService;
use clawstore::mlua::{self, FromLua, Function, Lua, Table, Value};
use parking_lot::Mutex;

use crate::problems::Problems;
use crate::threads::{Event, Mode, Threads};

/// What an instance is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// How coroutines are resumed.
    pub mode: Mode,
    /// The service that scripts get; without one, a service that forgets everything.
    pub data_stores: Option<DataStoreService>,
    /// What the instance runs.
    pub script: Arc<str>,
    /// The game's setting of this name.
    pub autosave_seconds: f64,
    /// Players who do nothing for so long are removed.
    pub afk_seconds: f64,
}

/// The functions of `world.luau` that the engine calls.
#[derive(Debug)]
struct World {
    joined: Function,
    left: Function,
    observe: Function,
}

/// A running instance of a game. Moves between threads, used by one at a time.
#[derive(Debug)]
pub struct Instance {
    world: World,
    threads: Threads,
    /// Seconds since each player did something.
    players: BTreeMap<i64, f64>,
    kicked: Arc<Mutex<Vec<i64>>>,
    problems: Problems,
    options: Options,
    // Last: what refers to the VM goes before it.
    lua: Lua,
}

impl Instance {
    /// Starts an instance and runs its script up to its first yield.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let (lua, problems) = (Lua::new(), Problems::default());
        let (mut threads, table) = Threads::new(&lua, options.mode, &problems)?;
        let kicked: Arc<Mutex<Vec<i64>>> = Arc::default();
        let host = host_functions(&lua, &options, &kicked)?;
        let world: Table = lua.load(include_str!("world.luau")).set_name("=world").call((host, table))?;
        for pair in world.get::<Table>("globals")?.pairs::<String, Value>() {
            let (name, value) = pair?;
            lua.globals().set(name, value)?;
        }
        world.get::<Function>("setting")?.call::<()>(("AutosaveSeconds", options.autosave_seconds))?;
        let world = World { joined: world.get("joined")?, left: world.get("left")?, observe: world.get("observe")? };
        if let Some(data_stores) = &options.data_stores {
            threads.connect(data_stores, &lua)?;
        }
        threads.run(&lua, lua.load(&*options.script).set_name("=game").into_function()?)?;
        Ok(Self { world, threads, players: BTreeMap::new(), kicked, problems, options, lua })
    }

    /// Players in the game.
    pub fn players(&self) -> impl Iterator<Item = i64> {
        self.players.keys().copied()
    }

    /// Is this user in the game?
    pub fn has(&self, user_id: i64) -> bool {
        self.players.contains_key(&user_id)
    }

    /// Errors of its scripts so far.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// What the engine shows of a player to the outside: an attribute that the script has set.
    pub fn observe<T: FromLua>(&self, user_id: i64, attribute: &str) -> mlua::Result<Option<T>> {
        self.world.observe.call((user_id, attribute))
    }

    /// Calls of data stores that have not returned to their script.
    pub fn open_calls(&self) -> usize {
        let Some(data_stores) = &self.options.data_stores else { return 0 };
        data_stores.with_bindings(&self.lua, |bindings| bindings.open_calls()).unwrap_or(0)
    }

    /// Has `wake` called, from any thread, when a call has ended: for whoever does not tick at a pace.
    pub fn set_wake(&self, wake: impl Fn() + Send + Sync + 'static) -> mlua::Result<()> {
        match &self.options.data_stores {
            Some(data_stores) => data_stores.with_bindings(&self.lua, |bindings| bindings.set_wake(wake)),
            None => Ok(()),
        }
    }

    /// One tick: parked coroutines, then the heartbeat. Never waits for storage.
    pub fn tick(&mut self, dt: f64) -> mlua::Result<()> {
        self.threads.tick(dt)?;
        for (user_id, idle) in &mut self.players {
            *idle += dt;
            if *idle > self.options.afk_seconds {
                self.kicked.lock().push(*user_id);
            }
        }
        let kicked = std::mem::take(&mut *self.kicked.lock());
        kicked.into_iter().try_for_each(|user_id| self.leave(user_id))
    }

    /// A player joins: `Players.PlayerAdded`.
    pub fn join(&mut self, user_id: i64, name: &str) -> mlua::Result<()> {
        if self.players.insert(user_id, 0.0).is_none() {
            let player: Table = self.world.joined.call((user_id, name))?;
            self.threads.fire(Event::PlayerAdded, player)?;
        }
        Ok(())
    }

    /// A player has done something.
    pub fn input(&mut self, user_id: i64) {
        if let Some(idle) = self.players.get_mut(&user_id) {
            *idle = 0.0;
        }
    }

    /// A player leaves: `Players.PlayerRemoving`.
    pub fn leave(&mut self, user_id: i64) -> mlua::Result<()> {
        if self.players.remove(&user_id).is_some() {
            let player: Table = self.world.left.call(user_id)?;
            self.threads.fire(Event::PlayerRemoving, player)?;
        }
        Ok(())
    }
}

/// What `world.luau` is made from.
fn host_functions(lua: &Lua, options: &Options, kicked: &Arc<Mutex<Vec<i64>>>) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    match &options.data_stores {
        Some(data_stores) => {
            let stores = data_stores.clone();
            // By value: a new userdata each time.
            let service = move |_: &Lua, name: String| Ok((name == "DataStoreService").then(|| stores.clone()));
            host.set("service", lua.create_function(service)?)?;
            let stores = data_stores.clone();
            let class = move |lua: &Lua, name: String| stores.with_bindings(lua, |bindings| bindings.class(&name));
            host.set("class", lua.create_function(class)?)?;
            let stores = data_stores.clone();
            let of = move |lua: &Lua, name: String| stores.with_bindings(lua, |bindings| bindings.enumeration(&name));
            host.set("enumeration", lua.create_function(of)?)?;
            host.set("gameId", data_stores.game().id().number())?;
        }
        None => {
            let forgetful: Table = lua.load(include_str!("no_storage.luau")).set_name("=no_storage").call(())?;
            host.set("service", lua.create_function(move |_, _: String| Ok(forgetful.clone()))?)?;
            host.set("class", lua.create_function(|_, _: String| Ok(Value::Nil))?)?;
            host.set("enumeration", lua.create_function(|_, _: String| Ok(Value::Nil))?)?;
            host.set("gameId", 0)?;
        }
    }
    let kicks = Arc::clone(kicked);
    let kick = lua.create_function(move |_, user_id: i64| {
        kicks.lock().push(user_id);
        Ok(())
    })?;
    host.set("kick", kick)?;
    let print = lua.create_function(|_, text: String| {
        println!("{text}");
        Ok(())
    })?;
    host.set("print", print)?;
    Ok(host)
}
