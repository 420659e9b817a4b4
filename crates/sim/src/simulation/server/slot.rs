//! One key's place in a server (mirrors `actors::slot`).
//!
//! Owns: whether the key has an actor or is getting one, the calls that came before it was there, the durable value that reads
//! see and the speculative head that transforms read, the cache entry of a key without an actor. Does not own: the actor.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use clawstore_core::Entry;
use clawstore_core::backend::Fence;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Head, Input};

use super::port::{Counts, Port};
use super::shared_key::SharedKey;

/// What a key actor is sent.
pub(super) type KeyMsg = Input<Port>;

#[derive(Debug)]
pub(super) enum Activation {
    /// No actor.
    Vacant,
    /// One is on its way; calls wait here, in order.
    Activating(VecDeque<KeyMsg>),
    /// The actor of this number takes calls, unless it has died.
    Live(u64),
    /// The actor gives up the key; calls wait here, behind what it will bring back.
    Leaving(u64, VecDeque<KeyMsg>),
}

/// A read on its way, with those who wait for it.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) number: u64,
    pub(super) generation: u64,
    /// Later callers may wait for it too.
    pub(super) is_shared: bool,
    pub(super) waiters: Vec<(Moment, Port)>,
}

/// One key.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) counts: Rc<Counts>,
    pub(super) activation: Activation,
    /// Counts activations: what belongs to an older one is void.
    pub(super) generation: u64,
    /// What reads see: the durable value while live, else the value that was read or left at `cached_at`.
    pub(super) durable: Arc<Entry>,
    /// The newest accepted revision, for transforms. Only meaningful while live.
    pub(super) head: Head,
    /// When `durable` was read, for a key without an actor or one that is shared.
    pub(super) cached_at: Option<Moment>,
    pub(super) flights: Vec<Flight>,
    /// The newest revision that a read has shown while an actor was on its way.
    pub(super) shown: u64,
    /// An actor of the key died, and the flusher may still have writes of it.
    pub(super) has_orphans: bool,
    /// The fence under which this process owns the key, with or without an actor.
    pub(super) lease: Option<Fence>,
    pub(super) granted_at: Moment,
    /// The durable revision then.
    pub(super) granted_revision: u64,
    /// Since when others are known to wait for the key.
    pub(super) wanted_since: Option<Moment>,
    /// A row ended in a way that leaves the stored state unknown here.
    pub(super) reads_wait: bool,
    /// What is known of the key while others write it too.
    pub(super) shared: SharedKey,
    pub(super) wants_ticks: bool,
    pub(super) last_used: Moment,
}

impl Slot {
    pub(super) fn new() -> Self {
        let durable = Arc::<Entry>::default();
        Self {
            counts: Rc::default(),
            activation: Activation::Vacant,
            generation: 0,
            head: Head::stored(Arc::clone(&durable)),
            durable,
            cached_at: None,
            flights: Vec::new(),
            shown: 0,
            has_orphans: false,
            lease: None,
            granted_at: Moment::default(),
            granted_revision: 0,
            wanted_since: None,
            reads_wait: false,
            shared: SharedKey::default(),
            wants_ticks: false,
            last_used: Moment::default(),
        }
    }

    pub(super) fn is_activating(&self, generation: u64) -> bool {
        self.generation == generation && matches!(self.activation, Activation::Activating(_))
    }

    /// Must a read go through the actor, behind what is not settled?
    pub(super) fn has_unsettled(&self) -> bool {
        self.counts.unsettled.get() > 0 || self.reads_wait
    }

    /// Nothing of the key is on its way.
    pub(super) fn is_clean(&self) -> bool {
        self.counts.open.get() == 0
    }

    /// The actor, if there is one, also one that is leaving.
    pub(super) fn actor(&self) -> Option<u64> {
        match self.activation {
            Activation::Live(actor) | Activation::Leaving(actor, _) => Some(actor),
            Activation::Vacant | Activation::Activating(_) => None,
        }
    }
}

pub(super) fn is_call(msg: &KeyMsg) -> bool {
    matches!(msg, Input::Call(_))
}
