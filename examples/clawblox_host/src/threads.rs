//! How the coroutines of a VM are resumed: the two modes behind one face.
//!
//! Owns: which events there are, and handing work to the mode that was chosen. Does not own: either of them.

use clawstore::compat::clawblox::DataStoreService;
use clawstore::mlua::{self, Function, IntoLuaMulti, Lua, Table};

use crate::polling::Polling;
use crate::problems::Problems;
use crate::scheduled::Scheduled;

/// How the coroutines of a VM are resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// All that are parked, once a tick: what the engine does today.
    Polling,
    /// Those whose time has come, by the ready-made scheduler: `step`.
    Scheduler,
}

/// What the engine tells scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    PlayerAdded,
    PlayerRemoving,
    Heartbeat,
}

impl Event {
    pub(crate) const ALL: [Self; 3] = [Self::PlayerAdded, Self::PlayerRemoving, Self::Heartbeat];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PlayerAdded => "PlayerAdded",
            Self::PlayerRemoving => "PlayerRemoving",
            Self::Heartbeat => "Heartbeat",
        }
    }
}

/// The threads of one VM.
#[derive(Debug)]
pub(crate) enum Threads {
    Polling(Polling),
    Scheduler(Box<Scheduled>),
}

impl Threads {
    /// Returns them with the table `threads` of `world.luau`: `task`, and the events as scripts see them.
    pub(crate) fn new(lua: &Lua, mode: Mode, problems: &Problems) -> anyhow::Result<(Self, Table)> {
        Ok(match mode {
            Mode::Polling => {
                let (polling, table) = Polling::new(lua, problems)?;
                (Self::Polling(polling), table)
            }
            Mode::Scheduler => {
                let (scheduled, table) = Scheduled::new(lua, problems)?;
                (Self::Scheduler(Box::new(scheduled)), table)
            }
        })
    }

    /// Engine calls of this service end in its VM.
    pub(crate) fn connect(&mut self, data_stores: &DataStoreService, lua: &Lua) -> mlua::Result<()> {
        match self {
            // Whoever is polled looks for itself.
            Self::Polling(_) => Ok(()),
            Self::Scheduler(scheduled) => scheduled.connect(data_stores, lua),
        }
    }

    /// Runs a script up to its first yield.
    pub(crate) fn run(&mut self, lua: &Lua, script: Function) -> mlua::Result<()> {
        match self {
            Self::Polling(polling) => polling.run(lua, script),
            Self::Scheduler(scheduled) => scheduled.run(script),
        }
    }

    /// Tells scripts something.
    pub(crate) fn fire(&self, event: Event, arguments: impl IntoLuaMulti) -> mlua::Result<()> {
        match self {
            Self::Polling(polling) => polling.fire(event, arguments),
            Self::Scheduler(scheduled) => {
                scheduled.fire(event, arguments);
                Ok(())
            }
        }
    }

    /// One tick: who has waited goes on, then the heartbeat.
    pub(crate) fn tick(&mut self, dt: f64) -> mlua::Result<()> {
        match self {
            Self::Polling(polling) => {
                polling.poll();
                polling.fire(Event::Heartbeat, dt)
            }
            Self::Scheduler(scheduled) => {
                scheduled.step(dt);
                Ok(())
            }
        }
    }
}
