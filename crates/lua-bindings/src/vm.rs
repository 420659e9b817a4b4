//! One VM's calls: tickets, answers, and the queue that is run again when a race is lost.
//!
//! Owns: which calls of the VM are open and how each ended; taking answers from the inbox, in whatever poll or call
//! comes first. Does not own: conversion of a result (`methods`), the transform itself (`transform`).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use clawstore_actors::{Found, Server, VmEvent};
use clawstore_core::key_machine::{Head, Writer};
use clawstore_core::ops::{CallResult, Request, Update};
use clawstore_core::vm_queue::{Detached, Transform, TransformFailed, VmQueue};
use clawstore_core::{CallError, EntryKey, ErrorCode};
use foldhash::fast::FixedState;
use mlua::{Function, Lua, Table, Thread};
use parking_lot::Mutex;

use crate::bindings::Options;
use crate::shared::{Shared, State, borrow};
use crate::transform::Runner;

/// How an open call stands.
#[derive(Debug)]
pub(crate) enum Ended {
    /// As the store says.
    Done(CallResult),
    /// Its transform failed: nil, one log line, nothing written (`decisions.md` 18).
    TransformFailed,
    /// Its transform's result cannot be stored.
    Refused(CallError),
}

#[derive(Debug)]
struct OpenCall {
    key: EntryKey,
    is_write: bool,
    /// Who is resumed when it ends; only kept for a scheduler.
    thread: Option<Thread>,
    ended: Option<Ended>,
    /// Its coroutine is gone: nobody will ask how it ended.
    is_abandoned: bool,
}

/// The state behind one VM's bindings.
#[derive(Debug)]
pub(crate) struct Vm {
    pub(crate) server: Server,
    pub(crate) options: Options,
    /// A transform is running: no engine call may be made.
    in_transform: AtomicBool,
    calls: State<Calls>,
    /// Tickets whose coroutine is gone. Filled by the garbage collector, at any time: a lock of its own.
    dropped: Mutex<Vec<u64>>,
}

/// What a parked coroutine holds: when the collector takes it, nobody will ask for the call any more.
#[derive(Debug)]
pub(crate) struct Ticket {
    vm: Shared<Vm>,
    op: u64,
    is_used: AtomicBool,
}

impl Ticket {
    pub(crate) fn new(vm: &Shared<Vm>, op: u64) -> Self {
        Self { vm: Shared::clone(vm), op, is_used: AtomicBool::new(false) }
    }

    /// How the call ended. Asked once, after it was marked.
    pub(crate) fn finish(&self) -> Ended {
        self.is_used.store(true, Ordering::Relaxed);
        let ended = borrow(&self.vm.calls).open.remove(&self.op).and_then(|call| call.ended);
        ended.unwrap_or_else(|| Ended::Refused(ErrorCode::Argument.error("The call has not ended or has returned")))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.vm.dropped.lock().push(self.op);
        }
    }
}

#[derive(Debug)]
struct Calls {
    /// What the Luau part looks at: `ended[ticket]` is set when a call has ended.
    marks: Table,
    open: HashMap<u64, OpenCall, FixedState>,
    queue: VmQueue<Function>,
    /// Threads whose call has ended, for a scheduler.
    runnable: Vec<Thread>,
    events: VecDeque<VmEvent>,
}

/// A call that was started.
pub(crate) enum Started {
    /// It has ended already.
    Ended(Ended),
    /// Ask again with this ticket.
    Ticket(u64),
}

impl Vm {
    pub(crate) fn new(lua: &Lua, server: Server, options: Options) -> mlua::Result<Shared<Self>> {
        let calls = Calls {
            marks: lua.create_table()?,
            open: HashMap::default(),
            queue: VmQueue::default(),
            runnable: Vec::new(),
            events: VecDeque::new(),
        };
        let in_transform = AtomicBool::new(false);
        Ok(Shared::new(Self { server, options, in_transform, calls: State::new(calls), dropped: Mutex::default() }))
    }

