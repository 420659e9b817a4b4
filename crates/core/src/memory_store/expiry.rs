//! When items expire.
//!
//! Owns: the order of their times, so that the next to expire is found without looking at the others. Does not own: items.

use std::collections::BTreeSet;

use crate::clock::Timestamp;

/// Items by the time at which they expire.
#[derive(Debug)]
pub(super) struct Expiry<K>(BTreeSet<(Timestamp, K)>);

impl<K> Default for Expiry<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Ord + Clone> Expiry<K> {
    pub(super) fn insert(&mut self, at: Timestamp, item: K) {
        self.0.insert((at, item));
    }

    pub(super) fn remove(&mut self, at: Timestamp, item: K) {
        self.0.remove(&(at, item));
    }

    /// Items that have expired and are still here, the first to expire first.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = &K> {
        self.0.iter().take_while(move |(at, _)| *at <= now).map(|(_, item)| item)
    }
}

/// This many seconds later. Negative counts as 0.
pub(super) fn after(now: Timestamp, seconds: i64) -> Timestamp {
    let ticks = u64::try_from(seconds).unwrap_or(0).saturating_mul(10_000_000);
    Timestamp::from_ticks(now.ticks().saturating_add(ticks))
}
