//! Which other processes move.
//!
//! Owns: for each watched process, how long its count of beats has stood still while this process watched without a gap.
//! Does not own: what a death sets free (`lease`), whether a process still has its connection (the store tells).

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::backend::{Incarnation, Peer};
use crate::clock::Moment;
use crate::limits::{SUSPECT_AFTER, SUSPECT_FAST_AFTER, SUSPECT_FAST_PAUSE, WATCH_GAP_MAX};

#[derive(Debug)]
struct Watched {
    beats: u64,
    /// Since when it has been seen not to move.
    still_since: Moment,
    /// When it is suspected of having lost its connection, unless it moves.
    fast_at: Moment,
}

impl Watched {
    fn new(now: Moment, beats: u64) -> Self {
        Self { beats, still_since: now, fast_at: now + SUSPECT_FAST_AFTER }
    }
}

/// Those that have not moved for too long.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Dead if they have lost their connection too.
    pub(super) fast: Vec<Peer>,
    /// Dead.
    pub(super) slow: Vec<Peer>,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    watched: HashMap<Incarnation, Watched, FixedState>,
    /// When the last own beat succeeded.
    last_beat: Option<Moment>,
}

impl Peers {
    pub(super) fn seen(&mut self, now: Moment, peer: Peer) {
        let watched = self.watched.entry(peer.incarnation).or_insert_with(|| Watched::new(now, peer.beats));
        if watched.beats != peer.beats {
            *watched = Watched::new(now, peer.beats);
        }
    }

    /// `alive`: who answered. Others are gone, or not watched any more.
    pub(super) fn own_beat_succeeded(&mut self, now: Moment, alive: &[Peer]) {
        if self.is_blind(now) {
            // It was not watching all the time: it may have been frozen.
            self.restart(now);
        }
        self.last_beat = Some(now);
        self.watched.retain(|incarnation, _| alive.iter().any(|peer| peer.incarnation == *incarnation));
        for peer in alive {
            self.seen(now, *peer);
        }
    }

    /// What this process cannot reach, others may not reach either (`ownership-protocol.md` A6).
    pub(super) fn own_beat_failed(&mut self, now: Moment) {
        self.last_beat = None;
        self.restart(now);
    }

    fn restart(&mut self, now: Moment) {
        for watched in self.watched.values_mut() {
            *watched = Watched::new(now, watched.beats);
        }
    }

    fn is_blind(&self, now: Moment) -> bool {
        self.last_beat.is_none_or(|last| now.since(last) > WATCH_GAP_MAX)
    }

    /// A slow one is taken once: it is watched anew after that. A fast one is suspected again after a pause.
    pub(super) fn take_suspects(&mut self, now: Moment) -> Suspects {
        if self.is_blind(now) {
            return Suspects::default();
        }
        let is_slow = |watched: &Watched| now.since(watched.still_since) >= SUSPECT_AFTER;
        let slow = self.watched.extract_if(|_, watched| is_slow(watched));
        let slow = slow.map(|(incarnation, watched)| Peer { incarnation, beats: watched.beats }).collect();
        let mut fast = Vec::new();
        for (&incarnation, watched) in &mut self.watched {
            if watched.fast_at <= now {
                watched.fast_at = now + SUSPECT_FAST_PAUSE;
                fast.push(Peer { incarnation, beats: watched.beats });
            }
        }
        Suspects { fast: in_order(fast), slow: in_order(slow) }
    }

    pub(super) fn next_suspicion(&self, now: Moment) -> Option<Moment> {
        // After a gap the next beat restarts all watches.
        if self.is_blind(now) {
            return None;
        }
        self.watched.values().map(|watched| watched.fast_at.min(watched.still_since + SUSPECT_AFTER)).min()
    }
}

/// In one order everywhere: two who declare the same deaths must not wait for each other.
fn in_order(mut peers: Vec<Peer>) -> Vec<Peer> {
    peers.sort_unstable_by_key(|peer| peer.incarnation);
    peers
}
