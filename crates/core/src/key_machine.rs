//! Who writes next on one key, and on what.
//!
//! Owns: the speculative head of a key (the newest accepted revision, durable or not), acceptance of updates on
//! their base only (A6), the place of an update that must run again and of what its VM sent after it, exclusive
//! turns, and running again what was built on a write that failed (`decisions.md` 7-9).
//!
//! Does not own: durability (`write_batch` keeps every accepted write with its caller until it is settled), transforms
//! (they run in the VM), messages and timers (the key actor).
//!
//! Order: calls of one VM on one key are accepted in the order they came. An update that lost a race is *held* with
//! its later ones behind it; other VMs pass. Only an exclusive turn (`limits::TURN_MAX`) makes other VMs wait.
//!
//! When a write fails, everything after it was built on sand. The flusher says `Broken`, the machine stops accepting
//! and *recalls* what the flusher still has of the key; both sides' messages are in order, so the recall brings back
//! exactly what was accepted after the durable revision, and it is applied again, in order, ahead of newer calls. If the
//! key is to be handed over, or the state that was built on is not the stored one, the machine leaves instead: what was
//! recalled and what waits goes back, in order, to be made on the key's next machine (`ownership-protocol.md` §2.2.6, 11).

mod held;
mod messages;
mod recall;
mod shared;

use std::collections::VecDeque;
use std::sync::Arc;

use held::{Held, Turn};
pub use messages::{Access, Base, Caller, Effect, Head, Input, Item, Op, Owned, Rerun, VmId, Writer};
use shared::Shared;

use crate::backend::{Fence, Previous};
use crate::clock::Moment;
use crate::entry::Entry;
use crate::entry_key::StoreKind;
use crate::error::CallError;
use crate::limits::{RACES_BEFORE_TURN, TURN_MAX};
use crate::ops::{Applied, CallResult, Reply, Request};
use crate::versioning::Retention;

/// The state of one key.
#[derive(Debug)]
pub struct KeyMachine<C> {
    kind: StoreKind,
    retention: Retention,
    fence: Fence,
    head: Head,
    durable: u64,
    held: Vec<Held<C>>,
    turn: Option<Turn>,
    /// Of a key that all servers may write.
    shared: Option<Box<Shared<C>>>,
    /// Calls that wait for a turn to end, for a recall, or until the state of a shared key is known again, in order.
    queue: VecDeque<Box<Op<C>>>,
    /// What was recalled, in order, while the last recall is awaited.
    recalled: VecDeque<Box<Op<C>>>,
    recalling: bool,
    /// Number of the last recall.
    recalls: u64,
    /// The state that the flusher knows is not the stored one.
    stale: bool,
    /// Another server is to have the key.
    handing_over: bool,
    /// Nothing is on its way any more: it leaves when all that was sent to it has arrived.
    leaving: bool,
    /// Number of the last ask.
    asks: u64,
    closing: bool,
}

impl<C: Caller> KeyMachine<C> {
    /// A key that is owned or shared, in a store of this kind.
    pub fn new(kind: StoreKind, retention: Retention, owned: Owned) -> Self {
        let shared = Shared::new(kind, retention, owned.access);
        let (durable, head) = (owned.entry.revision, owned.head());
        let (held, turn, queue, recalled) = (Vec::new(), None, VecDeque::new(), VecDeque::new());
        let first_number = head.lineage;
        Self {
            kind,
            retention,
            fence: owned.fence,
            head,
            durable,
            held,
            turn,
            shared,
            queue,
            recalled,
            recalling: false,
            recalls: first_number,
            stale: false,
            handing_over: false,
            leaving: false,
            asks: first_number,
            closing: false,
        }
    }

