//! The server: one VM with its scripts, driven by the caller's tick loop.
//!
//! Owns: the order inside a step, resuming threads, the scripts that were started. Does not own the pace: the driver
//! calls [`Runtime::step`] at its tick rate, or [`Runtime::resume_completed`] as fast as engine calls complete.
//!
//! Nothing here raises what a script did: such errors go to the output and are counted.

mod world;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use mlua::thread::ThreadStatus;
use mlua::{Function, IntoLuaMulti, Lua, LuaOptions, StdLib, Table, Thread, Value};

use crate::clock::GameClock;
use crate::error::RuntimeError;
use crate::limits::DEFER_ROUNDS_PER_STEP;
use crate::natives::{Shared, wake_token};
use crate::options::RuntimeOptions;
use crate::output::{Output, message_of};
use crate::prelude::{self, Host};
use crate::scheduler::{Scheduler, Wake, Woken};

/// Names the threads whose engine call has completed, in order.
type Completions = Box<dyn FnMut(&Lua, &mut Vec<Thread>)>;

/// A started script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScriptId(usize);

/// What a script's own thread is doing; threads that it has started are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptState {
    /// It waits for something.
    Running,
    /// It has returned.
    Finished,
    /// It has raised an error.
    Failed,
}

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

/// A Roblox-like server. Not `Send`: it lives on the thread that drives it.
pub struct Runtime {
    lua: Lua,
    shared: Rc<Shared>,
    host: Host,
    completions: Option<Completions>,
    pending_calls: Option<Box<dyn Fn() -> usize>>,
    scripts: Vec<Thread>,
    /// Kept between steps for its capacity.
    completed: Vec<Thread>,
}

