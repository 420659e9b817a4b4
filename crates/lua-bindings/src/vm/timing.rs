//! What happens to a VM's calls at a time: waits, late results, late messages.
//!
//! Owns: holding back and releasing what is not due yet, and which clock that goes by. Does not own: why something is late
//! (`control`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clawstore_core::CallError;
use clawstore_core::clock::{Moment, Timestamp};
use clawstore_core::ops::Reply;
use mlua::{Lua, Thread};

use super::calls::Due;
use super::{Ended, Started, Vm};
use crate::shared::borrow;

impl Vm {
    /// What waits are measured by: simulated time where there is some, else time that nobody sets back.
    pub(crate) fn clock(&self) -> Timestamp {
        match &self.options.control {
            Some(_) => self.server.wall(),
            None => after(Timestamp::default(), self.server.now().since(Moment::default())),
        }
    }

    /// Starts a call that does nothing and ends after this time, by the server's clock.
    pub(crate) fn sleep(&self, lua: &Lua, time: Duration) -> Started {
        let op = self.server.next_writer().op;
        self.open(lua, op, None);
        self.hold_back(op, time, None);
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

    /// A call under the conditions of a simulated run: shown after `latency`; with `wait`, its end is waited for here.
    pub(crate) fn controlled(
        &self,
        lua: &Lua,
        started: Started,
        latency: Duration,
        lost: Option<CallError>,
        wait: Option<impl Fn()>,
    ) -> Started {
        let op = match &started {
            Started::Ticket(op) | Started::With(op, _) => *op,
            Started::Ended(_) => {
                let op = self.server.next_writer().op;
                self.open(lua, op, None);
                op
            }
        };
        self.hold_back(op, latency, lost);
        let started = match started {
            Started::Ended(ended) => {
                borrow(&self.calls).end(op, ended);
                Started::Ticket(op)
            }
            open => open,
        };
        if let Some(wait) = wait {
            // What is due is shown when the caller has yielded.
            let _settling = Settling::begin(&self.is_settling);
            while !borrow(&self.calls).has_ended(op) {
                wait();
                self.take_answers(lua);
            }
        }
        self.note_next_due();
        started
    }

    fn hold_back(&self, op: u64, time: Duration, lost: Option<CallError>) {
        let at = after(self.clock(), time);
        if let Some(call) = borrow(&self.calls).open.get_mut(&op) {
            call.not_before = call.not_before.max(at);
            call.lost = lost;
        }
    }

    /// When something of this VM is due that nobody will announce.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        borrow(&self.calls).due.first_key_value().map(|((at, _), _)| *at)
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
                Due::Start(thread) => calls.start(thread),
            }
        }
        drop(calls);
        self.note_next_due();
    }

    fn note_next_due(&self) {
        let calls = borrow(&self.calls);
        let first = calls.due.first_key_value().map_or(u64::MAX, |((at, _), _)| at.ticks());
        self.next_due.store(if calls.unmarked.is_empty() { first } else { 0 }, Ordering::Relaxed);
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
