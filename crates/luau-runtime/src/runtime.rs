//! The server: one VM with its scripts, driven by the caller's tick loop.
//!
//! Owns: the order inside a step, resuming threads, the scripts that were started. Does not own the pace: the driver
//! calls [`Runtime::step`] at its tick rate, or [`Runtime::resume_completed`] as fast as engine calls complete.
//!
//! Nothing here raises what a script did: such errors go to the output and are counted.

mod interrupt;
mod tree;
mod world;

use std::fmt;
use std::time::Duration;

use mlua::{Function, Lua, LuaOptions, MaybeSend, MaybeSync, StdLib, Thread, Value};

use crate::clock::GameClock;
use crate::error::RuntimeError;
use crate::executor::{Executor, ScriptId, ScriptState};
use crate::guard::Guard;
use crate::natives::Engine;
use crate::options::RuntimeOptions;
use crate::output::Output;
use crate::prelude::{self, Host};
use crate::random::Generator;
use crate::shared::Shared;

/// The frame events in the order in which they fire.
const FRAME_EVENTS: [&str; 5] = ["PreAnimation", "Stepped", "PreSimulation", "PostSimulation", "Heartbeat"];

/// A simulated player who is in the game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayerInfo {
    /// `Player.UserId`.
    pub user_id: i64,
    /// `Player.Name`.
    pub name: String,
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepReport {
    /// Threads resumed because their engine call had completed.
    pub completed_calls: usize,
    /// Threads resumed or started because their timer was due.
    pub timers: usize,
    /// Threads of the deferred queue.
    pub deferred: usize,
    /// Errors reported during the step.
    pub errors: u64,
}

/// A Roblox-like server. Lives on the thread that drives it; with the feature `send` it may move between threads.
pub struct Runtime {
    executor: Executor,
    host: Host,
}

impl Runtime {
    /// Builds the VM and its world. No script runs yet.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default())?;
        let identity = prelude::identity(&lua, &options)?;
        let generator =
            options.random_seed.map_or_else(Generator::from_entropy, |seed| Generator::new(u64::from(seed)));
        let clock = GameClock::new(options.start_time, options.elapsed);
        let output = Output::new(options.output);
        let engine = Shared::new(Engine::new(clock, output, Guard::new(options.script_timeout), generator));
        let prelude = prelude::load_scheduler(&lua, &engine)?;
        let host = prelude::load_world(&lua, &prelude, identity, options.random_seed)?;
        if let Some(limit) = options.memory_limit {
            lua.set_memory_limit(limit)?;
        }
        let executor = Executor::new(lua, engine, prelude.get("ended")?);
        let runtime = Self { executor, host };
        runtime.install_interrupt();
        Ok(runtime)
    }

    /// The VM, for whoever binds services into it.
    pub fn lua(&self) -> &Lua {
        &self.executor.lua
    }

    /// Makes `game:GetService(name)` answer with this value.
    pub fn add_service(&self, name: &str, service: Value) -> Result<(), RuntimeError> {
        Ok(self.host.add_service.call((name, service))?)
    }

    /// Makes `Instance.new(name)` answer with what this function returns.
    pub fn add_class(&self, name: &str, constructor: Function) -> Result<(), RuntimeError> {
        Ok(self.host.add_class.call((name, constructor))?)
    }

    /// Plugs in engine calls: at each [`Runtime::step`] and [`Runtime::resume_completed`] the hook appends threads whose
    /// call has completed, and is asked again when these have run, until it appends none. Each is resumed without
    /// arguments; the call's own Luau wrapper yields again if that was not for it.
    pub fn set_completions(&mut self, completions: impl FnMut(&Lua, &mut Vec<Thread>) + MaybeSend + 'static) {
        self.executor.set_completions(completions);
    }

    /// Tells [`Runtime::has_work`] how many engine calls are still open.
    pub fn set_pending_calls(&mut self, pending: impl Fn() -> usize + MaybeSend + MaybeSync + 'static) {
        self.executor.set_pending_calls(Box::new(pending));
    }

    /// Compiles a script and runs it up to its first yield, in a thread and an environment of its own. It stands in
    /// `ServerScriptService`.
    ///
    /// # Errors
    /// [`RuntimeError::Load`] if it does not compile.
    pub fn run_script(&mut self, name: &str, source: &str) -> Result<ScriptId, RuntimeError> {
        let (main, message): (Option<Function>, Option<String>) = self.host.script.call((name, source))?;
        let Some(main) = main else {
            return Err(RuntimeError::Load { name: name.to_owned(), message: message.unwrap_or_default() });
        };
        let thread = self.executor.lua.create_thread(main)?;
        Ok(self.executor.start(thread))
    }

    /// What a script's own thread is doing. An id of another runtime reads as finished.
    pub fn script_state(&self, script: ScriptId) -> ScriptState {
        self.executor.script_state(script)
    }

    /// One tick: completed engine calls, frame events up to Heartbeat, due timers, deferred threads. `dt` is the time in
    /// seconds since the last step. With deferred signals, what was deferred also runs after each of these.
    pub fn step(&mut self, dt: f64) -> StepReport {
        let errors_before = self.error_count();
        self.executor.begin_step();
        let completed_calls = self.executor.resume_calls();
        let mut deferred = self.frame(dt);
        let timers = self.executor.resume_timers();
        deferred += self.executor.drain_deferred();
        StepReport { completed_calls, timers, deferred, errors: self.error_count() - errors_before }
    }

    fn frame(&self, dt: f64) -> usize {
        if !self.executor.call::<bool>(&self.host.deferred_events, ()).unwrap_or(false) {
            self.executor.call::<()>(&self.host.tick, dt);
            return 0;
        }
        let mut deferred = self.executor.drain_deferred();
        for event in FRAME_EVENTS {
            self.executor.call::<()>(&self.host.frame, (event, dt));
            deferred += self.executor.drain_deferred();
        }
        deferred
    }

    /// Resumes the threads whose engine calls have completed, then what they deferred, and nothing else: for a driver
    /// that does not wait for the next tick. Returns how many calls had completed.
    pub fn resume_completed(&mut self) -> usize {
        self.executor.resume_completed()
    }

    /// When the next timer is due, as elapsed time; it wakes in the first step at or after that.
    pub fn next_timer_due(&self) -> Option<Duration> {
        self.executor.next_timer_due()
    }

    /// True while anything is left that can run again by itself: a timer, a deferred thread, an open engine call or a
    /// connection to a frame event. Connections to other events are not counted: they wait for the driver.
    pub fn has_work(&self) -> bool {
        self.executor.has_work() || self.has_frame_listeners()
    }

    /// True while a script listens to a frame event: such a server must be stepped frame by frame. Without listeners a
    /// driver on simulated time may go straight to [`Runtime::next_timer_due`].
    pub fn has_frame_listeners(&self) -> bool {
        self.executor.call::<usize>(&self.host.frame_listeners, ()).is_some_and(|count| count > 0)
    }

    /// Errors reported since the start: of scripts, handlers and spawned threads.
    pub fn error_count(&self) -> u64 {
        self.executor.error_count()
    }
}

#[cfg(feature = "send")]
const _: () = {
    const fn assert_send<T: Send>() {}
    assert_send::<Runtime>();
};

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("errors", &self.error_count()).finish_non_exhaustive()
    }
}
