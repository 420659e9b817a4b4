//! The actor of one key (mirrors `actors::key_actor`).
//!
//! Owns: driving the key's machine, one message at a time; giving the key up. Does not own: rules (`core::key_machine`), accepted
//! writes (`flusher`).

use std::collections::VecDeque;
use std::time::Duration;

use clawstore_core::EntryKey;
use clawstore_core::key_machine::{Effect, Input, KeyMachine, Owned};
use clawstore_core::versioning::Retention;

use super::flusher::FlusherMsg;
use super::port::Port;
use super::session::SessionMsg;
use super::slot::{Activation, KeyMsg, Slot};
use super::{Process, ServerEvent, Timer};
use crate::simulation::context::Context;
use crate::simulation::trace::Who;

#[derive(Debug)]
pub(super) struct KeyActor {
    pub(super) key: usize,
    machine: KeyMachine<Port>,
}

impl KeyActor {
    pub(super) fn new(name: &EntryKey, key: usize, owned: Owned) -> Self {
        Self { key, machine: KeyMachine::new(name.store.kind, Retention::Hourly, owned) }
    }
}

impl Process {
    pub(super) fn key_handles(&mut self, context: &mut Context, number: u64, message: KeyMsg) {
        let Some(mut actor) = self.actors.remove(&number) else { return };
        let key = actor.key;
        let durable = self.slots[key].durable.revision;
        let was_recalling = actor.machine.is_recalling();
        let mut effects = Vec::new();
        actor.machine.step(context.now, Input::Persisted(durable), &mut effects);
        actor.machine.step(context.now, message, &mut effects);
        let slot = &mut self.slots[key];
        if was_recalling && !actor.machine.is_recalling() {
            slot.reads_wait = false;
        }
        if !actor.machine.is_recalling() {
            slot.head = actor.machine.head().clone();
        }
        let is_idle = actor.machine.is_idle();
        self.actors.insert(number, actor);
        for effect in effects {
            self.execute(context, number, key, effect);
        }
        self.slots[key].wants_ticks |= !is_idle;
    }

    fn execute(&mut self, context: &mut Context, number: u64, key: usize, effect: Effect<Port>) {
        match effect {
            Effect::Submit(mut item) => {
                item.op_mut().caller.set_accepted(true);
                item.op().caller.set_unsettled(item.op().request.is_write());
                self.cast_flusher(context, FlusherMsg::Submit(item));
            }
            Effect::Answer(mut op, result) => op.caller.answer(result),
            Effect::AskRerun(writer, ask) => {
                if let Some(machine) = self.actors.get(&number).map(|actor| &actor.machine)
                    && let Some(op) = machine.held(writer.vm)
                {
                    op.caller.ask_rerun(op.writer.op, ask, machine.head().clone());
                }
            }
            Effect::Recall(recall) => self.cast_flusher(context, FlusherMsg::Recall(key, recall)),
            Effect::Leaving => {
                if self.stop_taking(number, key) {
                    drop(self.cast_key(context, number, Input::Leave));
                }
            }
            Effect::Left { ops, lost } => {
                let ops = ops.into_iter().map(Input::Call).collect();
                self.left(context, number, key, ops, lost);
            }
            Effect::WakeAt(moment) => {
                context.tell(self.me, moment.since(context.now), ServerEvent::Rings(Timer::Key(number)));
            }
            Effect::Look(op) => self.look(context, key, op),
            Effect::Confirm(question) => self.confirm(context, number, key, question),
        }
    }

    /// From now on calls wait in the slot. False if the slot has gone on without this actor.
    fn stop_taking(&mut self, number: u64, key: usize) -> bool {
        let slot = &mut self.slots[key];
        if matches!(slot.activation, Activation::Live(live) if live == number) {
            slot.activation = Activation::Leaving(number, VecDeque::new());
        }
        matches!(slot.activation, Activation::Leaving(leaving, _) if leaving == number)
    }

    /// The last thing that the actor does.
    fn left(&mut self, context: &mut Context, number: u64, key: usize, mut ops: VecDeque<KeyMsg>, lost: bool) {
        let deadline = |message: &KeyMsg| if let Input::Call(op) = message { Some(op.deadline) } else { None };
        let oldest = ops.iter().filter_map(deadline).min();
        let waited = oldest.map_or(Duration::ZERO, |oldest| context.deadline().since(oldest));
        let owned_value_is_of = self.owned_value_is_of(key);
        let access = self.actors.get(&number).map(|actor| actor.machine.access());
        let slot = &mut self.slots[key];
        let waiting = match std::mem::replace(&mut slot.activation, Activation::Vacant) {
            Activation::Leaving(_, waiting) => waiting,
            other => {
                slot.activation = other;
                return;
            }
        };
        context.note(Who::Server(self.me.server), "key {a} is given up, lost: {b}", key as u64, u64::from(lost));
        slot.generation += 1;
        slot.cached_at = owned_value_is_of.filter(|_| !lost);
        slot.shared.end(access.unwrap_or_default(), lost, waited);
        let (lease, wanted) = (slot.lease.take(), slot.wanted_since.take().is_some());
        // Before the next activation asks for the key: the session lock takes messages in order.
        if let Some(fence) = lease {
            self.cast_session(context, SessionMsg::GiveBack { key, fence, wanted });
        }
        ops.extend(waiting);
        self.activate_again(context, key, ops);
        self.actors.remove(&number);
        self.mailboxes.remove(&number);
    }

    /// One of the actors that take calls dies: what waits in it ends, the slot does not know.
    pub(super) fn lose_actor(&mut self, context: &mut Context) -> bool {
        let live = |slot: &Slot| if let Activation::Live(actor) = slot.activation { Some(actor) } else { None };
        let numbers: Vec<u64> =
            self.slots.iter().filter_map(live).filter(|number| self.actors.contains_key(number)).collect();
        if numbers.is_empty() {
            return false;
        }
        let number = *context.rng.pick(&numbers);
        context.note(Who::Server(self.me.server), "an actor of key {a} dies", self.actors[&number].key as u64, 0);
        self.actors.remove(&number);
        self.mailboxes.remove(&number);
        // Its calls have been answered as they were dropped.
        self.has_lost_actors = true;
        self.after_event(context);
        true
    }
}
