//! Who owns which key, and who is alive, as one process sees it (`ownership-protocol.md` §2.2).
//!
//! Owns: what is due when: beats, deaths, giving leases back (`giving`), asking (`acquisition`), hints (`hints`); when a process
//! that does not move is declared dead (`peers`); when this process beats, and what follows from a beat that fails or says that it
//! was declared dead itself; which keys change hands too often (`contention`). Does not own: what a lease is used for
//! (`key_machine`), fences and incarnations (drawn by the shell), the store.
//!
//! Liveness is a hint and no part of the safety argument: a wrong death costs an acquisition, never data. Writes are
//! refused by their fence, row by row.

mod acquisition;
mod contention;
mod giving;
mod hints;
mod peers;
mod sharing;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::backend::{
    BackendError, Beat, BeatAnswer, Fence, GiveBack, Hint, Incarnation, LeaseAsk, LeaseRequest, Peer,
};
use crate::clock::Moment;
use crate::entry::Entry;
use crate::entry_key::EntryKey;
use crate::limits::{BEAT_EVERY, RETRY_PAUSE, TRUST_AFTER_BEAT};
use acquisition::{Turn, Waiting};
use contention::Contention;
use giving::Release;
use hints::Hints;
use peers::{Peers, Suspects};
pub use sharing::Sharing;

/// What the shell must do.
#[derive(Debug, PartialEq, Eq)]
pub enum LeaseEffect {
    /// Draw a new incarnation, make it known, come back with `joined` or `join_failed`.
    Join,
    /// Beat, and come back with `beaten`.
    Beat(Beat),
    /// Ask, and come back with `acquired`.
    Acquire(Incarnation, Vec<LeaseAsk>),
    /// Give back, and come back with `released`.
    Release(Vec<GiveBack>),
    /// Declare dead, and come back with `declared_dead`. True: only those who have lost their connection too.
    DeclareDead(Incarnation, Vec<Peer>, bool),
    /// Send, and come back with `hints_sent`.
    Hint(Vec<(Incarnation, Hint)>),
    /// List what is wanted, and come back with `wanted_listed`.
    ListWanted(Incarnation),
    /// The key may be written.
    Granted(Granted),
    /// The store cannot give the key; it is not asked for any more.
    Refused(EntryKey, BackendError),
    /// Others wait for these leases.
    Wanted(Vec<LeaseRequest>),
    /// Owned values may be shown until then.
    TrustUntil(Moment),
    /// This incarnation is over: no lease of it counts any more.
    Over,
    /// Tell the store that this incarnation has ended. Nothing comes back.
    Leave(Incarnation),
}

/// A key that may be written under a fence.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    /// Which key.
    pub key: EntryKey,
    /// Of this process's lease, or of all who share the key.
    pub fence: Fence,
    /// Its durable state (A2).
    pub entry: Entry,
    /// Nobody owns it: others write it too.
    pub is_shared: bool,
    /// When the store was first asked for it.
    pub asked: Moment,
}

/// The leases of one process.
#[derive(Debug, Default)]
pub struct Leases {
    /// `None`: none is alive; one is being made known.
    me: Option<Incarnation>,
    /// When to make the next one known.
    join_at: Option<Moment>,
    join_attempts: u32,
    waiting: HashMap<EntryKey, Waiting, FixedState>,
    /// Keys to be asked for at once, in order. May name a key that is no longer to be asked for, or one twice.
    ready: VecDeque<EntryKey>,
    is_acquiring: bool,
    /// Somebody has given a key back since the last call was sent.
    was_freed: bool,
    /// After a failure nothing is asked for until then.
    acquire_pause: Option<Moment>,
    acquire_attempts: u32,
    /// Keys given away because others wanted them, and until when they are left to them.
    cooling: HashMap<EntryKey, Moment, FixedState>,
    /// Leases to be given back, those on their way included.
    releasing: HashMap<EntryKey, Release, FixedState>,
    release_in_flight: bool,
    release_at: Option<Moment>,
    contention: Contention,
    hints: Hints,
    peers: Peers,
    beat_at: Option<Moment>,
    /// No key's turn is earlier.
    next_poll: Option<Moment>,
}

impl Leases {
    /// Begins with an incarnation that has been made known at `sent`. `hints`: processes tell each other when it is worth asking.
    pub fn start(me: Incarnation, sent: Moment, hints: bool) -> (Self, Vec<LeaseEffect>) {
        let mut leases = Self { hints: Hints::new(hints), ..Self::default() };
        let effects = leases.joined(sent, me, sent);
        (leases, effects)
    }

    /// Who this process is now.
    pub fn me(&self) -> Option<Incarnation> {
        self.me
    }

    /// What is due now.
    pub fn tick(&mut self, now: Moment) -> Vec<LeaseEffect> {
        let mut effects = Vec::new();
        if take_due(&mut self.join_at, now) {
            effects.push(LeaseEffect::Join);
        }
        let Some(me) = self.me else { return effects };
        if take_due(&mut self.beat_at, now) {
            self.cooling.retain(|_, until| *until > now);
            self.contention.prune(now);
            effects.push(LeaseEffect::Beat(Beat::new(me, self.blocking())));
        }
        let Suspects { fast, slow } = self.peers.take_suspects(now);
        for (suspects, is_fast) in [(slow, false), (fast, true)] {
            if !suspects.is_empty() {
                effects.push(LeaseEffect::DeclareDead(me, suspects, is_fast));
            }
        }
        if self.next_poll.is_some_and(|at| at <= now) {
            self.poll(now);
        }
        self.hints.take_due(now, me, &mut effects);
        effects.extend(self.release(now));
        effects.extend(self.acquire(now, me));
        effects
    }

