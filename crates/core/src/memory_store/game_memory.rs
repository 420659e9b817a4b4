//! All memory stores of one game.
//!
//! Owns: which structure a call is about; that time never goes back; the numbers that revisions and reads are known by.
//! Does not own: a clock.

use super::call::{MemoryCall, MemoryReply};
use super::error::MemoryError;
use super::hash_map::HashMap;
use super::queue::Queue;
use super::quota::{Quota, Used};
use super::shelf::{At, Shelf};
use super::sorted_map::SortedMap;
use crate::clock::Timestamp;
use crate::limits::Limits;

/// The memory stores of one game, as a state machine.
#[derive(Debug, Default)]
pub struct GameMemory {
    quota: Quota,
    /// The latest time that was handed in.
    now: Timestamp,
    /// How many calls there were. Not per structure: one that is made anew under a name must not give out a revision again.
    calls: u64,
    sorted_maps: Shelf<SortedMap>,
    queues: Shelf<Queue>,
    hash_maps: Shelf<HashMap>,
}

impl GameMemory {
    /// Empty.
    pub fn new(limits: Limits) -> Self {
        Self { quota: Quota::new(limits), ..Self::default() }
    }

    /// How many players the game has from now on.
    pub fn set_users(&mut self, now: Timestamp, users: u32) {
        let now = self.advance(now);
        self.quota.set_users(now, users);
    }

    /// Makes a call. Time that goes back stands still.
    ///
    /// # Errors
    /// Nothing of the call was applied then.
    pub fn call(&mut self, now: Timestamp, call: MemoryCall) -> Result<MemoryReply, MemoryError> {
        let now = self.advance(now);
        call.validate()?;
        self.quota.check_units(now)?;
        self.sorted_maps.sweep(now);
        self.queues.sweep(now);
        self.hash_maps.sweep(now);
        self.calls += 1;
        let mut at = At { now, number: self.calls, total: self.total(), quota: &mut self.quota };
        let called = match call {
            MemoryCall::SortedMap(name, call) => self.sorted_maps.call(name, call, &mut at),
            MemoryCall::Queue(name, call) => self.queues.call(name, call, &mut at),
            MemoryCall::HashMap(name, call) => self.hash_maps.call(name, call, &mut at),
        };
        let units = called.as_ref().map_or(1, |(_, units)| *units);
        self.quota.charge(units);
        called.map(|(reply, _)| reply)
    }

    /// Items that take memory, also those that have expired.
    pub fn resident_items(&self) -> usize {
        self.total().items
    }

    fn total(&self) -> Used {
        self.sorted_maps.used().plus(self.queues.used()).plus(self.hash_maps.used())
    }

    fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }
}
