//! A queue: items by priority, first come first served among equals, hidden while a reader works on them.
//!
//! Owns: its rules (spec §7.1). Does not own: waiting for items, limits (`shelf`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::call::{MemoryReply, QueueCall};
use super::error::MemoryError;
use super::expiry::{Expiry, after};
use super::position::Number;
use super::quota::Used;
use super::shelf::{At, Structure};
use crate::clock::Timestamp;
use crate::value::Value;

#[derive(Debug, Default)]
pub(super) struct Queue {
    items: BTreeMap<Place, Item>,
    visible: BTreeSet<Place>,
    /// What reads have hidden, by the time at which it shows again.
    reads: BTreeMap<Read, Vec<Place>>,
    expiry: Expiry<Place>,
    bytes: usize,
}

/// Priority, then order of adding.
type Place = (Reverse<Number>, u64);

/// When what was read shows again, and the number of the read.
type Read = (Timestamp, u64);

#[derive(Debug)]
struct Item {
    value: Value,
    expires: Timestamp,
}

impl Queue {
    fn add(&mut self, value: Value, expires_in: i64, priority: Number, at: &mut At<'_>) -> Result<(), MemoryError> {
        let new = Used { items: 1, bytes: value.json().len() };
        at.check_growth(self.used(), Used::default(), new)?;
        let expires = after(at.now, expires_in);
        if expires > at.now {
            let place = (Reverse(priority), at.number);
            self.bytes += new.bytes;
            self.visible.insert(place);
            self.expiry.insert(expires, place);
            self.items.insert(place, Item { value, expires });
        }
        Ok(())
    }

    fn read(&mut self, count: usize, all_or_nothing: bool, invisible_for: i64, at: &At<'_>) -> MemoryReply {
        let live = |place: &&Place| self.items.get(place).is_some_and(|item| item.expires > at.now);
        let places: Vec<Place> = self.visible.iter().filter(live).take(count).copied().collect();
        if places.is_empty() || (all_or_nothing && places.len() < count) {
            return MemoryReply::Taken { values: Vec::new(), id: None };
        }
        let values = places.iter().filter_map(|place| self.items.get(place)).map(|item| item.value.clone()).collect();
        for place in &places {
            self.visible.remove(place);
        }
        let read = (after(at.now, invisible_for), at.number);
        self.reads.insert(read, places);
        MemoryReply::Taken { values, id: Some(id_of(read)) }
    }

    /// Shows again what nobody has removed in time.
    fn show_again(&mut self, now: Timestamp) {
        while let Some(first) = self.reads.first_entry().filter(|first| first.key().0 <= now) {
            // What has expired meanwhile may be gone.
            let places = first.remove();
            self.visible.extend(places.into_iter().filter(|place| self.items.contains_key(place)));
        }
    }

    fn remove_read(&mut self, id: &str) {
        let places = read_of(id).and_then(|read| self.reads.remove(&read)).unwrap_or_default();
        for place in places {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: Place) {
        let Some(item) = self.items.remove(&place) else { return };
        self.bytes -= item.value.json().len();
        self.visible.remove(&place);
        self.expiry.remove(item.expires, place);
    }

    fn size(&self, now: Timestamp, exclude_invisible: bool) -> usize {
        if exclude_invisible {
            self.visible.len() - self.expiry.due(now).filter(|place| self.visible.contains(place)).count()
        } else {
            self.items.len() - self.expiry.due(now).count()
        }
    }
}

/// The name of a read for scripts.
fn id_of((until, number): Read) -> Arc<str> {
    format!("{:x}-{number:x}", until.ticks()).into()
}

/// Ids that no read has made name nothing.
fn read_of(id: &str) -> Option<Read> {
    let (until, number) = id.split_once('-')?;
    let number_of = |text| u64::from_str_radix(text, 16).ok();
    Some((Timestamp::from_ticks(number_of(until)?), number_of(number)?))
}

impl Structure for Queue {
    type Call = QueueCall;

    fn apply(&mut self, call: QueueCall, at: &mut At<'_>) -> Result<(MemoryReply, u64), MemoryError> {
        self.show_again(at.now);
        Ok(match call {
            QueueCall::Add { value, expires_in, priority } => {
                self.add(value, expires_in, priority, at)?;
                (MemoryReply::Done, 1)
            }
            QueueCall::Read { count, all_or_nothing, invisible_for } => {
                let reply = self.read(count, all_or_nothing, invisible_for, at);
                let taken = if let MemoryReply::Taken { values, .. } = &reply { values.len() } else { 0 };
                // Each of the looks that a waiting read takes every two seconds costs a unit too (spec §7.1).
                (reply, taken.max(1) as u64)
            }
            QueueCall::Remove(id) => {
                self.remove_read(&id);
                (MemoryReply::Done, 1)
            }
            QueueCall::Size { exclude_invisible } => (MemoryReply::Size(self.size(at.now, exclude_invisible)), 1),
        })
    }

    fn evict(&mut self, now: Timestamp, at_most: usize) {
        for _ in 0..at_most {
            let Some(place) = self.expiry.due(now).next().copied() else { return };
            self.remove(place);
        }
    }

    fn used(&self) -> Used {
        Used { items: self.items.len(), bytes: self.bytes }
    }
}