impl Runtime {
    /// Builds the VM and its world. No script runs yet.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default())?;
        let identity = prelude::identity(&lua, &options)?;
        let shared = Rc::new(Shared {
            clock: GameClock::new(options.start_time, options.elapsed),
            output: Output::new(options.output),
            scheduler: RefCell::new(Scheduler::default()),
        });
        let host = prelude::load(&lua, &shared, identity, options.random_seed)?;
        if let Some(limit) = options.memory_limit {
            lua.set_memory_limit(limit)?;
        }
        Ok(Self {
            lua,
            shared,
            host,
            completions: None,
            pending_calls: None,
            scripts: Vec::new(),
            completed: Vec::new(),
        })
    }

    /// The VM, for whoever binds services into it.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// Makes `game:GetService(name)` answer with this value.
    pub fn add_service(&self, name: &str, service: Value) -> Result<(), RuntimeError> {
        Ok(self.host.add_service.call((name, service))?)
    }

    /// Makes `Instance.new(name)` answer with what this function returns.
    pub fn add_class(&self, name: &str, constructor: Function) -> Result<(), RuntimeError> {
        Ok(self.host.add_class.call((name, constructor))?)
    }

    /// Plugs in engine calls: at each [`Runtime::step`] and [`Runtime::resume_completed`] the hook appends the
    /// threads whose call has completed. Each is resumed without arguments; the call's own Luau wrapper yields again
    /// if that was not for it.
    pub fn set_completions(&mut self, completions: impl FnMut(&Lua, &mut Vec<Thread>) + 'static) {
        self.completions = Some(Box::new(completions));
    }

    /// Tells [`Runtime::has_work`] how many engine calls are still open.
    pub fn set_pending_calls(&mut self, pending: impl Fn() -> usize + 'static) {
        self.pending_calls = Some(Box::new(pending));
    }

    /// Compiles a script and runs it up to its first yield, in a thread and an environment of its own.
    pub fn run_script(&mut self, name: &str, source: &str) -> Result<ScriptId, RuntimeError> {
        let environment: Table = self.host.environment.call(name)?;
        // Lets `math.floor` and the like stay as fast as without an environment; `setfenv` takes it away again.
        environment.set_safeenv(true);
        let chunk = self.lua.load(source).set_name(format!("={name}")).set_environment(environment);
        let main = chunk.into_function().map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => RuntimeError::Load { name: name.to_owned(), message },
            other => RuntimeError::Vm(other),
        })?;
        let thread = self.lua.create_thread(main)?;
        self.scripts.push(thread.clone());
        self.resume(&thread, ());
        self.drain_deferred();
        Ok(ScriptId(self.scripts.len() - 1))
    }

    /// What a script's own thread is doing. An id of another runtime reads as finished.
    pub fn script_state(&self, script: ScriptId) -> ScriptState {
        match self.scripts.get(script.0).map(Thread::status) {
            Some(ThreadStatus::Error) => ScriptState::Failed,
            Some(ThreadStatus::Finished) | None => ScriptState::Finished,
            Some(_) => ScriptState::Running,
        }
    }

    /// One tick: completed engine calls, Stepped and PreSimulation, PostSimulation, Heartbeat, due timers, deferred
    /// threads. `dt` is the time in seconds since the last step.
    pub fn step(&mut self, dt: f64) -> StepReport {
        let errors_before = self.error_count();
        self.shared.scheduler.borrow_mut().begin_step();
        let completed_calls = self.resume_calls();
        self.host_call::<()>(&self.host.tick, dt);
        let timers = self.resume_timers();
        let deferred = self.drain_deferred();
        StepReport { completed_calls, timers, deferred, errors: self.error_count() - errors_before }
    }

    /// Resumes the threads whose engine calls have completed, then what they deferred, and nothing else: for a driver
    /// that does not wait for the next tick. Returns how many calls had completed.
    pub fn resume_completed(&mut self) -> usize {
        let completed = self.resume_calls();
        if completed > 0 {
            self.drain_deferred();
        }
        completed
    }

    /// When the next timer is due, as elapsed time; it wakes in the first step at or after that.
    pub fn next_timer_due(&self) -> Option<Duration> {
        self.shared.scheduler.borrow_mut().next_timer_due()
    }

    /// True while anything is left that can run again by itself: a timer, a deferred thread, an open engine call or a
    /// connection to a frame event. Connections to other events are not counted: they wait for the driver.
    pub fn has_work(&self) -> bool {
        self.shared.scheduler.borrow().has_work()
            || self.pending_calls.as_ref().is_some_and(|pending| pending() > 0)
            || self.host_call::<usize>(&self.host.frame_listeners, ()).is_some_and(|count| count > 0)
    }

    /// Errors reported since the start: of scripts, handlers and spawned threads.
    pub fn error_count(&self) -> u64 {
        self.shared.output.error_count()
    }

    fn resume_calls(&mut self) -> usize {
        let Some(completions) = self.completions.as_mut() else { return 0 };
        let mut threads = std::mem::take(&mut self.completed);
        completions(&self.lua, &mut threads);
        let count = threads.len();
        for thread in threads.drain(..) {
            // A thread may have been cancelled while its call was under way.
            if thread.status() == ThreadStatus::Resumable {
                self.resume(&thread, ());
            }
        }
        self.completed = threads;
        count
    }

    fn resume_timers(&self) -> usize {
        let now = self.shared.clock.now();
        let mut count = 0;
        loop {
            let woken = self.shared.scheduler.borrow_mut().next_due(now);
            let Some(woken) = woken else { return count };
            self.wake(woken, now);
            count += 1;
        }
    }

    /// Runs what was deferred: at the end of each entry into the VM, so that nothing else runs before it.
    fn drain_deferred(&self) -> usize {
        let mut count = 0;
        for _ in 0..DEFER_ROUNDS_PER_STEP {
            let round = self.shared.scheduler.borrow().deferred_len();
            if round == 0 {
                break;
            }
            for _ in 0..round {
                let woken = self.shared.scheduler.borrow_mut().next_deferred();
                let Some(woken) = woken else { break };
                self.wake(woken, self.shared.clock.now());
                count += 1;
            }
        }
        count
    }

    fn wake(&self, Woken { thread, wake }: Woken, now: f64) {
        if thread.status() != ThreadStatus::Resumable {
            return;
        }
        match wake {
            Wake::Waited { since } => self.resume(&thread, (wake_token(), now - since)),
            Wake::Start(args) => self.resume(&thread, args),
        }
    }

    fn resume(&self, thread: &Thread, args: impl IntoLuaMulti) {
        if let Err(error) = thread.resume::<()>(args) {
            // Fails only without memory; the message alone is then better than nothing.
            let traceback: String = self.host.traceback.call(thread).unwrap_or_default();
            self.shared.output.error(&message_of(&error), &traceback);
        }
    }

    /// Calls a function of the prelude. These raise only when the VM is out of memory.
    fn host_call<R: mlua::FromLuaMulti>(&self, function: &Function, args: impl IntoLuaMulti) -> Option<R> {
        match function.call::<R>(args) {
            Ok(result) => Some(result),
            Err(error) => {
                tracing::error!(%error, "a function of the prelude failed");
                self.shared.output.error(&message_of(&error), "");
                None
            }
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("scripts", &self.scripts.len())
            .field("errors", &self.error_count())
            .finish_non_exhaustive()
    }
}
