//! A hash map: items by key, in no order that scripts may count on.
//!
//! Owns: its rules (spec §7.1). Does not own: the items; a hash map is a sorted map without sort keys, so that pages of it are
//! stable and a simulated run repeats itself.

use super::call::{Direction, HashMapCall, MemoryReply, RangeBound};
use super::error::MemoryError;
use super::quota::Used;
use super::shelf::{At, Structure};
use super::sorted_map::SortedMap;
use crate::clock::Timestamp;

#[derive(Debug, Default)]
pub(super) struct HashMap(SortedMap);

impl Structure for HashMap {
    type Call = HashMapCall;

    fn apply(&mut self, call: HashMapCall, at: &mut At<'_>) -> Result<(MemoryReply, u64), MemoryError> {
        Ok(match call {
            HashMapCall::Get(key) => (MemoryReply::Item(self.0.get(at.now, &key)), 1),
            HashMapCall::Set(key, mut write) => {
                write.sort_key = None;
                (self.0.set(&key, write, at)?, 1)
            }
            HashMapCall::Remove(key) => {
                self.0.remove(&key);
                (MemoryReply::Done, 1)
            }
            HashMapCall::List { after, count } => {
                let bounds = (RangeBound { key: after, sort_key: None }, RangeBound::default());
                // One more tells whether there are more.
                let mut items = self.0.range(at.now, Direction::Ascending, count + 1, bounds);
                let has_more = items.len() > count;
                items.truncate(count);
                // Partitions and items (spec §7.1); there is one partition here.
                let units = 1 + items.len() as u64;
                (MemoryReply::Page { items, has_more }, units)
            }
        })
    }

    fn evict(&mut self, now: Timestamp, at_most: usize) {
        self.0.evict(now, at_most);
    }

    fn used(&self) -> Used {
        self.0.used()
    }
}