    /// The table in which ended calls are marked.
    pub(crate) fn marks(&self) -> Table {
        borrow(&self.calls).marks.clone()
    }

    /// Refuses an engine call while a transform runs.
    pub(crate) fn check_callable(&self) -> Result<(), CallError> {
        if self.in_transform.load(Ordering::Relaxed) {
            return Err(CallError::argument("Callbacks cannot yield"));
        }
        Ok(())
    }

    /// Starts `GetAsync`.
    pub(crate) fn read(&self, lua: &Lua, key: EntryKey, use_cache: bool) -> Started {
        match self.server.read(&key, use_cache) {
            Found::Now(result) => Started::Ended(Ended::Done(result)),
            Found::Later(op) => {
                self.open(lua, op, key, false);
                Started::Ticket(op)
            }
        }
    }

    /// Starts a write that needs no transform.
    pub(crate) fn write(&self, lua: &Lua, key: EntryKey, request: Request) -> Result<Started, CallError> {
        request.validate()?;
        let (writer, at) = (self.server.next_writer(), self.server.wall());
        borrow(&self.calls).queue.push_plain(&key, writer, at, &request);
        self.server.write(&key, writer, at, request);
        self.open(lua, writer.op, key, true);
        Ok(Started::Ticket(writer.op))
    }

    /// Starts `UpdateAsync`: runs the transform now if the key's state can be told, else when the store tells it.
    pub(crate) fn update(&self, lua: &Lua, key: EntryKey, transform: Function) -> Started {
        // Answers that wait may change what the key is expected to be.
        self.take_answers(lua);
        let (writer, at) = (self.server.next_writer(), self.server.wall());
        let found = borrow(&self.calls).queue.foresee(&key, || self.server.published_head(&key));
        let update = match &found {
            None => Update::NOT_RUN,
            Some(head) => match self.run_once(lua, writer, &transform, head) {
                Ok(update) => update,
                Err(ended) => return Started::Ended(ended),
            },
        };
        borrow(&self.calls).queue.push_update(&key, writer, at, transform, &update, found);
        self.server.write(&key, writer, at, Request::Update(update));
        self.open(lua, writer.op, key, true);
        Started::Ticket(writer.op)
    }

    fn run_once(&self, lua: &Lua, writer: Writer, transform: &Function, head: &Head) -> Result<Update, Ended> {
        let mut runner = Runner::new(lua, self);
        match runner.run(writer.op, transform, head) {
            Ok(result) => Ok(Update { base: Some(head.base()), result }),
            Err(TransformFailed) => Err(runner.failed.pop().map_or(Ended::TransformFailed, |(_, ended)| ended)),
        }
    }

