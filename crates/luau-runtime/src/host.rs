//! The scheduler alone, in a VM of the host's own.
//!
//! Owns: `task`, `wait`, `spawn`, `delay`, signals, and who resumes which thread, in the VM of an engine that has its own
//! `game` and its own classes. Does not own: anything else in that VM (nothing is sandboxed or replaced), and the frame
//! events: the host fires its own signals.
//!
//! A thread that the host starts here may wait, call a data store and be cancelled like any other; nothing is polled. The
//! one rule for the host: it resumes a thread itself only if it has parked it itself.

use std::fmt;
use std::time::Duration;

use mlua::{Function, IntoLuaMulti, Lua, MaybeSend, MaybeSync, Table, Thread, Value};

use crate::clock::GameClock;
use crate::error::RuntimeError;
use crate::executor::{Executor, ScriptId, ScriptState};
use crate::guard::Guard;
use crate::natives::Engine;
use crate::output::{Level, Output, OutputSink};
use crate::prelude;
use crate::random::Generator;
use crate::runtime::StepReport;
use crate::shared::{Elapsed, Shared};

/// What a [`HostScheduler`] is made from.
pub struct HostOptions {
    /// Time since the start, real or simulated. Must never go back.
    pub elapsed: Elapsed,
    /// Takes the errors that end threads, each with its traceback, and warnings. Must not call back into the scheduler.
    pub output: OutputSink,
}

impl HostOptions {
    /// Options with this clock and this output.
    pub fn new(
        elapsed: impl Fn() -> Duration + MaybeSend + MaybeSync + 'static,
        output: impl FnMut(Level, &str) + MaybeSend + 'static,
    ) -> Self {
        Self { elapsed: Box::new(elapsed), output: Box::new(output) }
    }
}

impl fmt::Debug for HostOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostOptions").finish_non_exhaustive()
    }
}

/// See the module's header. With the feature `send` it may move between threads, like the VM.
pub struct HostScheduler {
    executor: Executor,
    new_signal: Function,
    fire: Function,
    listener_count: Function,
}

impl HostScheduler {
    /// Puts `task`, `wait`, `spawn` and `delay` into the globals of `lua`, in place of what the host had there. One
    /// scheduler per VM.
    ///
    /// # Errors
    /// If the VM lacks the libraries `coroutine`, `debug` or `math`, or memory.
    pub fn install(lua: &Lua, options: HostOptions) -> Result<Self, RuntimeError> {
        let engine = Shared::new(Engine::new(
            GameClock::new(Duration::ZERO, options.elapsed),
            Output::new(options.output),
            Guard::new(None),
            Generator::from_entropy(),
        ));
        let prelude: Table = prelude::load_scheduler(lua, &engine)?;
        Ok(Self {
            executor: Executor::new(lua.clone(), engine, prelude.get("ended")?),
            new_signal: prelude.get("newSignal")?,
            fire: prelude.get("fire")?,
            listener_count: prelude.get("listenerCount")?,
        })
    }

    /// Plugs in engine calls: see [`crate::Runtime::set_completions`].
    pub fn set_completions(&mut self, completions: impl FnMut(&Lua, &mut Vec<Thread>) + MaybeSend + 'static) {
        self.executor.set_completions(completions);
    }

    /// Tells [`HostScheduler::has_work`] how many engine calls are still open.
    pub fn set_pending_calls(&mut self, pending: impl Fn() -> usize + MaybeSend + MaybeSync + 'static) {
        self.executor.set_pending_calls(Box::new(pending));
    }

