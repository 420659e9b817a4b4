//! Which keys of a game are in memory.
//!
//! Owns: the map from key to slot, and taking a slot out without anyone using it afterwards. Does not own: what is in a
//! slot (`slot`), who leaves when (`passivation`).

use std::sync::Arc;

use clawstore_core::EntryKey;
use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::slot::{Activation, Slot, SlotState};

/// Shards of the map: enough that a sweep, which locks one at a time, never keeps a caller waiting for long.
const SHARDS: usize = 128;

#[derive(Debug)]
pub(crate) struct Directory {
    slots: DashMap<EntryKey, Arc<Slot>, RandomState>,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self { slots: DashMap::with_capacity_and_hasher_and_shard_amount(0, RandomState::default(), SHARDS) }
    }

    /// The slot of a key; a fresh one is vacant. It may be `Removed` by the time its lock is taken: ask again then.
    pub(crate) fn slot(&self, key: &EntryKey) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(key) {
            return Arc::clone(&slot);
        }
        let slot = self.slots.entry(key.clone()).or_insert_with(|| Arc::new(Slot::new(key.clone())));
        Arc::clone(&slot)
    }

    /// Looks at the slot of a key, if it has one, without taking hold of it: for reads that are answered at once.
    pub(crate) fn look<R>(&self, key: &EntryKey, f: impl FnOnce(&Slot) -> Option<R>) -> Option<R> {
        self.slots.get(key).and_then(|slot| f(&slot))
    }

    /// The slot of a key, if it has one.
    pub(crate) fn existing(&self, key: &EntryKey) -> Option<Arc<Slot>> {
        self.slots.get(key).map(|slot| Arc::clone(&slot))
    }

    /// Runs `f` on the state of the key's slot, which is not `Removed`.
    pub(crate) fn with_slot<R>(&self, key: &EntryKey, f: impl FnOnce(&Arc<Slot>, &mut SlotState) -> R) -> R {
        loop {
            let slot = self.slot(key);
            let mut state = slot.lock();
            if !matches!(state.activation, Activation::Removed) {
                return f(&slot, &mut state);
            }
        }
    }

    /// Takes out a slot whose state the caller has set to `Removed`.
    pub(crate) fn remove(&self, slot: &Arc<Slot>) {
        self.slots.remove_if(&slot.key, |_, found| Arc::ptr_eq(found, slot));
    }

    /// All slots, in no order. Locks one shard at a time.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Arc<Slot>)) {
        for slot in &self.slots {
            f(slot.value());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
