//! One key's place in the directory.
//!
//! Owns: whether the key has an actor, is getting one, or is set aside; the FIFO of calls that came before the actor was
//! there (`decisions.md` 7); the durable value that reads see and the speculative head that transforms read; the 4 s
//! cache entry of a key without an actor, with its read flight and generation (`decisions.md` 9).
//! Does not own: the actor, or when it leaves (`passivation`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use clawstore_core::backend::Fence;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Head, Input};
use clawstore_core::{Entry, EntryKey};
use parking_lot::{Mutex, MutexGuard};
use ractor::ActorRef;

use crate::call_port::CallPort;
use crate::shared_key::SharedKey;

/// What a key actor is sent: the inputs of its machine.
pub(crate) type KeyMsg = Input<CallPort>;

const _: () = assert!(size_of::<KeyMsg>() <= 64, "every message is boxed and moved: payloads are behind pointers");

#[derive(Debug)]
pub(crate) enum Activation {
    /// No actor.
    Vacant,
    /// One is on its way; calls wait here, in order.
    Activating(VecDeque<KeyMsg>),
    /// It takes calls.
    Live(ActorRef<KeyMsg>),
    /// The actor gives up the key and will bring back what it has not done; calls wait here, behind that.
    Leaving(ActorRef<KeyMsg>, VecDeque<KeyMsg>),
    /// Set aside until then.
    Quarantined(Moment),
    /// The slot is no longer in the directory: look the key up again.
    Removed,
}

/// A backend read on its way, with those who wait for it.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) number: u64,
    pub(crate) generation: u64,
    /// Later callers may wait for it too.
    pub(crate) is_shared: bool,
    pub(crate) waiters: Vec<(Moment, CallPort)>,
}

#[derive(Debug)]
pub(crate) struct SlotState {
    pub(crate) activation: Activation,
    /// Counts activations: a flight or cache entry of an older generation is neither joined nor used.
    pub(crate) generation: u64,
    /// What reads see: the durable value while live, else the value that was read or left at `cached_at`.
    pub(crate) durable: Arc<Entry>,
    /// The newest accepted revision, for transforms. Only meaningful while live.
    pub(crate) head: Head,
    /// When `durable` was read, for a key without an actor or one that is shared; `None` if there is no cache entry.
    pub(crate) cached_at: Option<Moment>,
    /// Reads on their way; at most one of them is shared.
    pub(crate) flights: Vec<Flight>,
    /// Times of the last panics.
    pub(crate) panics: VecDeque<Moment>,
    /// An actor of the key died, and the flusher may still have writes of it: the next activation waits for them (I8).
    pub(crate) has_orphans: bool,
    /// The fence under which this process owns the key, with or without an actor. Never where there are no leases.
    pub(crate) lease: Option<Fence>,
    /// When the lease was granted.
    pub(crate) granted_at: Moment,
    /// The durable revision then.
    pub(crate) granted_revision: u64,
    /// The newest revision that a read has shown while the key came or went.
    pub(crate) shown: u64,
    /// Since when others are known to wait for the key.
    pub(crate) wanted_since: Option<Moment>,
    /// What is known of the key while others write it too.
    pub(crate) shared: SharedKey,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: EntryKey,
    /// Calls that are not settled: none may be when the actor leaves (A5).
    pub(crate) open: AtomicU32,
    /// Bytes of the permits of its calls (`shares`).
    pub(crate) held_bytes: AtomicUsize,
    /// Writes that reads wait for (`decisions.md` 9).
    pub(crate) unsettled: AtomicU32,
    /// A row ended in a way that leaves the stored state unknown here: reads wait until the key has been activated again.
    pub(crate) reads_wait: AtomicBool,
    /// Second at which the key was last used.
    pub(crate) last_used: AtomicU32,
    /// It is on the game's list of keys whose machine wants ticks.
    pub(crate) wants_ticks: AtomicBool,
    state: Mutex<SlotState>,
}

impl Slot {
    pub(crate) fn new(key: EntryKey) -> Self {
        let durable = Arc::<Entry>::default();
        let state = SlotState {
            activation: Activation::Vacant,
            generation: 0,
            head: Head::stored(Arc::clone(&durable)),
            durable,
            cached_at: None,
            flights: Vec::new(),
            panics: VecDeque::new(),
            has_orphans: false,
            lease: None,
            granted_at: Moment::default(),
            granted_revision: 0,
            shown: 0,
            wanted_since: None,
            shared: SharedKey::default(),
        };
        Self {
            key,
            open: AtomicU32::new(0),
            held_bytes: AtomicUsize::new(0),
            unsettled: AtomicU32::new(0),
            reads_wait: AtomicBool::new(false),
            last_used: AtomicU32::new(0),
            wants_ticks: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// The slot's state. Held for a few hundred nanoseconds at most, never across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }

    /// Is this activation still waited for?
    pub(crate) fn is_activating(&self, generation: u64) -> bool {
        let state = self.lock();
        state.generation == generation && matches!(state.activation, Activation::Activating(_))
    }

    /// Must a read go through the actor, behind what is not settled?
    pub(crate) fn has_unsettled(&self) -> bool {
        self.unsettled.load(Ordering::Acquire) > 0 || self.reads_wait.load(Ordering::Acquire)
    }

    /// Are there unsettled writes beside the one that `msg` brings?
    pub(crate) fn has_unsettled_besides(&self, msg: &KeyMsg) -> bool {
        let own = u32::from(matches!(msg, Input::Call(op) if op.request.is_write()));
        self.unsettled.load(Ordering::Acquire) > own
    }

    /// Makes a durable state that was built on revision `base` visible to reads (`decisions.md` 6: before anyone is answered).
    /// `None` if the key is not shared; else, whether it is to be owned again.
    pub(crate) fn publish_durable(&self, base: u64, entry: Arc<Entry>, now: Moment) -> Option<bool> {
        let mut state = self.lock();
        if !state.shared.is_shared() {
            debug_assert!(entry.revision >= state.durable.revision, "A4");
            state.durable = entry;
            return None;
        }
        let is_next = base == state.durable.revision;
        // A read may have seen a later one.
        if entry.revision > state.durable.revision {
            state.durable = entry;
        }
        if !is_next {
            state.shared.others_wrote(now);
        }
        Some(state.shared.is_quiet(now))
    }

    /// Gives a message to the actor, if there is one, also one that is leaving. What nobody takes is dropped here, without the lock:
    /// dropping a call answers it.
    pub(crate) fn send_if_live(&self, msg: KeyMsg) {
        let state = self.lock();
        let actor = match &state.activation {
            Activation::Live(actor) | Activation::Leaving(actor, _) => Some(actor.clone()),
            _ => None,
        };
        drop(state);
        if let Some(actor) = actor {
            let _ = actor.cast(msg);
        }
    }
}