    /// Starts over after a fault inside `step`: keeps the calls that wait here, trusts nothing else, and recalls what
    /// the flusher has.
    #[must_use]
    pub fn rebuild(mut self, out: &mut Vec<Effect<C>>) -> Self {
        let owned = Owned { fence: self.fence, access: self.access(), ..Owned::default() };
        let mut machine = Self::new(self.kind, self.retention, owned);
        let unconfirmed = self.take_unconfirmed();
        machine.recalls = self.recalls;
        machine.recalled = self.recalled;
        (machine.stale, machine.handing_over) = (self.stale, self.handing_over);
        (machine.asks, machine.closing) = (self.asks, self.closing);
        let held = self.held.into_iter().flat_map(|held| held.ops);
        machine.queue = unconfirmed.into_iter().chain(held).chain(self.queue).collect();
        machine.recall(out);
        machine
    }

    /// The newest accepted revision, for VMs to run transforms on. Not durable: never shown in an answer.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The held call that a VM was asked to run again.
    pub fn held(&self, vm: VmId) -> Option<&Op<C>> {
        self.held.iter().find(|h| h.vm() == vm).map(Held::front)
    }

    /// Nothing is accepted until a recall is over, and the head is not known.
    pub fn is_recalling(&self) -> bool {
        self.recalling
    }

    /// Nothing waits in here.
    pub fn is_idle(&self) -> bool {
        let waits = self.held.is_empty() && self.queue.is_empty() && self.recalled.is_empty() && !self.recalling;
        waits && self.shared.as_ref().is_none_or(|shared| shared.is_idle())
    }

    /// Takes one input and appends what must be done.
    pub fn step(&mut self, now: Moment, input: Input<C>, out: &mut Vec<Effect<C>>) {
        match input {
            Input::Call(op) => self.admit(now, op, out),
            Input::Rerun(vm, ask, reruns) => self.rerun(now, vm, ask, reruns, out),
            Input::VmGone(vm) => self.vm_gone(now, vm, out),
            // What is durable may be of another server.
            Input::Persisted(_) if self.shared.is_some() => {}
            Input::Persisted(revision) => self.durable = self.durable.max(revision),
            Input::Settled(writes, newest) => self.settled(now, writes, newest, out),
            Input::Confirmed(number, revision) => self.confirmed(now, number, revision, out),
            Input::Broken => self.recall(out),
            Input::Recalled(number, ops, durable) => self.recalled(now, number, ops, durable, out),
            Input::HandOver => {
                self.handing_over = true;
                self.recall(out);
            }
            Input::Lost => {
                self.stale = true;
                self.recall(out);
            }
            Input::Leave => self.leave(out),
            Input::Tick => self.tick(now, out),
            Input::Closing => self.close(now, out),
        }
        debug_assert!(self.recalling || self.durable <= self.head.entry.revision, "A4: durable ≤ accepted");
    }

    /// Finds the place of a call: queue, behind a held call of its VM, or the head.
    fn admit(&mut self, now: Moment, mut op: Box<Op<C>>, out: &mut Vec<Effect<C>>) {
        let vm = op.writer.vm;
        let is_write = op.request.is_write();
        if let Some(held) = self.held.iter_mut().find(|h| h.vm() == vm)
            // A read waits for the VM's own writes before it, but not for updates that wait for the VM (decision 9).
            && (is_write || held.has_plain_write())
        {
            // The VM has not answered yet: it will run this call again with those before it.
            forget_run(&mut op);
            held.ops.push_back(op);
        } else if self.recalling || self.waits_for_turn(vm, is_write) || self.waits_for_state(&op) {
            self.queue.push_back(op);
        } else {
            self.accept(now, op, 0, out);
        }
    }

    fn others_turn(&self, vm: VmId) -> bool {
        self.turn.is_some_and(|turn| turn.vm != vm)
    }

    /// A write waits for another VM's turn to end, a read for the VM's own writes that wait so.
    fn waits_for_turn(&self, vm: VmId, is_write: bool) -> bool {
        let own_write = |op: &Op<C>| op.writer.vm == vm && op.request.is_write();
        if is_write { self.others_turn(vm) } else { self.queue.iter().any(|op| own_write(op)) }
    }

    fn admit_all(&mut self, now: Moment, ops: VecDeque<Box<Op<C>>>, out: &mut Vec<Effect<C>>) {
        for op in ops {
            self.admit(now, op, out);
        }
    }

