//! Where the answer to a call goes (mirrors `actors::call_port` and `actors::inbox`).
//!
//! Owns: answering exactly once, also when the call is dropped on the way; its place in the counters of its key. Does not own:
//! what the VM makes of the answer (`vm`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Caller, Head};
use clawstore_core::ops::CallResult;
use clawstore_core::{CallError, Outcome};

/// Something for a VM.
#[derive(Debug)]
pub(super) enum VmEvent {
    /// A call has ended.
    Done { op: u64, result: CallResult },
    /// The update `from` and the VM's later calls on the key must run again on `head`.
    Rerun { key: usize, from: u64, ask: u64, head: Head },
}

/// The inbox of one VM.
#[derive(Debug)]
pub(super) struct Inbox {
    vm: usize,
    pub(super) events: RefCell<VecDeque<VmEvent>>,
    pub(super) is_closed: Cell<bool>,
}

impl Inbox {
    pub(super) fn new(vm: usize) -> Rc<Self> {
        Rc::new(Self { vm, events: RefCell::default(), is_closed: Cell::new(false) })
    }

    pub(super) fn push(&self, shared: &Shared, event: VmEvent) {
        if !self.is_closed.get() {
            self.events.borrow_mut().push_back(event);
            shared.woken.borrow_mut().push(self.vm);
        }
    }
}

/// Open calls of a key, and writes of it that reads wait for.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) open: Cell<u32>,
    pub(super) unsettled: Cell<u32>,
}

/// What ports know of their process, and what they leave for it to do.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Owned values may be shown until then.
    pub(super) trusted_until: Cell<Moment>,
    pub(super) now: Cell<Moment>,
    /// VMs with something in their inbox.
    pub(super) woken: RefCell<Vec<usize>>,
    /// Reads whose answer counts only if the key is surely owned now.
    pub(super) to_confirm: RefCell<Vec<Confirm>>,
    /// Calls that were dropped unanswered, with their keys.
    pub(super) dropped: RefCell<Vec<(usize, u64)>>,
    /// The process is gone: nobody is answered.
    pub(super) is_gone: Cell<bool>,
}

impl Shared {
    /// May owned values be shown without asking the store?
    pub(super) fn may_show_owned(&self, use_cache: bool) -> bool {
        use_cache && self.now.get() < self.trusted_until.get()
    }
}

/// A read with what it would be answered with.
#[derive(Debug)]
pub(super) struct Confirm {
    pub(super) key: usize,
    pub(super) op: u64,
    pub(super) use_cache: bool,
    pub(super) deadline: Moment,
    pub(super) inbox: Rc<Inbox>,
    pub(super) result: CallResult,
}

/// The call's end of the line.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) key: usize,
    op: u64,
    inbox: Rc<Inbox>,
    counts: Rc<Counts>,
    shared: Rc<Shared>,
    is_answered: bool,
    is_unsettled: Cell<bool>,
    /// The flusher has it: it may be in a batch.
    is_accepted: bool,
    /// A read behind writes, with or without the cache, that must be confirmed by its deadline.
    confirm: Option<(bool, Moment)>,
}

impl Port {
    pub(super) fn new(key: usize, op: u64, inbox: &Rc<Inbox>, counts: &Rc<Counts>, shared: &Rc<Shared>) -> Self {
        counts.open.update(|open| open + 1);
        Self {
            key,
            op,
            inbox: Rc::clone(inbox),
            counts: Rc::clone(counts),
            shared: Rc::clone(shared),
            is_answered: false,
            is_unsettled: Cell::new(false),
            is_accepted: false,
            confirm: None,
        }
    }

    pub(super) fn confirm_with(&mut self, use_cache: bool, deadline: Moment) {
        self.confirm = Some((use_cache, deadline));
    }

    /// Answers, if it is not answered yet.
    pub(super) fn answer(&mut self, result: CallResult) {
        if !matches!(&result, Err(CallError { outcome: Outcome::Unknown, .. })) {
            self.set_unsettled(false);
        }
        if self.is_answered {
            return;
        }
        self.is_answered = true;
        if let Some((use_cache, deadline)) = self.confirm
            && result.is_ok()
        {
            let (key, op, inbox) = (self.key, self.op, Rc::clone(&self.inbox));
            let confirm = Confirm { key, op, use_cache, deadline, inbox, result };
            self.shared.to_confirm.borrow_mut().push(confirm);
            return;
        }
        self.inbox.push(&self.shared, VmEvent::Done { op: self.op, result });
    }

    /// Asks the VM for another run. Meanwhile nobody's read waits for this call.
    pub(super) fn ask_rerun(&self, from: u64, ask: u64, head: Head) {
        self.set_unsettled(false);
        self.inbox.push(&self.shared, VmEvent::Rerun { key: self.key, from, ask, head });
    }

    /// The call joins or leaves the key's unsettled writes.
    pub(super) fn set_unsettled(&self, is_unsettled: bool) {
        if self.is_unsettled.replace(is_unsettled) != is_unsettled {
            let count = &self.counts.unsettled;
            count.set(if is_unsettled { count.get() + 1 } else { count.get() - 1 });
        }
    }

    /// The flusher takes it over, or gives it back.
    pub(super) fn set_accepted(&mut self, is_accepted: bool) {
        self.is_accepted = is_accepted;
    }
}

impl Caller for Port {
    fn is_gone(&self) -> bool {
        self.is_answered || self.inbox.is_closed.get()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if self.shared.is_gone.get() {
            return;
        }
        if !self.is_answered {
            self.shared.dropped.borrow_mut().push((self.key, self.op));
            let accepted = self.is_accepted;
            let lost = if accepted {
                CallError::unknown("An internal error lost the request.")
            } else {
                CallError::internal()
            };
            self.answer(Err(lost));
        }
        self.set_unsettled(false);
        self.counts.open.update(|open| open - 1);
    }
}
