//! Resuming threads: what a whole server and a scheduler in a host's own VM have in common.
//!
//! Owns: the VM's handle, the engine behind the prelude, the hook of completed calls, the scripts that were started, and
//! how an error ends a thread. Does not own: what is in the VM's globals, and the order inside a step.

use std::time::Duration;

use mlua::thread::ThreadStatus;
use mlua::{Function, IntoLuaMulti, Lua, MaybeSend, Thread};

use crate::limits::DEFER_ROUNDS_PER_STEP;
use crate::natives::{Engine, wake_token};
use crate::output::message_of;
use crate::scheduler::{Wake, Woken, address};
use crate::shared::{Counter, Shared, borrow};

/// Names the threads whose engine call has completed, in order.
#[cfg(feature = "send")]
type Completions = Box<dyn FnMut(&Lua, &mut Vec<Thread>) + Send>;
#[cfg(not(feature = "send"))]
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

/// See the module's header.
pub(crate) struct Executor {
    pub(crate) lua: Lua,
    pub(crate) engine: Shared<Engine>,
    /// The prelude's `engine.ended(thread, message)`.
    ended: Function,
    completions: Option<Completions>,
    pending_calls: Option<Counter>,
    scripts: Vec<Thread>,
    /// Kept between steps for its capacity.
    completed: Vec<Thread>,
}

impl Executor {
    pub(crate) fn new(lua: Lua, engine: Shared<Engine>, ended: Function) -> Self {
        Self { lua, engine, ended, completions: None, pending_calls: None, scripts: Vec::new(), completed: Vec::new() }
    }

    pub(crate) fn set_completions(&mut self, completions: impl FnMut(&Lua, &mut Vec<Thread>) + MaybeSend + 'static) {
        self.completions = Some(Box::new(completions));
    }

    pub(crate) fn set_pending_calls(&mut self, pending: Counter) {
        self.pending_calls = Some(pending);
    }

    /// Runs a script's thread up to its first yield.
    pub(crate) fn start(&mut self, thread: Thread) -> ScriptId {
        borrow(&self.engine.scripts).insert(address(&thread), false);
        self.scripts.push(thread.clone());
        self.resume(&thread, ());
        self.drain_deferred();
        ScriptId(self.scripts.len() - 1)
    }

    /// An id of another executor reads as finished.
    pub(crate) fn script_state(&self, script: ScriptId) -> ScriptState {
        let Some(thread) = self.scripts.get(script.0) else { return ScriptState::Finished };
        if borrow(&self.engine.scripts).get(&address(thread)) == Some(&true) {
            return ScriptState::Failed;
        }
        match thread.status() {
            ThreadStatus::Error => ScriptState::Failed,
            ThreadStatus::Finished => ScriptState::Finished,
            _ => ScriptState::Running,
        }
    }

    pub(crate) fn error_count(&self) -> u64 {
        self.engine.output.error_count()
    }

    pub(crate) fn next_timer_due(&self) -> Option<Duration> {
        borrow(&self.engine.scheduler).next_timer_due()
    }

    /// True while a timer, a deferred thread or an engine call is open.
    pub(crate) fn has_work(&self) -> bool {
        borrow(&self.engine.scheduler).has_work() || self.pending_calls.as_ref().is_some_and(|pending| pending() > 0)
    }

    /// Opens a step: timers parked before it may now come due.
    pub(crate) fn begin_step(&self) {
        borrow(&self.engine.scheduler).begin_step();
    }

    /// Resumes the threads of one round of completed calls. Each is asked for when those before it have run.
    pub(crate) fn resume_calls(&mut self) -> usize {
        let Some(mut completions) = self.completions.take() else { return 0 };
        let mut threads = std::mem::take(&mut self.completed);
        let mut count = 0;
        loop {
            completions(&self.lua, &mut threads);
            if threads.is_empty() {
                break;
            }
            count += threads.len();
            for thread in threads.drain(..) {
                // A thread may have been cancelled while its call was under way.
                if thread.status() == ThreadStatus::Resumable {
                    self.resume(&thread, ());
                }
            }
        }
        (self.completed, self.completions) = (threads, Some(completions));
        count
    }

    /// The same, and then what they deferred. Returns how many calls had completed.
    pub(crate) fn resume_completed(&mut self) -> usize {
        let completed = self.resume_calls();
        if completed > 0 {
            self.drain_deferred();
        }
        completed
    }

    pub(crate) fn resume_timers(&self) -> usize {
        let now = self.engine.clock.now();
        let mut count = 0;
        loop {
            let woken = borrow(&self.engine.scheduler).next_due(now);
            let Some(woken) = woken else { return count };
            self.wake(woken, now);
            count += 1;
        }
    }

    /// Runs what was deferred: at the end of each entry into the VM, so that nothing else runs before it.
    pub(crate) fn drain_deferred(&self) -> usize {
        let mut count = 0;
        for _ in 0..DEFER_ROUNDS_PER_STEP {
            let round = borrow(&self.engine.scheduler).deferred_len();
            if round == 0 {
                break;
            }
            for _ in 0..round {
                let woken = borrow(&self.engine.scheduler).next_deferred();
                let Some(woken) = woken else { break };
                self.wake(woken, self.engine.clock.now());
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

    pub(crate) fn resume(&self, thread: &Thread, args: impl IntoLuaMulti) {
        self.engine.guard.renew();
        if let Err(error) = thread.resume::<()>(args) {
            let message = message_of(&error);
            if matches!(error, mlua::Error::MemoryError(_)) {
                // Without the garbage of this thread there may be room for its report.
                let _ = self.lua.gc_collect();
            }
            // Fails only without memory; the message alone is then better than nothing.
            if self.ended.call::<()>((thread, message.as_str())).is_err() {
                self.engine.output.error(&message, "");
            }
        }
    }

    /// Calls a function of the prelude. These raise only when the VM is out of memory.
    pub(crate) fn call<R: mlua::FromLuaMulti>(&self, function: &Function, args: impl IntoLuaMulti) -> Option<R> {
        self.engine.guard.renew();
        match function.call::<R>(args) {
            Ok(result) => Some(result),
            Err(error) => {
                tracing::error!(%error, "a function of the prelude failed");
                self.engine.output.error(&message_of(&error), "");
                None
            }
        }
    }
}
