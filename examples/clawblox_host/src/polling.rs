//! Mode one, as the engine does it: every coroutine that has yielded is resumed once a tick, with nothing.
//!
//! Owns: the list of parked threads. Does not own: what scripts call (`polling.luau`), what they wait for. A call of a data
//! store looks for itself whether it has ended.

use std::sync::Arc;
use std::time::Duration;

use clawstore::SystemClock;
use clawstore::clock::Clock;
use clawstore::mlua::{self, Function, IntoLuaMulti, Lua, Table, Thread, Value};
use parking_lot::Mutex;

use crate::problems::Problems;
use crate::threads::Event;

/// The parked threads of one VM.
#[derive(Debug)]
pub(crate) struct Polling {
    parked: Vec<Thread>,
    /// Those that have yielded for the first time since the last tick.
    started: Arc<Mutex<Vec<Thread>>>,
    /// In the order of [`Event::ALL`].
    signals: [Table; 3],
    fire: Function,
    problems: Problems,
    lua: Lua,
}

impl Polling {
    /// Returns it with the table `threads` of `world.luau`.
    pub(crate) fn new(lua: &Lua, problems: &Problems) -> mlua::Result<(Self, Table)> {
        let started: Arc<Mutex<Vec<Thread>>> = Arc::default();
        let host = lua.create_table()?;
        let list = Arc::clone(&started);
        let track = lua.create_function(move |_, thread: Thread| {
            list.lock().push(thread);
            Ok(())
        })?;
        host.set("track", track)?;
        let clock = SystemClock::start();
        let start = clock.now();
        let now = lua.create_function(move |_, ()| Ok(clock.now().since(start).as_secs_f64()))?;
        host.set("now", &now)?;
        host.set("report", problems.reporter(lua)?)?;
        let threads: Table = lua.load(include_str!("polling.luau")).set_name("=polling").call(host)?;
        threads.set("now", now)?;
        let (new_signal, fire): (Function, Function) = (threads.get("newSignal")?, threads.get("fire")?);
        let signals = [new_signal.call::<Table>(())?, new_signal.call(())?, new_signal.call(())?];
        for (event, signal) in Event::ALL.into_iter().zip(&signals) {
            threads.set(event.name(), signal)?;
        }
        Ok((Self { parked: Vec::new(), started, signals, fire, problems: problems.clone(), lua: lua.clone() }, threads))
    }

    /// Runs the handlers of an event, each in a thread of its own, up to its first yield.
    pub(crate) fn fire(&self, event: Event, arguments: impl IntoLuaMulti) -> mlua::Result<()> {
        let mut arguments = arguments.into_lua_multi(&self.lua)?;
        arguments.push_front(Value::Table(self.signals[event as usize].clone()));
        self.fire.call(arguments)
    }

    /// Runs a script up to its first yield.
    pub(crate) fn run(&mut self, lua: &Lua, script: Function) -> mlua::Result<()> {
        let thread = lua.create_thread(script)?;
        if self.resume(&thread) {
            self.parked.push(thread);
        }
        Ok(())
    }

    /// Resumes each thread once.
    pub(crate) fn poll(&mut self) {
        // Threads that start meanwhile are polled from the next tick on: none is lost.
        self.parked.append(&mut self.started.lock());
        let mut parked = std::mem::take(&mut self.parked);
        parked.retain(|thread| self.resume(thread));
        self.parked = parked;
    }

    /// True if it has yielded again.
    fn resume(&self, thread: &Thread) -> bool {
        // It may have been cancelled.
        if !thread.is_resumable() {
            return false;
        }
        match thread.resume::<()>(()) {
            Ok(()) => thread.is_resumable(),
            Err(error) => {
                self.problems.add(&error.to_string());
                false
            }
        }
    }
}

/// What a tick lasts.
pub const TICK: Duration = Duration::from_nanos(1_000_000_000 / 60);
