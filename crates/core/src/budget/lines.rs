//! Which calls wait on each key: all calls on one key keep their order.
//!
//! Owns: one line of numbers for each key that somebody waits for, so that a look at a call costs the same however many wait.
//! Does not own: the calls (`queues`).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::entry_key::EntryKey;

/// See the module. A line is there while somebody stands in it.
#[derive(Debug, Default)]
pub(super) struct Lines {
    of: HashMap<EntryKey, Line, FixedState>,
}

#[derive(Debug, Default)]
struct Line {
    /// Growing.
    numbers: VecDeque<u64>,
    writes: usize,
}

impl Lines {
    /// Does a call wait on this key?
    pub(super) fn has(&self, key: &EntryKey) -> bool {
        self.of.contains_key(key)
    }

    /// Does a call wait that writes this key?
    pub(super) fn has_write(&self, key: &EntryKey) -> bool {
        self.of.get(key).is_some_and(|line| line.writes > 0)
    }

    /// Does this call wait on this key, and none before it?
    pub(super) fn is_first(&self, key: &EntryKey, number: u64) -> bool {
        self.of.get(key).is_some_and(|line| line.numbers.front() == Some(&number))
    }

    /// A call comes. Its number is larger than all before it.
    pub(super) fn join(&mut self, key: &EntryKey, number: u64, is_write: bool) {
        let line = self.of.entry(key.clone()).or_default();
        line.numbers.push_back(number);
        line.writes += usize::from(is_write);
    }

    /// The call that was the first of its line until just now is that again.
    pub(super) fn comes_back(&mut self, key: &EntryKey, number: u64, is_write: bool) {
        let line = self.of.entry(key.clone()).or_default();
        line.numbers.push_front(number);
        line.writes += usize::from(is_write);
    }

    /// The first call of a line goes.
    pub(super) fn first_leaves(&mut self, key: EntryKey, is_write: bool) {
        let Entry::Occupied(mut line) = self.of.entry(key) else { return };
        line.get_mut().numbers.pop_front();
        line.get_mut().writes -= usize::from(is_write);
        if line.get().numbers.is_empty() {
            line.remove();
        }
    }
}
