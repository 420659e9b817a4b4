//! Which keys change hands too often.
//!
//! Owns: counting how often this process gave a key to others of late (`ownership-protocol.md` §2.2.19). Does not own: what is
//! done about it (`giving`).

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::clock::Moment;
use crate::entry_key::EntryKey;
use crate::limits::{HAND_OVERS_BEFORE_SHARING, SHARE_WINDOW};

#[derive(Debug, Default)]
pub(super) struct Contention {
    /// When each key was given away, the oldest first.
    given: HashMap<EntryKey, VecDeque<Moment>, FixedState>,
}

impl Contention {
    /// A key is given to others. True if that has been too often: the count begins anew.
    pub(super) fn is_too_much(&mut self, now: Moment, key: &EntryKey) -> bool {
        let times = self.given.entry(key.clone()).or_default();
        times.retain(|&at| now.since(at) < SHARE_WINDOW);
        times.push_back(now);
        let is_too_much = times.len() >= HAND_OVERS_BEFORE_SHARING;
        if is_too_much {
            self.given.remove(key);
        }
        is_too_much
    }

    /// Forgets what was long ago.
    pub(super) fn prune(&mut self, now: Moment) {
        self.given.retain(|_, times| times.back().is_some_and(|&last| now.since(last) < SHARE_WINDOW));
    }
}
