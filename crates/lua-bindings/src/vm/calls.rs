//! The open calls of one VM: who waits for which, and how each has ended.
//!
//! Owns: an open call from its start until its script has asked how it ended; which threads its host is to resume. Does not
//! own: where answers come from (`vm`), time (`timing`).

use std::collections::{BTreeMap, HashMap, VecDeque};

use clawstore_actors::VmEvent;
use clawstore_core::clock::Timestamp;
use clawstore_core::vm_queue::VmQueue;
use clawstore_core::{CallError, EntryKey};
use foldhash::fast::FixedState;
use mlua::thread::ThreadStatus;
use mlua::{Function, Table, Thread};

use super::Ended;

/// What a call writes.
#[derive(Debug)]
pub(super) struct Writes {
    pub(super) key: EntryKey,
    /// What its reply shows is not there any more.
    pub(super) removes: bool,
}

#[derive(Debug)]
pub(super) struct OpenCall {
    /// What it writes; not before it has started.
    pub(super) writes: Option<Writes>,
    /// Who is resumed when it ends; only kept for a scheduler.
    pub(super) thread: Option<Thread>,
    pub(super) ended: Option<Ended>,
    /// Its script is told no earlier than this.
    pub(super) not_before: Timestamp,
    /// What its script is told if it succeeds all the same.
    pub(super) lost: Option<CallError>,
    /// Its coroutine is gone: nobody will ask how it ended.
    pub(super) is_abandoned: bool,
}

impl OpenCall {
    pub(super) fn new(writes: Option<Writes>, thread: Option<Thread>) -> Self {
        let not_before = Timestamp::default();
        Self { writes, thread, ended: None, not_before, lost: None, is_abandoned: false }
    }

    /// How it has ended, as its script is told.
    pub(super) fn shown(self) -> Option<Ended> {
        match (self.ended, self.lost) {
            (Some(Ended::Done(Ok(_))), Some(error)) => Some(Ended::Refused(error)),
            (ended, _) => ended,
        }
    }
}

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Due {
    /// A call is shown to have ended.
    End(u64),
    /// A thread starts.
    Start(Thread),
    /// A thread starts that looks at what others have done. Nobody waits for it.
    Look(Thread),
}

/// A thread that its host is to resume.
#[derive(Debug)]
pub(super) struct Runnable {
    /// The call that has ended; none for a new thread.
    op: Option<u64>,
    thread: Thread,
}

#[derive(Debug)]
pub(super) struct Calls {
    /// What the Luau part looks at: `ended[ticket]` is set when a call has ended.
    pub(super) marks: Table,
    pub(super) open: HashMap<u64, OpenCall, FixedState>,
    pub(super) queue: VmQueue<Function>,
    /// Threads whose call has ended, for a scheduler.
    pub(super) runnable: VecDeque<Runnable>,
    pub(super) events: VecDeque<VmEvent>,
    /// In order of time, then of asking.
    pub(super) due: BTreeMap<(Timestamp, u64), Due>,
    pub(super) due_asked: u64,
    /// Calls that have ended and could not be marked.
    pub(super) unmarked: Vec<u64>,
}

impl Calls {
    pub(super) fn new(marks: Table) -> Self {
        Self {
            marks,
            open: HashMap::default(),
            queue: VmQueue::default(),
            runnable: VecDeque::new(),
            events: VecDeque::new(),
            due: BTreeMap::new(),
            due_asked: 0,
            unmarked: Vec::new(),
        }
    }

    /// A call that has waited has started.
    pub(super) fn started(&mut self, op: u64, writes: Option<Writes>) {
        if let Some(call) = self.open.get_mut(&op) {
            call.writes = writes;
        }
    }

    /// The coroutine of a call is gone.
    pub(super) fn abandon(&mut self, op: u64) {
        match self.open.get_mut(&op) {
            Some(call) if call.ended.is_none() => call.is_abandoned = true,
            Some(_) => self.forget(op),
            None => {}
        }
    }

    pub(super) fn forget(&mut self, op: u64) {
        self.open.remove(&op);
        // A table that cannot be written is one of a VM that ends.
        let _ = self.marks.raw_set(op, mlua::Nil);
    }

    pub(super) fn has_ended(&self, op: u64) -> bool {
        self.open.get(&op).is_none_or(|call| call.ended.is_some())
    }

    /// Notes the end of a call. The first end stays: a transform that failed has ended its call before the store says so.
    pub(super) fn end(&mut self, op: u64, ended: Ended) {
        let Some(call) = self.open.get_mut(&op) else { return };
        if call.ended.is_some() {
            return;
        }
        if let Some(writes) = &call.writes {
            self.queue.answered(&writes.key, op);
        }
        call.ended = Some(ended);
        match call.not_before {
            at if at == Timestamp::default() => self.show(op),
            at => self.at(at, Due::End(op)),
        }
    }

    /// Lets the script of a call that has ended go on.
    pub(super) fn show(&mut self, op: u64) {
        let Some(call) = self.open.get_mut(&op) else { return };
        let thread = call.thread.take();
        let status = thread.as_ref().map(Thread::status);
        if call.is_abandoned || matches!(status, Some(ThreadStatus::Finished | ThreadStatus::Error)) {
            self.open.remove(&op);
            return;
        }
        // One that runs was resumed by somebody else and is looking for this mark just now: nobody may resume it for it.
        let is_parked = status == Some(ThreadStatus::Resumable);
        if self.marks.raw_set(op, true).is_err() {
            // No memory just now: at the next look.
            call.thread = thread;
            self.unmarked.push(op);
            return;
        }
        let parked = thread.filter(|_| is_parked);
        self.runnable.extend(parked.map(|thread| Runnable { op: Some(op), thread }));
    }

    /// The next thread that its host is to resume. One that somebody else has resumed since, and that has gone on, is left out.
    pub(super) fn next_runnable(&mut self) -> Option<Thread> {
        while let Some(Runnable { op, thread }) = self.runnable.pop_front() {
            if op.is_none_or(|op| self.open.contains_key(&op)) {
                return Some(thread);
            }
        }
        None
    }

    /// Has a new thread started by the host.
    pub(super) fn start(&mut self, thread: Thread) {
        self.runnable.push_back(Runnable { op: None, thread });
    }

    pub(super) fn at(&mut self, at: Timestamp, due: Due) {
        self.due_asked += 1;
        self.due.insert((at, self.due_asked), due);
    }
}
