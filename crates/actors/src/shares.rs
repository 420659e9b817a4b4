//! Fair shares of the memory permits while they are short (`decisions.md` 22, `Limits::Fair`).
//!
//! Owns: who holds permits, and whether one more call would exceed its game's share or its key's. Does not own: the permits
//! (`admission`), what a call that exceeds a share does (it waits in its VM's gate; a Rust task, which has no queue, is refused).
//!
//! While less than half is in use nobody has a share. From then on games get equal shares of the process's permits, and keys
//! equal shares of what their game may hold. There is always one share more than there are holders, so that the next
//! that comes finds room. Who holds nothing may make a call however large, if the permits allow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clawstore_core::EntryKey;

use crate::admission::{Admission, Permit, Permits};
use crate::game::Game;

/// When a call that waits for its share looks again, if nothing of its VM ends before: a batch takes about as long.
pub(crate) const SHARE_LOOK_EVERY: Duration = Duration::from_millis(5);

impl Permits {
    /// What one of the holders may hold of `limit`.
    fn share(&self, limit: usize) -> usize {
        if self.in_use() < limit / 2 {
            return limit;
        }
        limit / self.holders.load(Ordering::Relaxed).saturating_add(1)
    }

    fn have(&self, bytes: usize) -> bool {
        self.in_use().saturating_add(bytes) <= self.limit
    }
}

/// Would `held` and one call more be within a share?
fn is_within(share: usize, held: usize, bytes: usize) -> bool {
    held == 0 || held.saturating_add(bytes) <= share
}

impl Game {
    /// May a call of so many bytes be admitted now? Of a call without a key, only its game's share counts.
    pub(crate) fn has_share(&self, key: Option<&EntryKey>, bytes: usize) -> bool {
        let Admission { game, process } = &*self.admission;
        if bytes > game.limit.min(process.limit) {
            // It will never fit: admission says so.
            return true;
        }
        let of_game = process.share(process.limit).min(game.limit);
        if !process.have(bytes) || !is_within(of_game, game.in_use(), bytes) {
            return false;
        }
        let of_key = game.share(of_game);
        let held = |key| self.directory.look(key, |slot| Some(slot.held_bytes.load(Ordering::Relaxed)));
        of_key == of_game || key.is_none_or(|key| is_within(of_key, held(key).unwrap_or(0), bytes))
    }
}

impl Permit {
    /// Counts it as held by a key. The first of a key makes that a holder, and the first key its game.
    pub(crate) fn count_for(&self, key: &AtomicUsize) {
        let Admission { game, process } = &*self.admission;
        if key.fetch_add(self.bytes, Ordering::AcqRel) == 0 && game.holders.fetch_add(1, Ordering::AcqRel) == 0 {
            process.holders.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Gives back what [`count_for`](Self::count_for) counted.
    pub(crate) fn give_back_of(self, key: &AtomicUsize) {
        let Admission { game, process } = &*self.admission;
        let is_last = key.fetch_sub(self.bytes, Ordering::AcqRel) == self.bytes;
        if is_last && game.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            process.holders.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