    /// Applies a call to the head.
    fn accept(&mut self, now: Moment, op: Box<Op<C>>, races: u32, out: &mut Vec<Effect<C>>) {
        if op.deadline <= now {
            out.push(Effect::Answer(op, Err(CallError::timed_out())));
            return;
        }
        if self.travels_as_sum(&op) {
            self.add(op, out);
            return;
        }
        if let Request::Update(update) = &op.request
            && update.base != Some(self.head.base())
        {
            let lost = u32::from(update.base.is_some());
            self.hold(now, op, races + lost, out);
            return;
        }
        match op.request.apply(self.kind, &self.head.entry, op.at) {
            Ok(Applied::Write { entry, reply }) => self.write(op, entry, reply, out),
            Ok(Applied::Reply(reply)) => self.answer(op, Ok(reply), out),
            Err(error) => self.answer(op, Err(error), out),
        }
    }

    fn write(&mut self, op: Box<Op<C>>, entry: Arc<Entry>, reply: Reply, out: &mut Vec<Effect<C>>) {
        assert_eq!(entry.revision, self.head.entry.revision + 1, "A4: revisions grow by one");
        // A tombstone that is not kept any more comes back as no version either: it may be deleted at any time.
        let is_gone = self.head.entry.is_expired(entry.updated);
        let previous = if is_gone || matches!(op.request, Request::RemoveVersion(_)) {
            Previous::Erased
        } else if self.retention.keeps(self.kind, &self.head.entry, &entry) {
            Previous::Kept
        } else {
            Previous::Overwritten
        };
        self.head = self.head.next(Arc::clone(&entry), op.writer);
        out.push(Effect::Submit(Item::Write { op, entry, fence: self.fence, reply, previous }));
    }

    /// Answers with what the head shows: at once if it is durable and owned, else behind it (I4).
    fn answer(&mut self, op: Box<Op<C>>, result: CallResult, out: &mut Vec<Effect<C>>) {
        if self.shared.is_some() {
            self.answer_once_confirmed(op, result, out);
        } else if self.durable != self.head.entry.revision {
            out.push(Effect::Submit(Item::Gate { op, result }));
        } else {
            out.push(Effect::Answer(op, result));
        }
    }

    /// Keeps an update's place until its VM has run it again.
    fn hold(&mut self, now: Moment, mut op: Box<Op<C>>, races: u32, out: &mut Vec<Effect<C>>) {
        if self.closing || op.caller.is_gone() {
            out.push(Effect::Answer(op, Err(CallError::abandoned())));
            return;
        }
        forget_run(&mut op);
        self.held.push(Held::new(op, races));
        self.ask(now, self.held.len() - 1, out);
    }

    /// Asks a VM to run its held updates on the head as it is now, alone on the key if it lost too often.
    fn ask(&mut self, now: Moment, at: usize, out: &mut Vec<Effect<C>>) {
        let Some(held) = self.held.get_mut(at) else { return };
        if held.races >= RACES_BEFORE_TURN && !held.forfeited && self.turn.is_none() {
            let turn = Turn { vm: held.vm(), until: now + TURN_MAX };
            self.turn = Some(turn);
            out.push(Effect::WakeAt(turn.until));
        }
        self.asks += 1;
        held.ask = Some(self.asks);
        out.push(Effect::AskRerun(held.front().writer, self.asks));
    }

    fn take_held(&mut self, vm: VmId) -> Option<Held<C>> {
        let at = self.held.iter().position(|h| h.vm() == vm)?;
        Some(self.held.remove(at))
    }

