//! Giving leases back.
//!
//! Owns: which leases are given back in the next call, trying that again, keys that are shared instead, and leaving a key that
//! others wanted to them for a while. Does not own: asking for it again (`acquisition`).

use super::{LeaseEffect, Leases};
use crate::backend::{BackendError, BackendErrorKind, Fence, GiveBack, Hint, Incarnation};
use crate::clock::Moment;
use crate::entry_key::EntryKey;
use crate::limits::{COOLING, LEASES_PER_CALL_MAX, RETRY_PAUSE};

/// A lease on its way back.
#[derive(Debug)]
pub(super) struct Release {
    fence: Fence,
    share: Option<Fence>,
    /// Others wait for the key: it is left to them for a while.
    is_wanted: bool,
}

impl Release {
    fn of(&self, key: &EntryKey) -> GiveBack {
        GiveBack { key: key.clone(), fence: self.fence, share: self.share }
    }
}

impl Leases {
    /// Gives a lease back that nobody needs.
    pub fn give_back(&mut self, key: EntryKey, fence: Fence) {
        self.releasing.insert(key, Release { fence, share: None, is_wanted: false });
    }

    /// Gives a lease back because others wait for it. `draw` gives a fence to share the key under, if its store may be shared: a key
    /// that changes hands too often is.
    pub fn give_away(&mut self, now: Moment, key: EntryKey, fence: Fence, draw: impl FnOnce() -> Option<Fence>) {
        let share = if self.contention.is_too_much(now, &key) { draw() } else { None };
        self.releasing.insert(key, Release { fence, share, is_wanted: true });
    }

    pub(super) fn release(&mut self, now: Moment) -> Option<LeaseEffect> {
        if self.release_in_flight || self.releasing.is_empty() || self.release_at.is_some_and(|at| at > now) {
            return None;
        }
        self.release_in_flight = true;
        self.release_at = None;
        let leases = self.releasing.iter().take(LEASES_PER_CALL_MAX);
        Some(LeaseEffect::Release(leases.map(|(key, release)| release.of(key)).collect()))
    }

    /// When leases are given back next.
    pub(super) fn next_release(&self, now: Moment) -> Option<Moment> {
        let has_some = !self.release_in_flight && !self.releasing.is_empty();
        has_some.then(|| self.release_at.unwrap_or(now))
    }

    /// Leases to be given back, those on their way included.
    pub fn releasing(&self) -> Vec<GiveBack> {
        self.releasing.iter().map(|(key, release)| release.of(key)).collect()
    }

    /// The answer to `Release`: who had asked for the keys. A lease whose release is not known to be done is given back again: its
    /// fence tells whether it still is one.
    pub fn released(&mut self, now: Moment, leases: &[GiveBack], result: Result<Vec<Incarnation>, BackendError>) {
        self.release_in_flight = false;
        match result {
            Err(error) if matches!(error.kind, BackendErrorKind::Unavailable | BackendErrorKind::Unknown) => {
                self.release_at = Some(now + RETRY_PAUSE.0);
            }
            // Refused for good: the leases end with the incarnation.
            result => {
                for GiveBack { key, fence, .. } in leases {
                    let Some(release) = self.releasing.get(key).filter(|release| release.fence == *fence) else {
                        continue;
                    };
                    let until = release.is_wanted.then(|| now + COOLING);
                    self.releasing.remove(key);
                    self.ask_after_release(key, until);
                }
                result.into_iter().flatten().for_each(|asker| self.hints.send(asker, Hint::Freed));
            }
        }
    }
}
