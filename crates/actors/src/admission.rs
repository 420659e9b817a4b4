//! Memory permits: how many bytes of calls may be on their way.
//!
//! Owns: the counters of a game and of the process, and refusing at once when they are full (`decisions.md` 14, A7).
//! Does not own: what a call costs (`core::budget`), request budgets (`rates`), who may take how much (`shares`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clawstore_core::budget::Charge;

/// Whether the ceilings hold for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ceiling {
    /// What exceeds them is refused.
    Holds,
    /// What a VM that goes has accepted is taken all the same: its bytes are in memory already.
    Passed,
}

/// A counter with a ceiling.
#[derive(Debug)]
pub(crate) struct Permits {
    in_use: AtomicUsize,
    pub(crate) limit: usize,
    /// Of a game: its keys that hold some. Of the process: games with such keys (`shares`).
    pub(crate) holders: AtomicUsize,
}

impl Permits {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { in_use: AtomicUsize::new(0), limit, holders: AtomicUsize::new(0) })
    }

    pub(crate) fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let before = self.in_use.fetch_add(bytes, Ordering::Relaxed);
        let granted = before + bytes <= self.limit;
        if !granted {
            self.give_back(bytes);
        }
        granted
    }

    fn take(&self, bytes: usize) {
        self.in_use.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        let before = self.in_use.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "A7: permits given back twice");
    }
}

/// The permits that a game's calls take: its own, then the process's.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) game: Arc<Permits>,
    pub(crate) process: Arc<Permits>,
}

impl Admission {
    /// Takes what a call costs, or nothing.
    pub(crate) fn admit(self: &Arc<Self>, charge: Charge, ceiling: Ceiling) -> Option<Permit> {
        if ceiling == Ceiling::Passed {
            self.game.take(charge.bytes);
            self.process.take(charge.bytes);
            return Some(Permit { admission: Arc::clone(self), bytes: charge.bytes });
        }
        if !self.game.try_take(charge.bytes) {
            return None;
        }
        if !self.process.try_take(charge.bytes) {
            self.game.give_back(charge.bytes);
            return None;
        }
        Some(Permit { admission: Arc::clone(self), bytes: charge.bytes })
    }
}

/// Bytes held until the call is settled.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) admission: Arc<Admission>,
    pub(crate) bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.game.give_back(self.bytes);
        self.admission.process.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ceilings_hold_and_everything_comes_back() {
        let process = Permits::new(100);
        let game = || Arc::new(Admission { game: Permits::new(80), process: Arc::clone(&process) });
        let charge = |bytes| Charge { requests: &[], count: 1, bytes };
        let (a, b) = (game(), game());
        let first = a.admit(charge(70), Ceiling::Holds).expect("fits");
        assert!(a.admit(charge(11), Ceiling::Holds).is_none(), "the game's own ceiling");
        assert!(b.admit(charge(31), Ceiling::Holds).is_none(), "the process's ceiling");
        assert_eq!((b.game.in_use(), process.in_use()), (0, 70), "a refused call holds nothing");
        let second = b.admit(charge(30), Ceiling::Holds).expect("fits exactly");
        let last = a.admit(charge(500), Ceiling::Passed).expect("is in memory already");
        assert_eq!((a.game.in_use(), process.in_use()), (570, 600), "and counts");
        drop((first, second, last));
        assert_eq!((a.game.in_use(), process.in_use()), (0, 0));
    }
}