    /// When `tick` has something to do next, if nothing else happens.
    pub fn next_tick(&self, now: Moment) -> Option<Moment> {
        let of_the_living = [
            self.beat_at,
            self.peers.next_suspicion(now),
            self.next_poll,
            self.hints.next(now),
            self.next_release(now),
            self.next_acquisition(now),
        ];
        let of_the_living = of_the_living.into_iter().filter(|_| self.me.is_some());
        of_the_living.chain([self.join_at]).flatten().min()
    }

    /// Owners that are waited for.
    fn blocking(&self) -> Vec<Incarnation> {
        let mut owners: Vec<_> = self.waiting.values().filter_map(Waiting::blocked_by).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// The answer to `Beat`, which was sent at `sent`.
    pub fn beaten(
        &mut self,
        now: Moment,
        sent: Moment,
        beat: &Beat,
        result: Result<BeatAnswer, BackendError>,
    ) -> Vec<LeaseEffect> {
        if self.me != Some(beat.incarnation) {
            return Vec::new();
        }
        // From the time it was due: a slow answer does not stretch the rhythm.
        self.beat_at = Some((sent + BEAT_EVERY).max(now));
        let Ok(answer) = result else {
            self.peers.own_beat_failed(now);
            self.beat_at = Some(now + RETRY_PAUSE.0 * 5);
            return Vec::new();
        };
        if !answer.alive {
            return self.over(now, beat.incarnation);
        }
        self.peers.own_beat_succeeded(now, &answer.peers);
        self.retry_those_behind(|owner| beat.watch.contains(&owner) && !is_among(&answer.peers, owner));
        let mut effects = vec![LeaseEffect::TrustUntil(sent + TRUST_AFTER_BEAT)];
        if !answer.wanted.is_empty() {
            effects.push(LeaseEffect::Wanted(answer.wanted));
        }
        effects
    }

    /// The answer to `DeclareDead`: who is not alive now.
    pub fn declared_dead(&mut self, now: Moment, result: Result<Vec<Incarnation>, BackendError>) {
        match result {
            Ok(dead) => self.retry_those_behind(|owner| dead.contains(&owner)),
            Err(_) => self.peers.own_beat_failed(now),
        }
    }

    /// An incarnation is over, whoever has found out.
    pub fn over(&mut self, now: Moment, incarnation: Incarnation) -> Vec<LeaseEffect> {
        if self.me != Some(incarnation) {
            return Vec::new();
        }
        self.me = None;
        (self.beat_at, self.join_at, self.join_attempts) = (None, Some(now), 0);
        // Its leases are free already.
        self.releasing.clear();
        self.hints.clear();
        self.peers.own_beat_failed(now);
        vec![LeaseEffect::Over]
    }

    /// The store does not know this incarnation as it was, but may believe that it lives: another copy has taken over, which may
    /// know of other leases than those that were granted, or a lane is not what it was.
    pub fn start_over(&mut self, now: Moment, incarnation: Incarnation) -> Vec<LeaseEffect> {
        let mut effects = self.over(now, incarnation);
        if !effects.is_empty() {
            effects.push(LeaseEffect::Leave(incarnation));
        }
        effects
    }

    /// Beats once more, at once: the answer to the last beat is not to be relied on.
    pub fn beat_again(&mut self, now: Moment) {
        self.beat_at = self.me.map(|_| now);
    }

    /// A new incarnation has been made known; the call was sent at `sent`.
    pub fn joined(&mut self, now: Moment, me: Incarnation, sent: Moment) -> Vec<LeaseEffect> {
        self.me = Some(me);
        self.beat_at = Some(now + BEAT_EVERY);
        self.peers.own_beat_succeeded(now, &[]);
        let waiting = self.waiting.iter().filter(|(_, waiting)| waiting.turn == Turn::Ready);
        self.ready = waiting.map(|(key, _)| key.clone()).collect();
        vec![LeaseEffect::TrustUntil(sent + TRUST_AFTER_BEAT)]
    }

    /// The store could not be told of the new incarnation.
    pub fn join_failed(&mut self, now: Moment) {
        self.join_at = Some(now + pause(&mut self.join_attempts));
    }
}

fn is_among(peers: &[Peer], incarnation: Incarnation) -> bool {
    peers.iter().any(|peer| peer.incarnation == incarnation)
}

/// True, once, when `at` has come.
fn take_due(at: &mut Option<Moment>, now: Moment) -> bool {
    at.take_if(|at| *at <= now).is_some()
}

fn pause(attempts: &mut u32) -> Duration {
    let (first, last) = RETRY_PAUSE;
    let pause = first.saturating_mul(1 << (*attempts).min(16)).min(last);
    *attempts += 1;
    pause
}

#[cfg(test)]
mod tests;
