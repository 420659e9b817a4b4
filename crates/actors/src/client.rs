//! How calls enter: for VMs without waiting, for Rust tasks as futures.
//!
//! Owns: the way of one call from its request to the key's mailbox or FIFO (`decisions.md` 7, 9), and running a Rust
//! transform again when it lost a race. Does not own: what the call does, what its slot does next (`activation`).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clawstore_core::budget::Charge;
use clawstore_core::clock::Timestamp;
use clawstore_core::key_machine::{Head, Input, Op, Rerun, VmId, Writer};
use clawstore_core::limits::READ_CACHE_TTL;
use clawstore_core::ops::{CallResult, Reply, Request, Set, Update};
use clawstore_core::{CallError, Entry, EntryKey};
use metrics::counter;
use ractor::MessagingErr;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::admission::Permit;
use crate::call_port::{CallPort, ReplyTo};
use crate::game::Game;
use crate::inbox::VmEvent;
use crate::metric_definitions::REFUSED_TOTAL;
use crate::slot::{Activation, Flight, KeyMsg, Slot, SlotState};

impl Game {
    /// Makes a call on its key. Synchronous, needs no runtime context, never waits; the answer goes to `reply`.
    pub(crate) fn submit(
        self: &Arc<Self>,
        key: &EntryKey,
        writer: Writer,
        at: Timestamp,
        request: Request,
        reply: ReplyTo,
    ) {
        let admitted = self.admit(&request);
        self.directory.with_slot(key, |slot, state| {
            let (permit, refusal) = match admitted {
                Ok(permit) => (Some(permit), None),
                Err(refusal) => (None, Some(refusal)),
            };
            let mut caller = CallPort::new(reply, Arc::clone(slot), Arc::clone(&self.counters), permit);
            if let Some(refusal) = refusal {
                caller.answer(Err(refusal));
                return;
            }
            caller.set_unsettled(request.is_write());
            let deadline = self.clock.now() + self.config.call_deadline;
            self.deliver(slot, state, Input::Call(Box::new(Op { writer, at, deadline, request, caller })));
        });
    }

