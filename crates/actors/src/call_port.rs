//! Where the answer to one call goes, and what the call holds until it is settled.
//!
//! Owns: answering exactly once (A8), also when the call is dropped on the way; the call's memory permit; its place in
//! the counters of its slot and game. Does not own: deciding the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Caller, Head};
use clawstore_core::ops::CallResult;
use clawstore_core::{CallError, Outcome};
use tokio::sync::{mpsc, oneshot};

use crate::admission::Permit;
use crate::game::{Counters, Game};
use crate::inbox::{Inbox, VmEvent};
use crate::rates::Meter;
use crate::slot::Slot;

/// Who waits for the answer.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// A VM, under the number of the call there.
    Vm(Arc<Inbox>, u64),
    /// A Rust task.
    Task(oneshot::Sender<CallResult>),
    /// The next stage of the call, which ends it.
    Stage(oneshot::Sender<CallResult>),
    /// A Rust task that runs a transform, at most one event of each kind at a time.
    Updater(mpsc::UnboundedSender<VmEvent>),
}

impl ReplyTo {
    /// Counts the end of the call, unless a stage of it is left, and answers.
    pub(crate) fn end(self, result: CallResult, counters: &Counters) {
        if !matches!(self, Self::Stage(_)) {
            counters.call_ended(&result);
        }
        match self {
            Self::Vm(inbox, op) => inbox.push(VmEvent::Done { op, result }),
            // A task that has gone wants no answer.
            Self::Task(reply) | Self::Stage(reply) => drop(reply.send(result)),
            Self::Updater(events) => drop(events.send(VmEvent::Done { op: 0, result })),
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Vm(inbox, _) => inbox.is_closed(),
            Self::Task(reply) | Self::Stage(reply) => reply.is_closed(),
            Self::Updater(events) => events.is_closed(),
        }
    }
}

/// The call's end of the line. Dropping it unanswered answers with FAIL, or UNKNOWN if the flusher has the write.
#[derive(Debug)]
pub(crate) struct CallPort {
    reply: Option<ReplyTo>,
    slot: Arc<Slot>,
    counters: Arc<Counters>,
    /// Given back when the call is settled.
    permit: Option<Permit>,
    /// It is one of the slot's unsettled writes, which reads wait for.
    unsettled: AtomicBool,
    /// The flusher has it: it may be in a batch.
    accepted: bool,
    /// A read behind writes that must be told what the store says, if the key may not be owned any more by then.
    confirm: Option<Box<Confirm>>,
    /// Counts what the call brings.
    meter: Option<Box<Meter>>,
}

/// How a read of an owned key is confirmed.
#[derive(Debug)]
struct Confirm {
    game: Arc<Game>,
    use_cache: bool,
    /// Of the call: it must have been answered by then, wherever it goes.
    deadline: Moment,
}

impl CallPort {
    pub(crate) fn new(reply: ReplyTo, slot: Arc<Slot>, counters: Arc<Counters>, permit: Permit) -> Self {
        permit.count_for(&slot.held_bytes);
        slot.open.fetch_add(1, Ordering::Relaxed);
        counters.call_opened();
        Self {
            reply: Some(reply),
            slot,
            counters,
            permit: Some(permit),
            unsettled: AtomicBool::new(false),
            accepted: false,
            confirm: None,
            meter: None,
        }
    }

    /// The answer of the owner counts only while the key is surely owned (`decisions.md` 9).
    pub(crate) fn confirm_with(&mut self, game: &Arc<Game>, use_cache: bool, deadline: Moment) {
        if game.ownership.is_some() {
            self.confirm = Some(Box::new(Confirm { game: Arc::clone(game), use_cache, deadline }));
        }
    }

    /// Has what the call brings counted.
    pub(crate) fn measure_with(&mut self, meter: Option<Meter>) {
        self.meter = meter.map(Box::new);
    }

    /// Has it counted as another part of the call would have.
    pub(crate) fn go_on_measuring(&mut self, meter: Option<Box<Meter>>) {
        self.meter = meter;
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Answers, if it is not answered yet.
    pub(crate) fn answer(&mut self, result: CallResult) {
        // First: who hears the answer may read at once, and must not be kept waiting for the write that it has heard of.
        // A write whose outcome is not known stays one that reads wait for, until it is settled (`decisions.md` 9).
        if !matches!(&result, Err(CallError { outcome: Outcome::Unknown, .. })) {
            self.set_unsettled(false);
        }
        if let Some(Confirm { game, use_cache, deadline }) = self.confirm.take().map(|confirm| *confirm)
            && result.is_ok()
            && !game.is_surely_owned(&self.slot.lock(), use_cache)
            && let Some(reply) = self.reply.take()
        {
            return game.read_from_store(&self.slot.key, deadline, reply, self.meter.take());
        }
        if let Some(reply) = self.reply.take() {
            if let Some(meter) = &self.meter {
                meter.ended(&self.slot.key, &result);
            }
            reply.end(result, &self.counters);
        }
    }

    /// Has a read of a shared key answered with what the store has now.
    pub(crate) fn answer_from_store(&mut self, game: &Arc<Game>, deadline: Moment) {
        if let Some(reply) = self.reply.take() {
            game.read_from_store(&self.slot.key, deadline, reply, self.meter.take());
        }
    }

    /// Asks the VM for another run. Meanwhile nobody's read waits for this call.
    pub(crate) fn ask_rerun(&self, from: u64, ask: u64, head: Head) {
        self.set_unsettled(false);
        let event = VmEvent::Rerun { key: self.slot.key.clone(), from, ask, head };
        match &self.reply {
            Some(ReplyTo::Vm(inbox, _)) => inbox.push(event),
            Some(ReplyTo::Updater(events)) => drop(events.send(event)),
            Some(ReplyTo::Task(_) | ReplyTo::Stage(_)) | None => {}
        }
    }

    /// The call joins or leaves the slot's unsettled writes.
    pub(crate) fn set_unsettled(&self, unsettled: bool) {
        if self.unsettled.swap(unsettled, Ordering::AcqRel) != unsettled {
            if unsettled {
                self.slot.unsettled.fetch_add(1, Ordering::AcqRel);
            } else {
                self.slot.unsettled.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// The flusher takes it over, or gives it back.
    pub(crate) fn set_accepted(&mut self, accepted: bool) {
        self.accepted = accepted;
    }
}

impl Caller for CallPort {
    fn is_gone(&self) -> bool {
        self.reply.as_ref().is_none_or(ReplyTo::is_gone)
    }
}

impl Drop for CallPort {
    fn drop(&mut self) {
        if self.reply.is_some() {
            let lost = if self.accepted {
                CallError::unknown("An internal error lost the request.")
            } else {
                CallError::internal()
            };
            self.answer(Err(lost));
        }
        self.set_unsettled(false);
        // A drain that finds nothing open finds every permit given back.
        if let Some(permit) = self.permit.take() {
            permit.give_back_of(&self.slot.held_bytes);
        }
        self.slot.open.fetch_sub(1, Ordering::AcqRel);
        self.counters.call_settled();
    }
}