    fn rerun(&mut self, now: Moment, vm: VmId, ask: u64, reruns: Vec<Rerun>, out: &mut Vec<Effect<C>>) {
        let Some(mut held) = self.take_held(vm) else { return };
        held.forfeited = false;
        // A call whose transform failed has ended in its VM, whichever ask that was for.
        let awaited = held.ask == Some(ask);
        for op in held.remove_failed(&reruns, awaited) {
            out.push(Effect::Answer(op, Err(CallError::abandoned())));
        }
        if held.ops.is_empty() {
            self.end_turn(now, Some(vm), out);
        } else if !awaited {
            // The answer to the newer ask is on its way, unless the call that it was about has just ended.
            self.held.push(held);
        } else if self.recalling || self.others_turn(vm) || self.is_state_unknown() {
            // Not on this head: `ask_again` follows when the recall or the turn is over, or the state known.
            held.ask = None;
            self.held.push(held);
        } else {
            held.merge(reruns);
            self.accept_held(now, held, out);
        }
    }

    /// Accepts a held call and those behind it; the first that lost its race again holds the rest.
    fn accept_held(&mut self, now: Moment, held: Held<C>, out: &mut Vec<Effect<C>>) {
        let (vm, races) = (held.vm(), held.races);
        let mut ops = held.ops;
        if let Some(op) = ops.pop_front() {
            self.accept(now, op, races, out);
        }
        self.admit_all(now, ops, out);
        if self.held.iter().all(|h| h.vm() != vm) {
            self.end_turn(now, Some(vm), out);
        }
    }

    /// Ends the turn (of `vm`, if given): first what waited for it, in order, then VMs that are held.
    fn end_turn(&mut self, now: Moment, vm: Option<VmId>, out: &mut Vec<Effect<C>>) {
        if self.turn.is_none() || vm.is_some_and(|vm| self.others_turn(vm)) {
            return;
        }
        self.turn = None;
        let queue = std::mem::take(&mut self.queue);
        self.admit_all(now, queue, out);
        self.ask_again(now, out);
    }

    /// Asks those held VMs again whose last answer could not be used, and those who are due a turn.
    fn ask_again(&mut self, now: Moment, out: &mut Vec<Effect<C>>) {
        for at in 0..self.held.len() {
            let Some(held) = self.held.get(at) else { return };
            let due_turn = self.turn.is_none() && held.races >= RACES_BEFORE_TURN && !held.forfeited;
            if due_turn || held.ask.is_none() {
                self.ask(now, at, out);
            }
        }
    }

    /// The VM will never answer: its update ends, what it sent after it goes on as far as it can.
    fn vm_gone(&mut self, now: Moment, vm: VmId, out: &mut Vec<Effect<C>>) {
        let Some(mut held) = self.take_held(vm) else { return };
        if self.recalling || self.others_turn(vm) || self.is_state_unknown() {
            self.queue.append(&mut held.ops);
        } else {
            self.accept_held(now, held, out);
        }
    }

    /// From now on nothing is held: what would wait for a VM ends.
    fn close(&mut self, now: Moment, out: &mut Vec<Effect<C>>) {
        self.closing = true;
        let vms: Vec<VmId> = self.held.iter().map(Held::vm).collect();
        for vm in vms {
            self.vm_gone(now, vm, out);
        }
    }

    fn tick(&mut self, now: Moment, out: &mut Vec<Effect<C>>) {
        if let Some(turn) = self.turn
            && turn.until <= now
        {
            if let Some(held) = self.held.iter_mut().find(|h| h.vm() == turn.vm) {
                held.forfeited = true;
            }
            self.end_turn(now, None, out);
        }
        let vms: Vec<VmId> = self.held.iter().filter(|h| h.front().deadline <= now).map(Held::vm).collect();
        for vm in vms {
            // The expired call is answered by `accept`, its later ones go on.
            self.vm_gone(now, vm, out);
        }
        self.expire_unconfirmed(now, out);
        let (expired, waiting) = std::mem::take(&mut self.queue).into_iter().partition(|op| op.deadline <= now);
        self.queue = waiting;
        let expired: VecDeque<_> = expired;
        out.extend(expired.into_iter().map(|op| Effect::Answer(op, Err(CallError::timed_out()))));
    }
}

/// From here on only the VM's next answer counts: it may end the call there while the old base comes true again here.
fn forget_run<C>(op: &mut Op<C>) {
    if let Request::Update(update) = &mut op.request {
        update.base = None;
    }
}

#[cfg(test)]
mod tests;