    /// Runs `f` while no engine call may be made.
    pub(crate) fn while_in_transform<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Also when a host's function panics in the transform.
        struct Guard<'a>(&'a AtomicBool);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Relaxed);
            }
        }
        self.in_transform.store(true, Ordering::Relaxed);
        let _guard = Guard(&self.in_transform);
        f()
    }

    fn open(&self, lua: &Lua, op: u64, key: EntryKey, is_write: bool) {
        let thread = self.options.scheduler.then(|| lua.current_thread());
        borrow(&self.calls).open.insert(op, OpenCall { key, is_write, thread, ended: None, is_abandoned: false });
    }

    /// Names the threads whose call has ended since the last time, in order.
    pub(crate) fn completed(&self, lua: &Lua, threads: &mut Vec<Thread>) {
        self.take_answers(lua);
        threads.append(&mut borrow(&self.calls).runnable);
    }

    /// Calls that have not returned to their script.
    pub(crate) fn open_calls(&self) -> usize {
        self.forget_dropped();
        borrow(&self.calls).open.len()
    }

    /// Lets go of calls whose coroutine is gone: at once if they have ended, else when they end.
    fn forget_dropped(&self) {
        let dropped = std::mem::take(&mut *self.dropped.lock());
        let mut calls = borrow(&self.calls);
        for op in dropped {
            calls.abandon(op);
        }
    }

    /// Empties the inbox: notes what has ended, runs again what lost its race.
    pub(crate) fn take_answers(&self, lua: &Lua) {
        if !self.server.inbox().is_filled() || self.in_transform.load(Ordering::Relaxed) {
            return;
        }
        self.forget_dropped();
        let mut arrived = Vec::new();
        self.server.inbox().take(&mut arrived);
        borrow(&self.calls).events.extend(arrived);
        // One at a time and without a borrow: a transform may run a host's function, which may look here, or panic.
        loop {
            let event = borrow(&self.calls).events.pop_front();
            match event {
                Some(VmEvent::Done { op, result }) => borrow(&self.calls).end(op, Ended::Done(result)),
                Some(VmEvent::Rerun { key, from, ask, head }) => self.rerun(lua, &key, from, ask, head),
                None => return,
            }
        }
    }

    fn rerun(&self, lua: &Lua, key: &EntryKey, from: u64, ask: u64, head: Head) {
        let mut runner = Runner::new(lua, self);
        let detached = borrow(&self.calls).queue.detach(key);
        // A call that has ended here is not known any more: the empty answer says so.
        let reruns = detached.map_or_else(Vec::new, |detached| {
            let mut attached = Attached { vm: self, detached: Some(detached) };
            attached.detached.as_mut().map_or_else(Vec::new, |calls| calls.rerun(from, head, &mut runner))
        });
        let mut calls = borrow(&self.calls);
        for (op, ended) in runner.failed.drain(..) {
            calls.end(op, ended);
        }
        drop(calls);
        self.server.rerun(key, ask, reruns);
    }

    /// One line in the server's log, as Roblox prints beside a raised error (spec §5.1).
    pub(crate) fn log(&self, line: &str) {
        self.options.log(line);
    }
}

/// Puts a key's calls back when their transforms have run, also when a host's function panicked in one.
struct Attached<'a> {
    vm: &'a Vm,
    detached: Option<Detached<Function>>,
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        if let Some(detached) = self.detached.take() {
            borrow(&self.vm.calls).queue.attach(detached);
        }
    }
}

impl Calls {
    /// The coroutine of a call is gone.
    fn abandon(&mut self, op: u64) {
        match self.open.get_mut(&op) {
            Some(call) if call.ended.is_none() => call.is_abandoned = true,
            Some(_) => self.forget(op),
            None => {}
        }
    }

    fn forget(&mut self, op: u64) {
        self.open.remove(&op);
        // A table that cannot be written is one of a VM that ends.
        let _ = self.marks.raw_set(op, mlua::Nil);
    }

    /// Notes the end of a call. The first end stays: a transform that failed has ended its call before the store says so.
    fn end(&mut self, op: u64, ended: Ended) {
        let Some(call) = self.open.get_mut(&op) else { return };
        if call.ended.is_some() {
            return;
        }
        if call.is_write {
            self.queue.answered(&call.key, op);
        }
        let thread = call.thread.take();
        if call.is_abandoned || thread.as_ref().is_some_and(|thread| !thread.is_resumable()) {
            self.open.remove(&op);
            return;
        }
        call.ended = Some(ended);
        // Fails only when the VM has no memory left; its scripts are ending then.
        let _ = self.marks.raw_set(op, true);
        self.runnable.extend(thread);
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let calls = borrow(&self.calls);
        let keys: Vec<EntryKey> = calls.queue.keys().cloned().collect();
        drop(calls);
        self.server.close(&keys);
    }
}

#[cfg(feature = "send")]
const _: () = {
    const fn assert_send<T: Send + Sync>() {}
    assert_send::<Vm>();
};
