//! Which other processes move.
//!
//! Owns: for each watched process, how long its count of beats has stood still while this process watched without a gap.
//! Does not own: what a death sets free (`lease`).

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::backend::{Incarnation, Peer};
use crate::clock::Moment;
use crate::limits::{SUSPECT_AFTER, WATCH_GAP_MAX};

#[derive(Debug)]
struct Watched {
    beats: u64,
    /// Since when it has been seen not to move.
    still_since: Moment,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    watched: HashMap<Incarnation, Watched, FixedState>,
    /// When the last own beat succeeded.
    last_beat: Option<Moment>,
}

impl Peers {
    pub(super) fn seen(&mut self, now: Moment, peer: Peer) {
        let fresh = || Watched { beats: peer.beats, still_since: now };
        let watched = self.watched.entry(peer.incarnation).or_insert_with(fresh);
        if watched.beats != peer.beats {
            *watched = fresh();
        }
    }

    /// `alive`: who answered. Others are gone, or not watched any more.
    pub(super) fn own_beat_succeeded(&mut self, now: Moment, alive: &[Peer]) {
        if self.last_beat.is_none_or(|last| now.since(last) > WATCH_GAP_MAX) {
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
            watched.still_since = now;
        }
    }

    /// Those that have not moved for too long. Each is taken once: it is watched anew after that.
    pub(super) fn take_suspects(&mut self, now: Moment) -> Vec<Peer> {
        if self.last_beat.is_none_or(|last| now.since(last) > WATCH_GAP_MAX) {
            return Vec::new();
        }
        let is_suspect = |watched: &Watched| now.since(watched.still_since) >= SUSPECT_AFTER;
        let taken = self.watched.extract_if(|_, watched| is_suspect(watched));
        let mut suspects: Vec<_> =
            taken.map(|(incarnation, watched)| Peer { incarnation, beats: watched.beats }).collect();
        // In one order everywhere: two who declare the same deaths must not wait for each other.
        suspects.sort_unstable_by_key(|peer| peer.incarnation);
        suspects
    }

    pub(super) fn next_suspicion(&self, now: Moment) -> Option<Moment> {
        // After a gap the next beat restarts all watches.
        self.last_beat.filter(|&last| now.since(last) <= WATCH_GAP_MAX)?;
        self.watched.values().map(|watched| watched.still_since + SUSPECT_AFTER).min()
    }
}
