//! One VM's calls: tickets, answers, and the queue that is run again when a race is lost.
//!
//! Owns: which calls of the VM are open and how each ended; taking answers from the inbox, in whatever poll or call
//! comes first; what is due at a time (`timing`); what may start now (`gate`, `starts`); in `messages` and
//! `updates`, who listens. Does not own: conversion of a result (`methods`), the transform itself (`transform`).

mod calls;
pub(crate) mod gate;
mod messages;
mod starts;
mod timing;
pub(crate) mod updates;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use clawstore_actors::{Server, VmEvent};
use clawstore_core::key_machine::Head;
use clawstore_core::ops::{CallResult, Reply};
use clawstore_core::vm_queue::Detached;
use clawstore_core::{CallError, EntryKey, ErrorCode};
use mlua::{Function, Lua, Table, Thread};
use parking_lot::Mutex;

use crate::bindings::Options;
use crate::classes::data_store::SERVICE as DATA_STORE_SERVICE;
use crate::load_guard::{Load, LoadGuard};
use crate::methods::{Arguments, ConvertOnce, Kept, Method};
use crate::profile::Profile;
use crate::shared::{Shared, State, borrow};
use crate::store_cache::{Cache, Refresh, StoreCache};
use crate::transform::Runner;
use crate::vm::calls::{Calls, OpenCall, Writes};
use crate::vm::gate::Gate;
use crate::vm::messages::Messages;
use crate::vm::updates::Updates;

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

/// The state behind one VM's bindings.
#[derive(Debug)]
pub(crate) struct Vm {
    pub(crate) server: Server,
    pub(crate) options: Options,
    /// A transform is running: no engine call may be made.
    in_transform: AtomicBool,
    calls: State<Calls>,
    pub(crate) gate: Gate,
    pub(crate) messages: Messages,
    pub(crate) updates: Updates,
    /// On in the Clawblox profile.
    load_guard: Option<LoadGuard>,
    /// There with [`Cache::Strict`].
    pub(crate) store_cache: Option<StoreCache>,
    /// Tickets whose coroutine is gone. Filled by the garbage collector, at any time: a lock of its own.
    dropped: Mutex<Vec<u64>>,
    /// The end of a call is waited for inside the call.
    is_settling: AtomicBool,
    /// When the first of `Calls::due` is due, in ticks: most VMs wait for no time at all.
    next_due: AtomicU64,
    /// Of the threads handed out one by one: how many of this round are still to come, and one; 0 between rounds.
    round: AtomicUsize,
}

/// What a parked coroutine holds: when the collector takes it, nobody will ask for the call any more.
pub(crate) struct Ticket {
    vm: Shared<Vm>,
    op: u64,
    kept: Kept,
    is_used: bool,
}

impl Ticket {
    pub(crate) fn new(vm: &Shared<Vm>, op: u64, kept: Kept) -> Self {
        Self { vm: Shared::clone(vm), op, kept, is_used: false }
    }

    /// How the call ended, and what makes results of that. Asked once, after it was marked.
    pub(crate) fn finish(&mut self) -> (Ended, Kept) {
        self.is_used = true;
        let ended = borrow(&self.vm.calls).open.remove(&self.op).and_then(OpenCall::shown);
        let none = || Ended::Refused(ErrorCode::Argument.error("The call has not ended or has returned"));
        (ended.unwrap_or_else(none), std::mem::take(&mut self.kept))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_used {
            self.vm.dropped.lock().push(self.op);
        }
    }
}

/// A call that was started.
pub(crate) enum Started {
    /// It has ended already.
    Ended(Ended),
    /// Ask again with this ticket.
    Ticket(u64),
    /// The same, for a call whose results are made with something that it has kept.
    With(u64, ConvertOnce),
}

