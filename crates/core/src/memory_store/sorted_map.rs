//! A sorted map: items by key, and in the order of their sort keys.
//!
//! Owns: its rules (spec §7.1). Does not own: the order itself (`position`), limits (`shelf`).

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound::{self, Excluded, Unbounded};
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::call::{Direction, MemoryReply, RangeBound, RangeItem, SortedMapCall, StoredItem, Write};
use super::error::MemoryError;
use super::expiry::{Expiry, after};
use super::position::{Place, Position, SortKey};
use super::quota::Used;
use super::shelf::{At, Structure};
use crate::clock::Timestamp;
use crate::value::Value;

#[derive(Debug, Default)]
pub(super) struct SortedMap {
    items: HashMap<Arc<str>, Item, FixedState>,
    order: BTreeSet<Position>,
    expiry: Expiry<Arc<str>>,
    bytes: usize,
}

#[derive(Debug)]
struct Item {
    value: Value,
    sort_key: Option<SortKey>,
    expires: Timestamp,
    revision: u64,
}

fn used(key: &str, value: &Value, sort_key: Option<&SortKey>) -> Used {
    Used { items: 1, bytes: key.len() + value.json().len() + sort_key.map_or(0, SortKey::bytes) }
}

impl SortedMap {
    fn live(&self, now: Timestamp, key: &str) -> Option<&Item> {
        self.items.get(key).filter(|item| item.expires > now)
    }

    pub(super) fn get(&self, now: Timestamp, key: &str) -> Option<StoredItem> {
        let Item { value, sort_key, revision, .. } = self.live(now, key)?;
        Some(StoredItem { value: value.clone(), sort_key: sort_key.clone(), revision: *revision })
    }

    pub(super) fn set(&mut self, key: &Arc<str>, write: Write, at: &mut At<'_>) -> Result<MemoryReply, MemoryError> {
        let there = self.live(at.now, key).map_or(0, |item| item.revision);
        if write.expected.is_some_and(|expected| expected != there) {
            return Ok(MemoryReply::Changed);
        }
        let old = self.items.get(key).map_or_else(Used::default, |old| used(key, &old.value, old.sort_key.as_ref()));
        let new = used(key, &write.value, write.sort_key.as_ref());
        at.check_growth(self.used(), old, new)?;
        self.remove(key);
        let expires = after(at.now, write.expires_in);
        if expires > at.now {
            self.bytes += new.bytes;
            self.order.insert(Position::of(key, write.sort_key.as_ref()));
            self.expiry.insert(expires, Arc::clone(key));
            let item = Item { value: write.value, sort_key: write.sort_key, expires, revision: at.number };
            self.items.insert(Arc::clone(key), item);
        }
        Ok(MemoryReply::Written { overwritten: there != 0 })
    }

    pub(super) fn remove(&mut self, key: &Arc<str>) {
        let Some(item) = self.items.remove(key) else { return };
        self.bytes -= used(key, &item.value, item.sort_key.as_ref()).bytes;
        self.order.remove(&Position::of(key, item.sort_key.as_ref()));
        self.expiry.remove(item.expires, Arc::clone(key));
    }

    /// Items between two bounds.
    pub(super) fn range(
        &self,
        now: Timestamp,
        direction: Direction,
        count: usize,
        (lower, upper): (RangeBound, RangeBound),
    ) -> Vec<RangeItem> {
        let (lower, upper) = (edge(lower, Place::Above), edge(upper, Place::Below));
        if let (Excluded(lower), Excluded(upper)) = (&lower, &upper)
            && lower >= upper
        {
            return Vec::new();
        }
        let found = self.order.range((lower, upper));
        let item = |position: &Position| {
            let key = position.key()?;
            let Item { value, sort_key, .. } = self.live(now, key)?;
            Some(RangeItem { key: Arc::clone(key), value: value.clone(), sort_key: sort_key.clone() })
        };
        match direction {
            Direction::Ascending => found.filter_map(item).take(count).collect(),
            Direction::Descending => found.rev().filter_map(item).take(count).collect(),
        }
    }

    fn size(&self, now: Timestamp) -> usize {
        self.items.len() - self.expiry.due(now).count()
    }
}

/// Where a range ends. A sort key alone is beyond all items that have it, seen from within the range.
fn edge(bound: RangeBound, without_key: Place) -> Bound<Position> {
    match (bound.key, bound.sort_key) {
        (None, None) => Unbounded,
        (Some(key), sort_key) => Excluded(Position::new(sort_key, Place::Key(key))),
        (None, sort_key) => Excluded(Position::new(sort_key, without_key)),
    }
}

impl Structure for SortedMap {
    type Call = SortedMapCall;

    fn apply(&mut self, call: SortedMapCall, at: &mut At<'_>) -> Result<(MemoryReply, u64), MemoryError> {
        Ok(match call {
            SortedMapCall::Get(key) => (MemoryReply::Item(self.get(at.now, &key)), 1),
            SortedMapCall::Set(key, write) => {
                // The second half of an update: the read before it has been paid for (spec §7.1: 1 unit for both).
                let units = u64::from(write.expected.is_none());
                (self.set(&key, write, at)?, units)
            }
            SortedMapCall::Remove(key) => {
                self.remove(&key);
                (MemoryReply::Done, 1)
            }
            SortedMapCall::Range { direction, count, lower, upper } => {
                let items = self.range(at.now, direction, count, (lower, upper));
                let units = items.len().max(1) as u64;
                (MemoryReply::Range(items), units)
            }
            SortedMapCall::Size => (MemoryReply::Size(self.size(at.now)), 1),
        })
    }

    fn evict(&mut self, now: Timestamp, at_most: usize) {
        for _ in 0..at_most {
            let Some(key) = self.expiry.due(now).next().cloned() else { return };
            self.remove(&key);
        }
    }

    fn used(&self) -> Used {
        Used { items: self.items.len(), bytes: self.bytes }
    }
}
