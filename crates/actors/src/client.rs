//! How calls enter: for VMs without waiting, for Rust tasks as futures.
//!
//! Owns: the way of one call from its request to the key's mailbox or FIFO (`decisions.md` 7, 9), and running a Rust
//! transform again when it lost a race. Does not own: what the call does, what its slot does next (`activation`).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clawstore_core::budget::Charge;
use clawstore_core::clock::{Moment, Timestamp};
use clawstore_core::key_machine::{Head, Input, Op, Rerun, VmId, Writer};
use clawstore_core::limits::{READ_CACHE_TTL, WANTED_BEFORE_READ};
use clawstore_core::ops::{CallResult, Reply, Request, Set, Update};
use clawstore_core::{CallError, Entry, EntryKey};
use metrics::counter;
use ractor::MessagingErr;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::admission::{Ceiling, Permit};
use crate::call_port::{CallPort, ReplyTo};
use crate::game::Game;
use crate::inbox::VmEvent;
use crate::metric_definitions::{REFUSED_TOTAL, REQUESTS_TOTAL, TRACE_CALLS};
use crate::rates::{Meter, Metered};
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
        self.submit_within(Ceiling::Holds, key, writer, at, request, reply);
    }

    /// The same, perhaps past the ceilings of memory permits.
    pub(crate) fn submit_within(
        self: &Arc<Self>,
        ceiling: Ceiling,
        key: &EntryKey,
        writer: Writer,
        at: Timestamp,
        request: Request,
        reply: ReplyTo,
    ) {
        tracing::trace!(target: TRACE_CALLS, %key, ?writer, "call");
        let charge = Charge::of(key.store.kind, &request);
        let permit = match request
            .validate(key.store.kind)
            .map_err(|error| ("invalid", error))
            .and_then(|()| self.admit_within(ceiling, charge))
        {
            Ok(permit) => permit,
            Err((reason, error)) => return self.refuse(reason, error, reply),
        };
        let refused = self.directory.with_slot(key, |slot, state| {
            let mut caller = CallPort::new(reply, Arc::clone(slot), Arc::clone(&self.counters), permit);
            caller.set_unsettled(request.is_write());
            if let Request::Update(_) = &request {
                caller.measure_with(self.meter(Metered::ReadAndWritten));
            }
            let deadline = self.clock.now() + self.config.call_deadline;
            self.deliver(slot, state, Input::Call(Box::new(Op { writer, at, deadline, request, caller })))
        });
        self.answer_refused(refused);
    }

    pub(crate) fn admit(&self, charge: Charge) -> Result<Permit, (&'static str, CallError)> {
        self.admit_within(Ceiling::Holds, charge)
    }

    fn admit_within(&self, ceiling: Ceiling, charge: Charge) -> Result<Permit, (&'static str, CallError)> {
        if self.is_closed() {
            return Err(("closing", CallError::closing()));
        }
        if self.is_deleted() {
            return Err(("deleted", CallError::deleted()));
        }
        if self.is_halted() {
            return Err(("halted", CallError::unavailable("The store has stopped after a fault.")));
        }
        for kind in charge.requests {
            counter!(REQUESTS_TOTAL, "type" => kind.name()).increment(1);
        }
        self.admission.admit(charge, ceiling).ok_or_else(|| ("memory", CallError::memory_full()))
    }

    pub(crate) fn refuse(&self, reason: &'static str, error: CallError, reply: ReplyTo) {
        counter!(REFUSED_TOTAL, "reason" => reason).increment(1);
        reply.end(Err(error), &self.counters);
    }

    /// Answers what `deliver` gave back. Never under a slot's lock: answering runs the host's wake-up.
    fn answer_refused(&self, refused: Option<(KeyMsg, CallError)>) {
        if let Some((Input::Call(mut op), error)) = refused {
            counter!(REFUSED_TOTAL, "reason" => "unavailable").increment(1);
            op.caller.answer(Err(error));
        }
    }

    /// Puts a message where it will be taken in order; gives it back with the reason if the key takes none.
    fn deliver(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut SlotState, msg: KeyMsg) -> Option<(KeyMsg, CallError)> {
        slot.last_used.store(self.seconds.load(Ordering::Relaxed), Ordering::Relaxed);
        match &mut state.activation {
            Activation::Live(actor) => {
                // The actor has died: the message comes back and starts the next activation.
                if let Err(MessagingErr::SendErr(msg)) = actor.cast(msg) {
                    self.key_left();
                    return self.activate(slot, state, msg, true);
                }
            }
            Activation::Activating(waiting) | Activation::Leaving(_, waiting) => waiting.push_back(msg),
            Activation::Vacant => return self.activate(slot, state, msg, false),
            Activation::Quarantined(until) => {
                if self.clock.now() < *until || slot.has_unsettled_besides(&msg) {
                    return Some((msg, CallError::quarantined()));
                }
                return self.activate(slot, state, msg, true);
            }
            Activation::Removed => unreachable!("`with_slot` looks again"),
        }
        None
    }

    /// Tells a key's machine something, if it has one or is getting one.
    pub(crate) fn tell(self: &Arc<Self>, key: &EntryKey, msg: KeyMsg) {
        let Some(slot) = self.directory.existing(key) else { return };
        let mut state = slot.lock();
        match &mut state.activation {
            Activation::Live(actor) => drop(actor.cast(msg)),
            Activation::Activating(waiting) | Activation::Leaving(_, waiting) => waiting.push_back(msg),
            Activation::Vacant | Activation::Quarantined(_) | Activation::Removed => {}
        }
    }

    /// The durable value of a key, if a read may be answered with it now.
    pub(crate) fn read_at_hand(&self, key: &EntryKey, use_cache: bool) -> Option<Arc<Entry>> {
        if self.is_closed() || self.is_deleted() {
            return None;
        }
        self.directory.look(key, |slot| self.at_hand(slot, &slot.lock(), use_cache))
    }

    /// Reads: `Some` if the value is at hand, else the answer goes to `reply` (`decisions.md` 9).
    pub(crate) fn read(
        self: &Arc<Self>,
        key: &EntryKey,
        writer: Writer,
        use_cache: bool,
        reply: impl FnOnce() -> ReplyTo,
    ) -> Option<CallResult> {
        if self.is_closed() {
            return Some(Err(CallError::closing()));
        }
        if self.is_deleted() {
            return Some(Err(CallError::deleted()));
        }
        let refused = self.directory.with_slot(key, |slot, state| {
            if let Some(entry) = self.at_hand(slot, state, use_cache) {
                return Err(Ok(Reply::Entry(entry)));
            }
            let permit = self.admit(Charge::of(key.store.kind, &Request::Get)).map_err(|(_, error)| Err(error))?;
            let mut caller = CallPort::new(reply(), Arc::clone(slot), Arc::clone(&self.counters), permit);
            caller.measure_with(self.meter(Metered::Read));
            let (at, deadline) = (self.clock.wall(), self.clock.now() + self.config.call_deadline);
            if self.is_answered_by_owner(slot, state) {
                caller.confirm_with(self, use_cache, deadline);
                let op = Box::new(Op { writer, at, deadline, request: Request::Get, caller });
                return Ok(self.deliver(slot, state, Input::Call(op)));
            }
            self.board_flight(slot, state, deadline, caller, use_cache);
            Ok(None)
        });
        match refused {
            Err(result) => {
                // At hand, and charged all the same: past the cache.
                if let Some(meter) = self.meter(Metered::Read) {
                    meter.ended(key, &result);
                }
                Some(result)
            }
            Ok(refused) => {
                self.answer_refused(refused);
                None
            }
        }
    }

    /// Does a read go the way of the writes? It must where it waits for some; where there are leases, a value that may not
    /// be shown without asking is read from the store instead (`decisions.md` 9).
    fn is_answered_by_owner(&self, slot: &Slot, state: &SlotState) -> bool {
        match state.activation {
            Activation::Live(_) => self.ownership.is_none() || slot.has_unsettled(),
            Activation::Activating(_) | Activation::Leaving(..) => true,
            Activation::Vacant | Activation::Quarantined(_) | Activation::Removed => false,
        }
    }

    /// May the value of an owned key be shown without asking the store?
    pub(crate) fn is_surely_owned(&self, state: &SlotState, use_cache: bool) -> bool {
        let wanted_for_long =
            || state.wanted_since.is_some_and(|since| self.clock.now().since(since) > WANTED_BEFORE_READ);
        self.ownership.is_none() || (state.lease.is_some() && self.may_show_owned(use_cache) && !wanted_for_long())
    }

    /// May owned values be shown without asking the store?
    pub(crate) fn may_show_owned(&self, use_cache: bool) -> bool {
        self.ownership.as_ref().is_none_or(|ownership| use_cache && ownership.is_trusted(self.clock.now()))
    }

    /// Reads what the store has now, whoever owns the key. `deadline` and `meter`: of the call that this is a part of.
    pub(crate) fn read_from_store(
        self: &Arc<Self>,
        key: &EntryKey,
        deadline: Moment,
        reply: ReplyTo,
        meter: Option<Box<Meter>>,
    ) {
        let permit = match self.admit(Charge::of(key.store.kind, &Request::Get)) {
            Ok(permit) => permit,
            Err((reason, error)) => return self.refuse(reason, error, reply),
        };
        self.directory.with_slot(key, |slot, state| {
            let mut caller = CallPort::new(reply, Arc::clone(slot), Arc::clone(&self.counters), permit);
            caller.go_on_measuring(meter);
            self.board_flight(slot, state, deadline, caller, false);
        });
    }

    /// The durable value, if a read may be answered with it now.
    fn at_hand(&self, slot: &Slot, state: &SlotState, use_cache: bool) -> Option<Arc<Entry>> {
        let fresh = match state.activation {
            Activation::Live(_) => {
                slot.last_used.store(self.seconds.load(Ordering::Relaxed), Ordering::Relaxed);
                let is_known = match state.shared.is_shared() {
                    false => self.is_surely_owned(state, use_cache),
                    true => use_cache && self.is_fresh(state),
                };
                is_known && !slot.has_unsettled()
            }
            Activation::Vacant | Activation::Quarantined(_) => use_cache && self.is_fresh(state),
            Activation::Activating(_) | Activation::Leaving(..) | Activation::Removed => false,
        };
        fresh.then(|| Arc::clone(&state.durable))
    }

    /// Was the value read so lately that it may be shown again (spec §2.9)?
    fn is_fresh(&self, state: &SlotState) -> bool {
        state.cached_at.is_some_and(|at| self.clock.now().since(at) < READ_CACHE_TTL)
    }

    /// How long ago a call of this deadline was made.
    pub(crate) fn waited_of(&self, deadline: Moment) -> Duration {
        (self.clock.now() + self.config.call_deadline).since(deadline)
    }

    /// Waits for a read of the key that began no earlier than its last activation; without `may_join`, than this call.
    fn board_flight(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut SlotState,
        deadline: Moment,
        caller: CallPort,
        may_join: bool,
    ) {
        let generation = state.generation;
        let joins = |flight: &&mut Flight| may_join && flight.is_shared && flight.generation == generation;
        if let Some(flight) = state.flights.iter_mut().find(joins) {
            flight.waiters.push((deadline, caller));
            return;
        }
        let number = self.flights.fetch_add(1, Ordering::Relaxed);
        state.flights.push(Flight { number, generation, is_shared: may_join, waiters: vec![(deadline, caller)] });
        self.reader.read_flight(slot, number);
        self.wants_ticks(slot);
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
        self.call_with(key, request, true).await
    }

    /// `GetAsync` with `UseCache = false`, from a Rust task.
    ///
    /// # Errors
    /// As the same call of a script would raise.
    pub async fn call_uncached(self: &Arc<Self>, key: &EntryKey) -> CallResult {
        self.call_with(key, Request::Get, false).await
    }

    async fn call_with(self: &Arc<Self>, key: &EntryKey, request: Request, use_cache: bool) -> CallResult {
        let writer = Writer { vm: self.new_vm(), op: 0 };
        let (reply, answer) = oneshot::channel();
        let reply = ReplyTo::Task(reply);
        // What is at hand is free, but past the cache where requests are counted (spec §2.9).
        let is_free = request == Request::Get && (use_cache || !self.config.limits.are_fixed());
        if let Some(entry) = is_free.then(|| self.read_at_hand(key, use_cache)).flatten() {
            return Ok(Reply::Entry(entry));
        }
        self.take_room(Some(key), &Charge::of(key.store.kind, &request))?;
        if request == Request::Get {
            if let Some(result) = self.read(key, writer, use_cache, || reply) {
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
        let writer = Writer { vm: self.new_vm(), op: 0 };
        // Dropped after the channel: the machine then sees that nobody listens.
        let mut guard = GoneGuard { game: self, key, vm: writer.vm, armed: true };
        let (events, mut arrived) = mpsc::unbounded_channel();
        let mut run = |head: &Head| -> Result<Update, E> {
            Ok(Update { base: Some(head.base()), result: transform(&head.entry)? })
        };
        let first = Request::Update(self.published_head(key).map_or(Ok(Update::NOT_RUN), |head| run(&head))?);
        self.take_room(Some(key), &Charge::of(key.store.kind, &first))?;
        self.submit(key, writer, self.clock.wall(), first, ReplyTo::Updater(events));
        while let Some(event) = arrived.recv().await {
            match event {
                VmEvent::Done { result, .. } => {
                    guard.armed = false;
                    return result.map_err(E::from);
                }
                VmEvent::Rerun { head, ask, .. } => {
                    let update = run(&head)?;
                    self.tell(key, Input::Rerun(writer.vm, ask, vec![Rerun { op: writer.op, update: Some(update) }]));
                }
                // A task is subscribed to nothing.
                VmEvent::Message { .. } => {}
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

/// Waits for `future` at most until `until`.
#[expect(clippy::disallowed_methods, reason = "the one place that bounds a wait by time")]
pub(crate) async fn timeout_at<F: Future>(until: Instant, future: F) -> Option<F::Output> {
    tokio::time::timeout_at(until, future).await.ok()
}
