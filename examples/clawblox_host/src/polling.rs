//! Mode one, as the engine does it: every coroutine that has yielded is resumed once a tick, with nothing.
//!
//! Owns: the list of parked threads. Does not own: what scripts call (`polling.luau`), what they wait for. A call of a data
//! store looks for itself whether it has ended.

use std::sync::Arc;
use std::time::Duration;

use clawstore::clock::Clock;
use clawstore::mlua::{self, Function, Lua, Table, Thread};
use clawstore::SystemClock;
use parking_lot::Mutex;

use crate::problems::Problems;

/// The parked threads of one VM.
#[derive(Debug)]
pub(crate) struct Polling {
    parked: Vec<Thread>,
    /// Those that have yielded for the first time since the last tick.
    started: Arc<Mutex<Vec<Thread>>>,
    problems: Problems,
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
        host.set("now", lua.create_function(move |_, ()| Ok(clock.now().since(start).as_secs_f64()))?)?;
        host.set("report", problems.reporter(lua)?)?;
        let threads = lua.load(include_str!("polling.luau")).set_name("=polling").call(host)?;
        Ok((Self { parked: Vec::new(), started, problems: problems.clone() }, threads))
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