    /// Compiles a script and runs it up to its first yield, in a thread of its own and with the globals of the VM.
    ///
    /// # Errors
    /// [`RuntimeError::Load`] if it does not compile.
    pub fn run_script(&mut self, name: &str, source: &str) -> Result<ScriptId, RuntimeError> {
        let lua = &self.executor.lua;
        let main = lua.load(source).set_name(format!("={name}")).into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => RuntimeError::Load { name: name.to_owned(), message },
            other => RuntimeError::Vm(other),
        })?;
        let thread = lua.create_thread(main)?;
        Ok(self.executor.start(thread))
    }

    /// What a script's own thread is doing.
    pub fn script_state(&self, script: ScriptId) -> ScriptState {
        self.executor.script_state(script)
    }

    /// Runs a function up to its first yield as the engine runs every callback: in a thread of its own, whose errors are
    /// reported and go nowhere else. What it defers runs before this returns.
    ///
    /// # Errors
    /// If the VM has no memory for the thread.
    pub fn spawn(&self, function: Function, args: impl IntoLuaMulti) -> Result<Thread, RuntimeError> {
        let thread = self.executor.lua.create_thread(function)?;
        self.resume(&thread, args);
        Ok(thread)
    }

    /// Resumes a thread that the host has parked itself; an error ends that thread only. A thread that has ended is left
    /// alone.
    pub fn resume(&self, thread: &Thread, args: impl IntoLuaMulti) {
        if thread.is_resumable() {
            self.executor.resume(thread, args);
        }
        self.executor.drain_deferred();
    }

    /// A new event of the host: scripts connect to [`Signal::value`], the host fires it.
    ///
    /// # Errors
    /// If the VM has no memory for it.
    pub fn signal(&self) -> Result<Signal, RuntimeError> {
        let value: Value = self.new_signal.call(())?;
        Ok(Signal { value, fire: self.fire.clone(), listener_count: self.listener_count.clone() })
    }

    /// Fires a signal: its handlers run at once, in the order in which they were connected, each in a thread of its own.
    pub fn fire(&self, signal: &Signal, args: impl IntoLuaMulti) {
        match args.into_lua_multi(&self.executor.lua) {
            Ok(mut args) => {
                args.push_front(signal.value.clone());
                self.executor.call::<()>(&signal.fire, args);
            }
            Err(error) => tracing::error!(%error, "the arguments of a signal cannot be handed over"),
        }
        self.executor.drain_deferred();
    }

    /// One tick: completed engine calls, then `frame` (where the host fires its frame events), due timers, deferred
    /// threads.
    pub fn step(&mut self, frame: impl FnOnce(&Self)) -> StepReport {
        let errors_before = self.error_count();
        self.executor.begin_step();
        let completed_calls = self.executor.resume_calls();
        frame(self);
        let timers = self.executor.resume_timers();
        let deferred = self.executor.drain_deferred();
        StepReport { completed_calls, timers, deferred, errors: self.error_count() - errors_before }
    }

    /// Resumes the threads whose engine calls have completed, then what they deferred, and nothing else. Returns how many
    /// calls had completed.
    pub fn resume_completed(&mut self) -> usize {
        self.executor.resume_completed()
    }

    /// When the next timer is due, as elapsed time.
    pub fn next_timer_due(&self) -> Option<Duration> {
        self.executor.next_timer_due()
    }

    /// True while a timer, a deferred thread or an engine call is open.
    pub fn has_work(&self) -> bool {
        self.executor.has_work()
    }

    /// Errors reported since the start.
    pub fn error_count(&self) -> u64 {
        self.executor.error_count()
    }
}

impl fmt::Debug for HostScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostScheduler").field("errors", &self.error_count()).finish_non_exhaustive()
    }
}

/// An event of the host: an `RBXScriptSignal` for scripts.
#[derive(Clone, Debug)]
pub struct Signal {
    value: Value,
    fire: Function,
    listener_count: Function,
}

impl Signal {
    /// What scripts see: it has `Connect`, `Once` and `Wait`.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Connections and waiting threads.
    pub fn listeners(&self) -> usize {
        self.listener_count.call(&self.value).unwrap_or(0)
    }
}

#[cfg(feature = "send")]
const _: () = {
    const fn assert_send<T: Send>() {}
    assert_send::<HostScheduler>();
    assert_send::<Signal>();
};