    fn admit(&self, request: &Request) -> Result<Permit, CallError> {
        let refuse = |reason: &'static str, error| {
            counter!(REFUSED_TOTAL, "reason" => reason).increment(1);
            Err(error)
        };
        if self.is_closed() {
            return refuse("closing", CallError::closing());
        }
        if let Err(error) = request.validate() {
            return refuse("invalid", error);
        }
        match self.admission.admit(Charge::of(request)) {
            Some(permit) => Ok(permit),
            None => refuse("memory", CallError::memory_full()),
        }
    }

    /// Puts a message where it will be taken in order.
    fn deliver(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut SlotState, msg: KeyMsg) {
        slot.last_used.store(self.sweeps.load(Ordering::Relaxed), Ordering::Relaxed);
        match &mut state.activation {
            Activation::Live(actor) => {
                // The actor has died: the message comes back and starts the next activation.
                if let Err(MessagingErr::SendErr(msg)) = actor.cast(msg) {
                    self.activate(slot, state, msg, true);
                }
            }
            Activation::Activating(waiting) => waiting.push_back(msg),
            Activation::Vacant => self.activate(slot, state, msg, false),
            Activation::Quarantined(until) => {
                if self.clock.now() < *until || slot.has_unsettled_besides(&msg) {
                    refuse_quarantined(msg);
                } else {
                    self.activate(slot, state, msg, true);
                }
            }
            Activation::Removed => unreachable!("`with_slot` looks again"),
        }
    }

    /// Tells a key's machine something, if it has one or is getting one.
    pub(crate) fn tell(self: &Arc<Self>, key: &EntryKey, msg: KeyMsg) {
        let Some(slot) = self.directory.existing(key) else { return };
        let mut state = slot.lock();
        match &mut state.activation {
            Activation::Live(actor) => drop(actor.cast(msg)),
            Activation::Activating(waiting) => waiting.push_back(msg),
            Activation::Vacant | Activation::Quarantined(_) | Activation::Removed => {}
        }
    }

    /// Reads: `Some` if the value is at hand, else the answer goes to `reply` (`decisions.md` 9).
    pub(crate) fn read(
        self: &Arc<Self>,
        key: &EntryKey,
        writer: Writer,
        use_cache: bool,
        reply: ReplyTo,
    ) -> Option<CallResult> {
        if self.is_closed() {
            return Some(Err(CallError::closing()));
        }
        self.directory.with_slot(key, |slot, state| {
            match &state.activation {
                Activation::Live(_) if !slot.has_unsettled() => {
                    slot.last_used.store(self.sweeps.load(Ordering::Relaxed), Ordering::Relaxed);
                    return Some(found(&state.durable));
                }
                Activation::Live(_) | Activation::Activating(_) => {
                    let caller = CallPort::new(reply, Arc::clone(slot), Arc::clone(&self.counters), None);
                    let (at, deadline) = (self.clock.wall(), self.clock.now() + self.config.call_deadline);
                    let op = Box::new(Op { writer, at, deadline, request: Request::Get, caller });
                    self.deliver(slot, state, Input::Call(op));
                    return None;
                }
                Activation::Vacant | Activation::Quarantined(_) => {}
                Activation::Removed => unreachable!("`with_slot` looks again"),
            }
            let now = self.clock.now();
            if use_cache && state.cached_at.is_some_and(|at| now.since(at) < READ_CACHE_TTL) {
                return Some(found(&state.durable));
            }
            let caller = CallPort::new(reply, Arc::clone(slot), Arc::clone(&self.counters), None);
            self.join_flight(slot, state, caller, use_cache);
            None
        })
    }

    fn join_flight(&self, slot: &Arc<Slot>, state: &mut SlotState, caller: CallPort, may_join: bool) {
        let generation = state.generation;
        match &mut state.flight {
            Some(flight) if may_join && flight.generation == generation => flight.waiters.push(caller),
            _ if !may_join => self.reader.read_alone(slot, generation, caller),
            flight => {
                // An older generation's flight still answers those who were on it before the key was activated.
                let old = flight.take().map(|flight| flight.waiters).unwrap_or_default();
                let waiters = old.into_iter().chain([caller]).collect();
                *flight = Some(Flight { generation, waiters });
                self.reader.read_flight(slot, generation);
            }
        }
    }

    pub(crate) fn published_head(&self, key: &EntryKey) -> Option<Head> {
        let slot = self.directory.existing(key)?;
        let state = slot.lock();
        matches!(state.activation, Activation::Live(_)).then(|| state.head.clone())
    }

    /// Makes a call from a Rust task.
    ///
    /// # Errors
    /// As the same call of a script would raise.
    pub async fn call(self: &Arc<Self>, key: &EntryKey, request: Request) -> CallResult {
        let writer = Writer { vm: self.new_vm(), op: 0 };
        let (reply, answer) = oneshot::channel();
        let reply = ReplyTo::Task(reply);
        if request == Request::Get {
            if let Some(result) = self.read(key, writer, true, reply) {
                return result;
            }
        } else {
            self.submit(key, writer, self.clock.wall(), request, reply);
        }
        answer.await.unwrap_or_else(|_| Err(CallError::internal()))
    }

    /// `UpdateAsync` from a Rust task: `transform` may run several times and must have no side effects. `Ok(None)`
    /// cancels.
    ///
    /// # Errors
    /// The transform's own error, or that of the call.
    pub async fn update<E: From<CallError>>(
        self: &Arc<Self>,
        key: &EntryKey,
        mut transform: impl FnMut(&Entry) -> Result<Option<Set>, E>,
    ) -> Result<Reply, E> {
        let (events, mut arrived) = mpsc::unbounded_channel();
        let writer = Writer { vm: self.new_vm(), op: 0 };
        let mut run = |head: &Head| -> Result<Update, E> {
            Ok(Update { base: Some(head.base()), result: transform(&head.entry)? })
        };
        let first = self.published_head(key).map_or(Ok(Update::NOT_RUN), |head| run(&head))?;
        let mut guard = GoneGuard { game: self, key, vm: writer.vm, armed: true };
        self.submit(key, writer, self.clock.wall(), Request::Update(first), ReplyTo::Updater(events));
        while let Some(event) = arrived.recv().await {
            match event {
                VmEvent::Done { result, .. } => {
                    guard.armed = false;
                    return result.map_err(E::from);
                }
                VmEvent::Rerun { head, .. } => {
                    let update = run(&head)?;
                    self.tell(key, Input::Rerun(writer.vm, vec![Rerun { op: writer.op, update: Some(update) }]));
                }
            }
        }
        Err(E::from(CallError::internal()))
    }
}

/// Ends a held update whose task was dropped or whose transform failed.
struct GoneGuard<'a> {
    game: &'a Arc<Game>,
    key: &'a EntryKey,
    vm: VmId,
    armed: bool,
}

impl Drop for GoneGuard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.game.tell(self.key, Input::VmGone(self.vm));
        }
    }
}

fn found(entry: &Arc<Entry>) -> CallResult {
    Ok(Reply::Entry(Arc::clone(entry)))
}

fn refuse_quarantined(msg: KeyMsg) {
    if let Input::Call(mut op) = msg {
        counter!(REFUSED_TOTAL, "reason" => "quarantined").increment(1);
        op.caller.answer(Err(CallError::quarantined()));
    }
}

/// Waits for `future` at most until `until`.
#[expect(clippy::disallowed_methods, reason = "the one place that bounds a wait by time")]
pub(crate) async fn timeout_at<F: Future>(until: Instant, future: F) -> Option<F::Output> {
    tokio::time::timeout_at(until, future).await.ok()
}
