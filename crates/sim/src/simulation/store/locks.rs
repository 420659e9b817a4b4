//! Row locks.
//!
//! Owns: who holds which, and who waits in which order. Does not own: which locks a statement needs, how long it waits.

use std::collections::{BTreeMap, VecDeque};

use clawstore_core::backend::{Incarnation, LaneId};

/// A row that can be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// Of a key, by its number.
    Key(usize),
    /// Of a lane.
    Lane(LaneId),
    /// Of an incarnation.
    Incarnation(Incarnation),
}

#[derive(Debug)]
struct Held {
    by: u64,
    waiting: VecDeque<u64>,
}

/// All row locks of the primary. Transactions are known by their numbers.
#[derive(Debug, Default)]
pub struct Locks(BTreeMap<Lock, Held>);

impl Locks {
    /// Somebody has it.
    pub fn is_held(&self, lock: Lock) -> bool {
        self.0.contains_key(&lock)
    }

    /// True if the lock is the transaction's now; else it waits in line.
    pub fn take(&mut self, lock: Lock, transaction: u64) -> bool {
        let held = self.0.entry(lock).or_insert_with(|| Held { by: transaction, waiting: VecDeque::new() });
        if held.by != transaction && !held.waiting.contains(&transaction) {
            held.waiting.push_back(transaction);
        }
        held.by == transaction
    }

    /// The lock goes to the next in line, who is returned.
    pub fn release(&mut self, lock: Lock, transaction: u64) -> Option<u64> {
        let held = self.0.get_mut(&lock)?;
        if held.by != transaction {
            held.waiting.retain(|waiting| *waiting != transaction);
            return None;
        }
        match held.waiting.pop_front() {
            Some(next) => {
                held.by = next;
                Some(next)
            }
            None => {
                self.0.remove(&lock);
                None
            }
        }
    }
}
