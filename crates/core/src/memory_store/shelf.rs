//! All structures of one kind of a game, by name.
//!
//! Owns: making a structure when it is first written and forgetting it when it is empty; letting expired items go a few at a
//! time, also those of structures that nobody calls any more; the limits of one structure. Does not own: what a call does.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::call::MemoryReply;
use super::error::{MemoryError, MemoryStatus};
use super::quota::{Quota, Used};
use crate::clock::Timestamp;
use crate::limits::{MEMORY_BYTES_MAX, MEMORY_EVICTIONS_PER_CALL, MEMORY_ITEMS_MAX};

/// A sorted map, a queue or a hash map.
pub(super) trait Structure: Default {
    type Call;

    /// Makes a call; also what it has cost, in request units.
    fn apply(&mut self, call: Self::Call, at: &mut At<'_>) -> Result<(MemoryReply, u64), MemoryError>;

    /// Lets go of items that have expired, at most so many.
    fn evict(&mut self, now: Timestamp, at_most: usize);

    /// What is kept, also of what has expired.
    fn used(&self) -> Used;
}

/// When a call takes effect, and within what.
pub(super) struct At<'a> {
    pub(super) now: Timestamp,
    /// Greater with every call of the game.
    pub(super) number: u64,
    /// What the whole game keeps.
    pub(super) total: Used,
    pub(super) quota: &'a mut Quota,
}

impl At<'_> {
    /// May a structure that keeps `own` keep `new` in the place of `old`?
    ///
    /// # Errors
    /// `DataStructureItemsOverLimit`, `DataStructureMemoryOverLimit`, `TotalMemoryOverLimit`; only of what grows.
    pub(super) fn check_growth(&mut self, own: Used, old: Used, new: Used) -> Result<(), MemoryError> {
        let after = own.minus(old).plus(new);
        if after.items > MEMORY_ITEMS_MAX && after.items > own.items {
            let text = format_args!("There are {MEMORY_ITEMS_MAX} items already.");
            return Err(MemoryStatus::DataStructureItemsOverLimit.error(text));
        }
        if after.bytes > MEMORY_BYTES_MAX && after.bytes > own.bytes {
            let text = format_args!("There would be more than {MEMORY_BYTES_MAX} bytes.");
            return Err(MemoryStatus::DataStructureMemoryOverLimit.error(text));
        }
        self.quota.check_growth(self.now, self.total, self.total.minus(old).plus(new))
    }
}

#[derive(Debug)]
pub(super) struct Shelf<S> {
    structures: BTreeMap<Arc<str>, S>,
    used: Used,
    /// The structure that was looked after last.
    swept: Option<Arc<str>>,
}

impl<S> Default for Shelf<S> {
    fn default() -> Self {
        Self { structures: BTreeMap::new(), used: Used::default(), swept: None }
    }
}

impl<S: Structure> Shelf<S> {
    pub(super) fn used(&self) -> Used {
        self.used
    }

    pub(super) fn call(
        &mut self,
        name: Arc<str>,
        call: S::Call,
        at: &mut At<'_>,
    ) -> Result<(MemoryReply, u64), MemoryError> {
        let structure = self.structures.entry(Arc::clone(&name)).or_default();
        let before = structure.used();
        structure.evict(at.now, MEMORY_EVICTIONS_PER_CALL);
        at.total = at.total.minus(before).plus(structure.used());
        let result = structure.apply(call, at);
        self.settle(&name, before);
        result
    }

    /// Looks after the next structure in turn. A structure is made by a call, and each call looks after one: none is
    /// forgotten.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        let next = match &self.swept {
            Some(swept) => self.structures.range_mut::<str, _>((Excluded(&**swept), Unbounded)).next(),
            None => self.structures.iter_mut().next(),
        };
        let Some((name, structure)) = next else {
            self.swept = None;
            return;
        };
        let (name, before) = (Arc::clone(name), structure.used());
        structure.evict(now, MEMORY_EVICTIONS_PER_CALL);
        self.settle(&name, before);
        self.swept = Some(name);
    }

    /// Counts what a structure keeps now, and forgets it if that is nothing.
    fn settle(&mut self, name: &str, before: Used) {
        let Some(structure) = self.structures.get(name) else { return };
        let now = structure.used();
        self.used = self.used.minus(before).plus(now);
        if now.items == 0 {
            self.structures.remove(name);
        }
    }
}
