//! Giving a key its actor.
//!
//! Owns: getting the lease and the durable state first and spawning then, once per key at a time (A1, A2); moving the
//! calls that waited into the mailbox before the slot turns live (`decisions.md` 7); failing them if the state cannot be
//! loaded. Does not own: when an actor leaves (`passivation`, `key_actor`), when a lease is granted (`session_lock`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clawstore_core::backend::{BackendError, Fence, Incarnation};
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Access, Input, Owned};
use clawstore_core::limits::ACTIVE_KEY_BYTES;
use clawstore_core::{CallError, Entry};
use metrics::{counter, gauge};
use ractor::Actor;
use tokio::sync::oneshot;

use crate::flusher::FlusherMsg;
use crate::game::Game;
use crate::key_actor::KeyActor;
use crate::metric_definitions::{ACTIVATIONS_TOTAL, ACTIVE_KEYS, TRACE_KEYS};
use crate::ownership::Grant;
use crate::slot::{Activation, KeyMsg, Slot, SlotState};

/// A key's durable state, and how it may be written, if there are leases.
type Loaded = (Entry, Option<Granted>);

/// What a key was granted with.
#[derive(Clone, Copy)]
struct Granted {
    fence: Fence,
    incarnation: Incarnation,
    /// All write it, under the same fence.
    is_shared: bool,
    /// The durable state is none from before this.
    asked: Moment,
}

impl Granted {
    fn lease(&self) -> Option<Fence> {
        (!self.is_shared).then_some(self.fence)
    }

    fn shared(&self) -> Option<Fence> {
        self.is_shared.then_some(self.fence)
    }
}

