//! The actor of one key: serializes its calls.
//!
//! Owns: driving the key's machine, one message at a time, without ever waiting; containing a panic in it.
//! Does not own: rules (`core::key_machine`), accepted writes (the flusher has them from the moment they are accepted).
//!
//! What is durable is read from the slot's cell before each step instead of being sent as a message per key and batch:
//! the flusher has put it there before it answered anyone (`docs/adr/0004`).

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clawstore_core::CallError;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Access, Effect, Input, KeyMachine, Owned};
use clawstore_core::limits::{PANIC_WINDOW, PANICS_BEFORE_QUARANTINE, QUARANTINE};
use metrics::counter;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::call_port::CallPort;
use crate::flusher::FlusherMsg;
use crate::game::Game;
use crate::metric_definitions::{KEY_PANICS_TOTAL, QUARANTINES_TOTAL, RERUNS_TOTAL, TRACE_KEYS};
use crate::slot::{Activation, KeyMsg, Slot};

pub(crate) struct KeyActor {
    game: Arc<Game>,
    slot: Arc<Slot>,
}

pub(crate) struct KeyState {
    machine: KeyMachine<CallPort>,
}

type Effects = Vec<Effect<CallPort>>;

thread_local! {
    /// Room for the effects of one step: one per thread instead of one per key, whose memory counts.
    static SCRATCH: Cell<Effects> = const { Cell::new(Vec::new()) };
}

impl KeyActor {
    pub(crate) fn new(game: Arc<Game>, slot: Arc<Slot>) -> Self {
        Self { game, slot }
    }