impl Vm {
    pub(crate) fn new(lua: &Lua, server: Server, options: Options) -> mlua::Result<Shared<Self>> {
        let calls = Calls::new(lua.create_table()?);
        let gate = Gate::new(&server);
        let store_cache = (options.cache == Cache::Strict).then(StoreCache::default);
        let load_guard = (options.profile == Profile::Clawblox).then(LoadGuard::default);
        Ok(Shared::new(Self {
            server,
            options,
            load_guard,
            store_cache,
            gate,
            in_transform: AtomicBool::new(false),
            calls: State::new(calls),
            messages: Messages::new(lua)?,
            updates: Updates::default(),
            dropped: Mutex::default(),
            is_settling: AtomicBool::new(false),
            next_due: AtomicU64::new(u64::MAX),
            round: AtomicUsize::new(0),
        }))
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

    /// A call begins: does the load guard allow it, and is it a load?
    pub(crate) fn guard_loads(&self, method: &Method, arguments: &Arguments) -> Result<Option<Load>, CallError> {
        match &self.load_guard {
            Some(guard) if method.service == DATA_STORE_SERVICE => guard.begin(method.name, arguments),
            _ => Ok(None),
        }
    }

    /// A call begins that a store object may remember, or show without asking.
    pub(crate) fn begin_cached(&self, method: &Method, arguments: &Arguments) -> Option<Refresh> {
        let cache = self.store_cache.as_ref().filter(|_| method.service == DATA_STORE_SERVICE)?;
        cache.begin(method.name, arguments, self.clock())
    }

    /// The script of such a call is told its result.
    pub(crate) fn end_cached(&self, refresh: Option<Refresh>, reply: &Reply) {
        if let (Some(cache), Some(refresh)) = (&self.store_cache, refresh) {
            cache.refresh(refresh, reply, self.clock());
        }
    }

    /// The script of a load is told its value.
    pub(crate) fn end_load(&self, load: Option<Load>) {
        if let (Some(guard), Some(load)) = (&self.load_guard, load) {
            guard.end_load(&load);
        }
    }

    /// Notes a call that was submitted under this number and writes no key.
    pub(crate) fn open_plain(&self, lua: &Lua, op: u64) -> Started {
        self.open(lua, op, None);
        Started::Ticket(op)
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

    fn open(&self, lua: &Lua, op: u64, writes: Option<Writes>) {
        let thread = self.options.scheduler.then(|| lua.current_thread());
        borrow(&self.calls).open.insert(op, OpenCall::new(writes, thread));
    }

    /// Names the threads whose call has ended since the last time, in order.
    pub(crate) fn completed(&self, lua: &Lua, threads: &mut Vec<Thread>) {
        self.take_answers(lua);
        let mut calls = borrow(&self.calls);
        while let Some(thread) = calls.next_runnable() {
            threads.push(thread);
        }
    }

    /// The same one by one: each is asked for when those before it have run, so that one that they have resumed is not
    /// resumed again. `None` ends a round: what has completed during it comes in the next.
    pub(crate) fn next_completed(&self, lua: &Lua) -> Option<Thread> {
        let mut left = self.round.load(Ordering::Relaxed);
        if left == 0 {
            self.take_answers(lua);
            left = borrow(&self.calls).runnable.len() + 1;
        }
        let mut thread = None;
        while left > 1 && thread.is_none() {
            left -= 1;
            thread = borrow(&self.calls).next_runnable();
        }
        self.round.store(if thread.is_some() { left } else { 0 }, Ordering::Relaxed);
        thread
    }

    /// Calls that have not returned to their script.
    pub(crate) fn open_calls(&self) -> usize {
        self.forget_dropped();
        borrow(&self.calls).open.len()
    }

    /// The same without those that wait for budget that never comes.
    pub(crate) fn pending_calls(&self) -> usize {
        self.open_calls().saturating_sub(self.stuck_calls())
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
        if self.in_transform.load(Ordering::Relaxed) {
            return;
        }
        if self.is_anything_due() {
            self.start_waiting(lua);
            self.release_due();
        }
        if !self.server.inbox().is_filled() {
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
                Some(VmEvent::Done { op, result }) => self.note_end(lua, op, result),
                Some(VmEvent::Rerun { key, from, ask, head }) => self.rerun(lua, &key, from, ask, head),
                Some(VmEvent::Message { topic, payload, sent }) => self.deliver(lua, &topic, &payload, sent),
                None => break,
            }
        }
        self.release_due();
    }

    fn rerun(&self, lua: &Lua, key: &EntryKey, from: u64, ask: u64, head: Head) {
        let mut runner = Runner::new(lua, self, key.store.kind);
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

impl Drop for Vm {
    fn drop(&mut self) {
        self.start_writes_at_end();
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
