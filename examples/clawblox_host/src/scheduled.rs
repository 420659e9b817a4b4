//! Mode two: the ready-made scheduler. It resumes a thread when its time has come or its call has ended, and never otherwise.
//!
//! Owns: the engine's events as signals of the scheduler. Does not own: `task`, signals, timers, which it brings along.

use std::sync::Arc;

use clawstore::SystemClock;
use clawstore::clock::Clock;
use clawstore::compat::clawblox::DataStoreService;
use clawstore::mlua::{self, Function, IntoLuaMulti, Lua, Table, Value};
use clawstore_luau::{HostOptions, HostScheduler, Signal};

use crate::problems::Problems;
use crate::threads::Event;

/// The threads of one VM.
#[derive(Debug)]
pub(crate) struct Scheduled {
    scheduler: HostScheduler,
    /// In the order of [`Event::ALL`].
    signals: [Signal; 3],
}

impl Scheduled {
    pub(crate) fn new(lua: &Lua, problems: &Problems) -> anyhow::Result<(Self, Table)> {
        let (clock, problems) = (Arc::new(SystemClock::start()), problems.clone());
        let start = clock.now();
        let elapsed = move || clock.now().since(start);
        let options = HostOptions::new(elapsed.clone(), move |_, text| problems.add(text));
        let scheduler = HostScheduler::install(lua, options)?;
        let signals = [scheduler.signal()?, scheduler.signal()?, scheduler.signal()?];
        let threads = lua.create_table()?;
        threads.set("task", lua.globals().get::<Value>("task")?)?;
        threads.set("now", lua.create_function(move |_, ()| Ok(elapsed().as_secs_f64()))?)?;
        for (event, signal) in Event::ALL.into_iter().zip(&signals) {
            threads.set(event.name(), signal.value())?;
        }
        Ok((Self { scheduler, signals }, threads))
    }

    /// Threads whose call has ended are resumed in the next step.
    pub(crate) fn connect(&mut self, data_stores: &DataStoreService, lua: &Lua) -> mlua::Result<()> {
        data_stores.with_bindings(lua, |bindings| self.scheduler.set_completions(bindings.completions()))
    }

    pub(crate) fn run(&mut self, script: Function) -> mlua::Result<()> {
        self.scheduler.spawn(script, ()).map(drop).map_err(mlua::Error::external)
    }

    pub(crate) fn fire(&self, event: Event, arguments: impl IntoLuaMulti) {
        self.scheduler.fire(&self.signals[event as usize], arguments);
    }

    pub(crate) fn step(&mut self, dt: f64) {
        let heartbeat = &self.signals[Event::Heartbeat as usize];
        self.scheduler.step(|scheduler| scheduler.fire(heartbeat, dt));
    }
}
