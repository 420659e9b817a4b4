//! What happens to a VM's calls at a time: waits, late results, late messages.
//!
//! Owns: holding back and releasing what is not due yet, and which clock that goes by. Does not own: why something is late
//! (`control`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clawstore_core::CallError;
use clawstore_core::clock::Timestamp;
use clawstore_core::ops::Reply;
use mlua::{Lua, Thread};

use super::calls::Due;
use super::{Ended, Started, Vm};
use crate::shared::borrow;

impl Vm {
    /// What waits are measured by: simulated time where there is some, else time that nobody sets back.
    pub(crate) fn clock(&self) -> Timestamp {
        self.server.steady()
    }

    /// Starts a call that does nothing and ends after this time, by the server's clock.
    pub(crate) fn sleep(&self, lua: &Lua, time: Duration) -> Started {
        let op = self.server.next_writer().op;
        self.open(lua, op, None);
        self.hold_back(op, time);
        borrow(&self.calls).end(op, Ended::Done(Ok(Reply::Nothing)));
        self.note_next_due();
        Started::Ticket(op)
    }

    /// Has a new thread started by the host at this time, without arguments; a time that is past is now.
    pub(super) fn start_at(&self, thread: Thread, at: Timestamp) {
        if at <= self.clock() {
            return borrow(&self.calls).start(thread);
        }
        borrow(&self.calls).at(at, Due::Start(thread));
        self.note_next_due();
    }

    /// A call under the conditions of a simulated run: shown after `latency`; where calls are settled, its end is waited for
    /// here. One that waits for budget has its time, and is settled, when it starts.
    pub(crate) fn controlled(
        &self,
        lua: &Lua,
        started: Started,
        latency: Duration,
        lost: Option<CallError>,
    ) -> Started {
        let op = match &started {
            Started::Ticket(op) | Started::With(op, _) => *op,
            Started::Ended(_) => {
                let op = self.server.next_writer().op;
                self.open(lua, op, None);
                op
            }
        };
        if let Some(call) = borrow(&self.calls).open.get_mut(&op) {
            call.lost = lost;
        }
        if self.gate.delay(op, latency) {
            return started;
        }
        self.hold_back(op, latency);
        let started = match started {
            Started::Ended(ended) => {
                borrow(&self.calls).end(op, ended);
                Started::Ticket(op)
            }
            open => open,
        };
        self.settle(lua, op);
        self.note_next_due();
        started
    }

    /// Waits for the end of a call, where that is done. What is due is shown later: when the caller has yielded.
    pub(super) fn settle(&self, lua: &Lua, op: u64) {
        let Some(control) = self.options.control.as_ref().filter(|control| control.settles_calls()) else { return };
        let _settling = Settling::begin(&self.is_settling);
        while !borrow(&self.calls).has_ended(op) {
            control.wait();
            self.take_answers(lua);
        }
    }

    pub(super) fn hold_back(&self, op: u64, time: Duration) {
        let at = after(self.clock(), time);
        if let Some(call) = borrow(&self.calls).open.get_mut(&op) {
            call.not_before = call.not_before.max(at);
        }
    }

    /// When something of this VM is due that nobody will announce.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let call = borrow(&self.calls).due.first_key_value().map(|((at, _), _)| *at);
        call.into_iter().chain(self.gate.next_due()).min()
    }

    /// The same by the wall clock, for a host.
    pub(crate) fn next_due_by_wall(&self) -> Option<Timestamp> {
        let (wall, now) = (self.server.wall().ticks(), self.clock().ticks());
        let at = self.next_due()?.ticks();
        Some(Timestamp::from_ticks(wall.saturating_add(at.saturating_sub(now))))
    }

    /// Is anything due, now or later, that somebody waits for?
    pub(crate) fn has_due_work(&self) -> bool {
        let is_waited_for = borrow(&self.calls).due.values().any(|due| !matches!(due, Due::Look(_)));
        is_waited_for || (self.gate.next_due().is_some() && self.stuck_calls() == 0)
    }

    /// Does what is due by now.
    pub(super) fn release_due(&self) {
        let mut calls = borrow(&self.calls);
        if (calls.due.is_empty() && calls.unmarked.is_empty()) || self.is_settling.load(Ordering::Relaxed) {
            return;
        }
        for op in std::mem::take(&mut calls.unmarked) {
            calls.show(op);
        }
        let now = self.clock();
        while let Some(first) = calls.due.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                Due::End(op) => calls.show(op),
                Due::Start(thread) | Due::Look(thread) => calls.start(thread),
            }
        }
        drop(calls);
        self.note_next_due();
    }

    pub(super) fn note_next_due(&self) {
        let first = self.next_due().map_or(u64::MAX, Timestamp::ticks);
        let is_all_marked = borrow(&self.calls).unmarked.is_empty();
        self.next_due.store(if is_all_marked { first } else { 0 }, Ordering::Relaxed);
    }

    pub(super) fn is_anything_due(&self) -> bool {
        let next = self.next_due.load(Ordering::Relaxed);
        next != u64::MAX && self.clock().ticks() >= next
    }
}

/// The end of a call is waited for inside the call; also if a host's function panics there.
struct Settling<'a>(&'a AtomicBool);

impl<'a> Settling<'a> {
    fn begin(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag)
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A time that comes this much later.
pub(super) fn after(now: Timestamp, time: Duration) -> Timestamp {
    let ticks = u64::try_from(time.as_nanos() / 100).unwrap_or(u64::MAX);
    Timestamp::from_ticks(now.ticks().saturating_add(ticks))
}