    /// True if the step panicked.
    fn step(&self, state: &mut KeyState, msg: KeyMsg, effects: &mut Effects) -> bool {
        let durable = self.slot.lock().durable.revision;
        let was_recalling = state.machine.is_recalling();
        let machine = &mut state.machine;
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let now = self.game.clock.now();
            machine.step(now, Input::Persisted(durable), effects);
            machine.step(now, msg, effects);
        }));
        if stepped.is_err() {
            // The panicking call was dropped on the way out, which answered it: FAIL.
            self.recover(state, effects);
        } else if was_recalling && !state.machine.is_recalling() {
            self.slot.reads_wait.store(false, Ordering::Release);
        }
        stepped.is_err()
    }

    /// Starts over from the durable state and what the flusher has.
    fn recover(&self, state: &mut KeyState, effects: &mut Effects) {
        counter!(KEY_PANICS_TOTAL).increment(1);
        tracing::error!(target: TRACE_KEYS, key = %self.slot.key, "a call on the key panicked and was failed");
        let fresh = self.machine(Owned::default());
        let broken = std::mem::replace(&mut state.machine, fresh);
        state.machine = broken.rebuild(effects);
    }

    fn machine(&self, owned: Owned) -> KeyMachine<CallPort> {
        let store = &self.slot.key.store;
        KeyMachine::new(store.kind, self.game.config.versioning.of(store).retention, owned)
    }

    fn publish_head(&self, machine: &KeyMachine<CallPort>) {
        // During a recall the head is not known; VMs go on from the last one, and run again if it does not hold.
        if machine.is_recalling() {
            return;
        }
        let head = machine.head();
        let mut state = self.slot.lock();
        if state.head.base() != head.base() {
            state.head = head.clone();
        }
    }

    fn execute(&self, me: &ActorRef<KeyMsg>, machine: &KeyMachine<CallPort>, effects: &mut Effects) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Submit(mut item) => {
                    item.op_mut().caller.set_accepted(true);
                    item.op().caller.set_unsettled(item.op().request.is_write());
                    // A stopped flusher drops the item, which answers it.
                    let _ = self.game.flusher.cast(FlusherMsg::Submit(item));
                }
                Effect::Answer(mut op, result) => op.caller.answer(result),
                Effect::AskRerun(writer, ask) => {
                    counter!(RERUNS_TOTAL).increment(1);
                    if let Some(op) = machine.held(writer.vm) {
                        op.caller.ask_rerun(op.writer.op, ask, machine.head().clone());
                    }
                }
                Effect::Recall(number) => {
                    let _ = self.game.flusher.cast(FlusherMsg::Recall(Arc::clone(&self.slot), number));
                }
                Effect::Leaving => {
                    if self.stop_taking(me) {
                        let _ = me.cast(Input::Leave);
                    }
                }
                Effect::Left { ops, lost } => {
                    let oldest = ops.iter().map(|op| op.deadline).min();
                    let waited = oldest.map_or(Duration::ZERO, |oldest| self.game.waited_of(oldest));
                    let ops = ops.into_iter().map(Input::Call);
                    self.left(me, ops, lost, machine.access(), waited);
                }
                Effect::Look(mut op) => op.caller.answer_from_store(&self.game, op.deadline),
                Effect::Confirm(number) => self.confirm(me.clone(), number),
                Effect::WakeAt(moment) => self.wake_at(me.clone(), moment),
            }
        }
    }

    /// From now on calls wait in the slot. False if the slot has gone on without this actor.
    fn stop_taking(&self, me: &ActorRef<KeyMsg>) -> bool {
        let mut state = self.slot.lock();
        let is_mine = matches!(&state.activation, Activation::Live(live) if live.get_id() == me.get_id());
        if is_mine {
            state.activation = Activation::Leaving(me.clone(), VecDeque::new());
        }
        is_mine || matches!(state.activation, Activation::Leaving(..))
    }

    /// The last thing that the actor does: what it has not done goes to the front of the slot's FIFO, and the lease back to
    /// where it came from.
    fn left(
        &self,
        me: &ActorRef<KeyMsg>,
        ops: impl Iterator<Item = KeyMsg>,
        lost: bool,
        access: Access,
        waited: Duration,
    ) {
        let mut state = self.slot.lock();
        let waiting = match std::mem::replace(&mut state.activation, Activation::Vacant) {
            Activation::Leaving(_, waiting) => waiting,
            // The game was stopped, or the key was set aside: these calls end with it, outside of the lock.
            other => {
                state.activation = other;
                drop(state);
                drop(ops);
                return;
            }
        };
        state.generation += 1;
        state.cached_at = self.game.owned_value_is_of(&state).filter(|_| !lost);
        state.shared.end(access, lost, waited);
        let (lease, was_wanted) = (state.lease.take(), state.wanted_since.take().is_some());
        self.game.key_left();
        // Before the next activation asks for the key: the session lock takes messages in order.
        if let (Some(ownership), Some(fence)) = (&self.game.ownership, lease) {
            ownership.give_back(self.slot.key.clone(), fence, was_wanted);
        }
        let refused = self.game.activate_again(&self.slot, &mut state, ops.chain(waiting));
        drop(state);
        // Dropped without the slot's lock: dropping a call answers it.
        drop(refused);
        me.stop(None);
    }

    /// Asks the store which revision of a shared key it has.
    fn confirm(&self, me: ActorRef<KeyMsg>, number: u64) {
        let (game, slot) = (Arc::clone(&self.game), Arc::clone(&self.slot));
        self.game.runtime.spawn(async move {
            let read = game.reader.read_fresh(&slot).await;
            let revision = read.map(|entry| entry.revision).map_err(CallError::unavailable);
            let _ = me.cast(Input::Confirmed(number, revision));
        });
    }

    fn wake_at(&self, me: ActorRef<KeyMsg>, moment: Moment) {
        let wait = moment.since(self.game.clock.now());
        me.send_after(wait, || Input::Tick);
    }

    /// Three panics in ten seconds: the key is set aside, alone.
    fn quarantine_if_due(&self, me: &ActorRef<KeyMsg>) {
        let now = self.game.clock.now();
        let mut state = self.slot.lock();
        state.panics.push_back(now);
        state.panics.retain(|&at| now.since(at) < PANIC_WINDOW);
        if state.panics.len() >= PANICS_BEFORE_QUARANTINE {
            let left = std::mem::replace(&mut state.activation, Activation::Quarantined(now + QUARANTINE));
            state.panics.clear();
            drop(state);
            // Not under the lock: dropping what waited answers it.
            drop(left);
            counter!(QUARANTINES_TOTAL).increment(1);
            tracing::error!(target: TRACE_KEYS, key = %self.slot.key, "key is quarantined after repeated panics");
            self.game.key_left();
            me.kill();
        }
    }
}

impl Actor for KeyActor {
    type Msg = KeyMsg;
    type State = KeyState;
    type Arguments = Owned;

    async fn pre_start(&self, _me: ActorRef<KeyMsg>, owned: Owned) -> Result<KeyState, ActorProcessingErr> {
        let machine = self.machine(owned);
        Ok(KeyState { machine })
    }

    async fn handle(&self, me: ActorRef<KeyMsg>, msg: KeyMsg, state: &mut KeyState) -> Result<(), ActorProcessingErr> {
        let mut effects = SCRATCH.take();
        let panicked = self.step(state, msg, &mut effects);
        self.publish_head(&state.machine);
        self.execute(&me, &state.machine, &mut effects);
        SCRATCH.set(effects);
        if panicked {
            self.quarantine_if_due(&me);
        }
        if !state.machine.is_idle() {
            self.game.wants_ticks(&self.slot);
        }
        Ok(())
    }

    async fn post_stop(&self, _me: ActorRef<KeyMsg>, state: &mut KeyState) -> Result<(), ActorProcessingErr> {
        // The state travels to the supervisor: the value stays behind.
        state.machine = self.machine(Owned::default());
        Ok(())
    }
}
