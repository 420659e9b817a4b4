//! Giving a key its actor.
//!
//! Owns: loading the durable state first and spawning then, once per key at a time (A1); moving the calls that waited
//! into the mailbox before the slot turns live (`decisions.md` 7); failing them if the state cannot be loaded.
//! Does not own: when an actor leaves (`passivation`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clawstore_core::backend::BackendError;
use clawstore_core::key_machine::{Head, Input};
use clawstore_core::limits::ACTIVE_KEY_BYTES;
use clawstore_core::{CallError, Entry};
use metrics::{counter, gauge};
use ractor::Actor;
use tokio::sync::oneshot;

use crate::flusher::FlusherMsg;
use crate::game::Game;
use crate::key_actor::{Activated, KeyActor};
use crate::metric_definitions::{ACTIVATIONS_TOTAL, ACTIVE_KEYS, TRACE_KEYS};
use crate::slot::{Activation, KeyMsg, Slot, SlotState};

impl Game {
    /// Starts the activation of a key for its first call. `after_death`: an earlier actor of the key died, and the
    /// flusher may still have writes of it, which must be settled before the state is loaded.
    pub(crate) fn activate(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut SlotState,
        first: KeyMsg,
        after_death: bool,
    ) -> Option<(KeyMsg, CallError)> {
        // Looked at again under the slot's lock: a game that is being stopped has ended what is in its slots.
        if self.is_stopped() {
            return Some((first, CallError::closing()));
        }
        state.generation += 1;
        state.cached_at = None;
        state.activation = Activation::Activating(VecDeque::from([first]));
        self.wants_ticks(slot);
        let (game, slot) = (Arc::clone(self), Arc::clone(slot));
        self.runtime.spawn(async move {
            if after_death {
                game.until_settled(&slot).await;
            }
            match game.reader.read_for_activation(&slot).await {
                Ok(entry) => game.go_live(&slot, Arc::new(entry)).await,
                Err(error) => give_up(&slot, &error),
            }
        });
        None
    }

    /// Waits until the flusher has nothing of the key.
    async fn until_settled(&self, slot: &Arc<Slot>) {
        let (settled, wait) = oneshot::channel();
        if self.flusher.cast(FlusherMsg::Orphaned(slot.key.clone(), settled)).is_ok() {
            // Dropped unanswered only by a flusher that ends, and it ends what it has.
            let _ = wait.await;
        }
    }

    async fn go_live(self: &Arc<Self>, slot: &Arc<Slot>, entry: Arc<Entry>) {
        let actor = KeyActor::new(Arc::clone(self), Arc::clone(slot));
        let activated = Activated { entry: Arc::clone(&entry) };
        let spawned = Actor::spawn_linked(None, actor, activated, self.supervisor.get_cell()).await;
        let actor = match spawned {
            Ok((actor, _)) => actor,
            Err(error) => {
                tracing::error!(target: TRACE_KEYS, key = %slot.key, %error, "no actor for key");
                fail_waiting(slot, &CallError::internal());
                return;
            }
        };
        let mut state = slot.lock();
        let Activation::Activating(waiting) = std::mem::replace(&mut state.activation, Activation::Vacant) else {
            // The game was stopped meanwhile.
            actor.stop(None);
            return;
        };
        state.head = Head::stored(Arc::clone(&entry));
        state.durable = entry;
        slot.reads_wait.store(false, Ordering::Release);
        for msg in waiting {
            // A fresh actor's mailbox is open.
            let _ = actor.cast(msg);
        }
        state.activation = Activation::Live(actor);
        drop(state);
        counter!(ACTIVATIONS_TOTAL).increment(1);
        let active = self.active_keys.fetch_add(1, Ordering::Relaxed) + 1;
        gauge!(ACTIVE_KEYS).increment(1.0);
        if active * ACTIVE_KEY_BYTES > self.config.cache_bytes {
            self.sweep_soon.store(true, Ordering::Relaxed);
        }
    }

    /// A key has lost its actor.
    pub(crate) fn key_left(&self) {
        self.active_keys.fetch_sub(1, Ordering::Relaxed);
        gauge!(ACTIVE_KEYS).decrement(1.0);
    }
}

fn give_up(slot: &Slot, error: &BackendError) {
    tracing::warn!(target: TRACE_KEYS, key = %slot.key, %error, "key could not be loaded");
    fail_waiting(slot, &CallError::unavailable(error));
}

/// Answers what waits in the FIFO. The slot is vacant again before anyone is answered, so that a retry finds it so.
fn fail_waiting(slot: &Slot, error: &CallError) {
    let mut state = slot.lock();
    let Activation::Activating(waiting) = std::mem::replace(&mut state.activation, Activation::Vacant) else { return };
    drop(state);
    for msg in waiting {
        if let Input::Call(mut op) = msg {
            op.caller.answer(Err(error.clone()));
        }
    }
}