impl Game {
    /// Starts the activation of a key for its first call. `after_death`: an earlier actor of the key died, and the
    /// flusher may still have writes of it, which must be settled before the state is loaded (I8).
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
        // Kept until an activation has got through: one that is given up in between has not waited to the end.
        state.has_orphans |= after_death;
        self.load(slot, state, VecDeque::from([first]));
        None
    }

    /// Goes on with a key whose actor has left, if calls wait for it. Gives back what will not be done.
    pub(crate) fn activate_again(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        state: &mut SlotState,
        waiting: impl Iterator<Item = KeyMsg>,
    ) -> VecDeque<KeyMsg> {
        let waiting: VecDeque<KeyMsg> = waiting.collect();
        if self.is_stopped() || !waiting.iter().any(is_call) {
            return waiting;
        }
        state.cached_at = None;
        self.load(slot, state, waiting);
        VecDeque::new()
    }

    fn load(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut SlotState, waiting: VecDeque<KeyMsg>) {
        state.activation = Activation::Activating(waiting);
        self.wants_ticks(slot);
        let (game, slot, generation) = (Arc::clone(self), Arc::clone(slot), state.generation);
        let has_orphans = state.has_orphans;
        self.runtime.spawn(async move {
            if has_orphans {
                game.until_settled(&slot).await;
            }
            // Marked before the slot was: `set_deleted` has looked at it too early.
            if game.is_deleted() {
                return fail_waiting(&slot, generation, &CallError::deleted());
            }
            // Again only if the process has got a new incarnation in between.
            while let Some(loaded) = game.load_owned(&slot, generation).await {
                match loaded {
                    Ok(loaded) => {
                        if game.go_live(&slot, generation, loaded).await {
                            return;
                        }
                    }
                    Err(error) => return give_up(&slot, generation, &error),
                }
            }
        });
    }

    /// The durable state, read with or after the grant of the lease (A2). `None`: nobody waits for it any more.
    async fn load_owned(&self, slot: &Arc<Slot>, generation: u64) -> Option<Result<Loaded, BackendError>> {
        let Some(ownership) = &self.ownership else {
            return Some(self.reader.read_fresh(slot).await.map(|entry| (entry, None)));
        };
        let (kept, instead_of) = {
            let mut state = slot.lock();
            (state.lease, state.shared.take_instead_of())
        };
        let asked = self.clock.now();
        let grant = ownership.acquire(slot, generation, kept, instead_of).await?;
        Some(grant.map(|Grant { entry, fence, incarnation, is_shared }| {
            (entry, Some(Granted { fence, incarnation, is_shared, asked }))
        }))
    }

    /// Waits until the flusher has nothing of the key.
    async fn until_settled(&self, slot: &Arc<Slot>) {
        let (settled, wait) = oneshot::channel();
        if self.flusher.cast(FlusherMsg::Orphaned(slot.key.clone(), settled)).is_ok() {
            // Dropped unanswered only by a flusher that ends, and it ends what it has.
            let _ = wait.await;
        }
    }

    /// False if the lease is of an incarnation that is over.
    async fn go_live(self: &Arc<Self>, slot: &Arc<Slot>, generation: u64, (entry, granted): Loaded) -> bool {
        let entry = Arc::new(entry);
        let (lease, shared) = (granted.and_then(|granted| granted.lease()), granted.and_then(|g| g.shared()));
        let owned = Owned {
            entry: Arc::clone(&entry),
            fence: granted.map(|granted| granted.fence).unwrap_or_default(),
            access: shared.map_or(Access::Alone, |_| slot.lock().shared.access()),
            generation: u32::try_from(generation & u64::from(u32::MAX)).unwrap_or_default(),
        };
        let head = owned.head();
        let actor = KeyActor::new(Arc::clone(self), Arc::clone(slot));
        let actor = match Actor::spawn_linked(None, actor, owned, self.supervisor.get_cell()).await {
            Ok((actor, _)) => actor,
            Err(error) => {
                tracing::error!(target: TRACE_KEYS, key = %slot.key, %error, "no actor for key");
                fail_waiting(slot, generation, &CallError::internal());
                return true;
            }
        };
        let mut state = slot.lock();
        // Looked at under the lock: a process that starts over goes through all slots after it has said so.
        if let (Some(ownership), Some(granted)) = (&self.ownership, granted)
            && !ownership.is_current(granted.incarnation)
        {
            drop(state);
            actor.stop(None);
            return false;
        }
        let waiting = match std::mem::replace(&mut state.activation, Activation::Vacant) {
            Activation::Activating(waiting) if state.generation == generation => waiting,
            other => {
                // The game was stopped, or nobody waited any more. A lease that nobody uses stays with a slot that has no actor.
                let is_kept = matches!(other, Activation::Vacant) || state.lease == lease;
                if matches!(other, Activation::Vacant) {
                    state.lease = lease;
                }
                state.activation = other;
                drop(state);
                actor.stop(None);
                if !is_kept {
                    self.give_back_unused(slot, lease);
                }
                return true;
            }
        };
        state.has_orphans = false;
        (state.lease, state.granted_at, state.wanted_since) = (lease, self.clock.now(), None);
        let granted_at = state.granted_at;
        state.shared.begin(granted_at, shared);
        // A read that was faster may have shown what others wrote after the grant: the next one asks the store.
        let is_newest = entry.revision >= state.shown;
        state.cached_at = granted.filter(|granted| granted.is_shared && is_newest).map(|granted| granted.asked);
        state.granted_revision = entry.revision;
        state.head = head;
        state.durable = entry;
        slot.reads_wait.store(false, Ordering::Release);
        for msg in waiting {
            // A fresh actor's mailbox is open.
            let _ = actor.cast(msg);
        }
        if self.holds_nothing() {
            let _ = actor.cast(Input::Closing);
        }
        state.activation = Activation::Live(actor);
        drop(state);
        self.key_came();
        true
    }

    fn give_back_unused(&self, slot: &Slot, fence: Option<Fence>) {
        if let (Some(ownership), Some(fence)) = (&self.ownership, fence) {
            ownership.give_back(slot.key.clone(), fence, false);
        }
    }

    fn key_came(&self) {
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

pub(crate) fn is_call(msg: &KeyMsg) -> bool {
    matches!(msg, Input::Call(_))
}

/// Ends an activation whose calls will not be done.
pub(crate) fn break_off(slot: &Slot, error: &CallError) {
    let generation = slot.lock().generation;
    fail_waiting(slot, generation, error);
}

fn give_up(slot: &Slot, generation: u64, error: &BackendError) {
    tracing::warn!(target: TRACE_KEYS, key = %slot.key, %error, "key could not be loaded");
    fail_waiting(slot, generation, &CallError::unavailable(error));
}

/// Answers what waits in the FIFO. The slot is vacant again before anyone is answered, so that a retry finds it so.
fn fail_waiting(slot: &Slot, generation: u64, error: &CallError) {
    let mut state = slot.lock();
    let waiting = match std::mem::replace(&mut state.activation, Activation::Vacant) {
        Activation::Activating(waiting) if state.generation == generation => waiting,
        other => {
            state.activation = other;
            return;
        }
    };
    // What is still on its way to it comes too late.
    state.generation += 1;
    drop(state);
    for msg in waiting {
        if let Input::Call(mut op) = msg {
            op.caller.answer(Err(error.clone()));
        }
    }
}
