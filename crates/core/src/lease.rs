//! Who owns which key, and who is alive, as one process sees it (`ownership-protocol.md` §2.2).
//!
//! Owns: what is due when: beats, deaths, releases, asking (`acquisition`); when a process that does not move is declared dead; when
//! this process beats, and what follows from a beat that fails or says that it was declared dead itself; giving leases
//! back. Does not own: what a lease is used for (`key_machine`), fences and incarnations (drawn by the shell), the store.
//!
//! Liveness is a hint and no part of the safety argument: a wrong death costs an acquisition, never data. Writes are
//! refused by their fence, row by row.

mod acquisition;
mod peers;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::backend::{BackendError, BackendErrorKind, Beat, BeatAnswer, Fence, Incarnation, LeaseRequest, Peer};
use crate::clock::Moment;
use crate::entry::Entry;
use crate::entry_key::EntryKey;
use crate::limits::{BEAT_EVERY, COOLING, LEASES_PER_CALL_MAX, RETRY_PAUSE, TRUST_AFTER_BEAT};
use acquisition::{Turn, Waiting};
use peers::Peers;

/// What the shell must do.
#[derive(Debug, PartialEq, Eq)]
pub enum LeaseEffect {
    /// Draw a new incarnation, make it known, come back with `joined` or `join_failed`.
    Join,
    /// Beat, and come back with `beaten`.
    Beat(Beat),
    /// Ask, and come back with `acquired`.
    Acquire(Incarnation, Vec<LeaseRequest>),
    /// Give back, and come back with `released`.
    Release(Vec<LeaseRequest>),
    /// Declare dead, and come back with `declared_dead`.
    DeclareDead(Incarnation, Vec<Peer>),
    /// The key is owned, in this state.
    Granted(LeaseRequest, Entry),
    /// The store cannot give the key; it is not asked for any more.
    Refused(EntryKey, BackendError),
    /// Others wait for these leases.
    Wanted(Vec<LeaseRequest>),
    /// Owned values may be shown until then.
    TrustUntil(Moment),
    /// This incarnation is over: no lease of it counts any more.
    Over,
}

/// A lease on its way back.
#[derive(Debug)]
struct Release {
    fence: Fence,
    /// Others wait for the key: it is left to them for a while.
    wanted: bool,
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
    /// After a failure nothing is asked for until then.
    acquire_pause: Option<Moment>,
    acquire_attempts: u32,
    /// Keys given away because others wanted them, and until when they are left to them.
    cooling: HashMap<EntryKey, Moment, FixedState>,
    /// Leases to be given back, those on their way included.
    releasing: HashMap<EntryKey, Release, FixedState>,
    release_in_flight: bool,
    release_at: Option<Moment>,
    peers: Peers,
    beat_at: Option<Moment>,
    /// No key's turn is earlier.
    next_poll: Option<Moment>,
}

impl Leases {
    /// Begins with an incarnation that has been made known at `sent`.
    pub fn start(me: Incarnation, sent: Moment) -> (Self, Vec<LeaseEffect>) {
        let mut leases = Self::default();
        let effects = leases.joined(sent, me, sent);
        (leases, effects)
    }

    /// Who this process is now.
    pub fn me(&self) -> Option<Incarnation> {
        self.me
    }

    /// Asks for a key. The same fence is used until the key is granted.
    pub fn want(&mut self, now: Moment, key: &EntryKey, fence: Fence) {
        let cooling = self.cooling.remove(key).filter(|&until| until > now);
        if self.waiting.contains_key(key) {
            return;
        }
        let turn = cooling.map_or(Turn::Ready, Turn::At);
        let waiting = Waiting { fence, held_since: None, blocked_by: None, turn, alone: false };
        self.waiting.insert(key.clone(), waiting);
        match cooling {
            Some(until) => self.poll_at(until),
            None => self.ready.push_back(key.clone()),
        }
    }

    /// Nobody needs the key any more.
    pub fn withdraw(&mut self, key: &EntryKey) {
        self.waiting.remove(key);
    }

    /// Gives a lease back; `wanted`: because others wait for it.
    pub fn give_back(&mut self, key: EntryKey, fence: Fence, wanted: bool) {
        self.releasing.insert(key, Release { fence, wanted });
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
            effects.push(LeaseEffect::Beat(Beat { incarnation: me, watch: self.blocking() }));
        }
        let suspects = self.peers.take_suspects(now);
        if !suspects.is_empty() {
            effects.push(LeaseEffect::DeclareDead(me, suspects));
        }
        if self.next_poll.is_some_and(|at| at <= now) {
            self.poll(now);
        }
        effects.extend(self.release(now));
        effects.extend(self.acquire(now, me));
        effects
    }

    /// When `tick` has something to do next, if nothing else happens.
    pub fn next_tick(&self, now: Moment) -> Option<Moment> {
        let has_releases = !self.release_in_flight && !self.releasing.is_empty();
        let release = has_releases.then(|| self.release_at.unwrap_or(now));
        let has_requests = !self.is_acquiring && !self.ready.is_empty();
        let acquire = has_requests.then(|| self.acquire_pause.unwrap_or(now));
        let (release, acquire) = (self.me.and(release), self.me.and(acquire));
        let suspicion = self.me.and_then(|_| self.peers.next_suspicion(now));
        [self.join_at, self.beat_at, suspicion, self.me.and(self.next_poll), release, acquire]
            .into_iter()
            .flatten()
            .min()
    }

    /// Owners that are waited for.
    fn blocking(&self) -> Vec<Incarnation> {
        let mut owners: Vec<_> = self.waiting.values().filter_map(|waiting| waiting.blocked_by).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    fn poll_at(&mut self, at: Moment) {
        self.next_poll = Some(self.next_poll.map_or(at, |next| next.min(at)));
    }

    fn release(&mut self, now: Moment) -> Option<LeaseEffect> {
        if self.release_in_flight || self.releasing.is_empty() || self.release_at.is_some_and(|at| at > now) {
            return None;
        }
        self.release_in_flight = true;
        self.release_at = None;
        let leases = self.releasing.iter().take(LEASES_PER_CALL_MAX);
        Some(LeaseEffect::Release(
            leases.map(|(key, release)| LeaseRequest { key: key.clone(), fence: release.fence }).collect(),
        ))
    }

    /// Leases to be given back, those on their way included.
    pub fn releasing(&self) -> Vec<LeaseRequest> {
        self.releasing.iter().map(|(key, release)| LeaseRequest { key: key.clone(), fence: release.fence }).collect()
    }

    /// The answer to `Release`. A lease whose release is not known to be done is given back again: its fence tells whether
    /// it still is one.
    pub fn released(&mut self, now: Moment, leases: &[LeaseRequest], result: Result<(), BackendError>) {
        self.release_in_flight = false;
        match result {
            Err(error) if matches!(error.kind, BackendErrorKind::Unavailable | BackendErrorKind::Unknown) => {
                self.release_at = Some(now + RETRY_PAUSE.0);
            }
            // Refused for good: the leases end with the incarnation.
            _ => {
                for LeaseRequest { key, fence } in leases {
                    let Some(release) = self.releasing.get(key).filter(|release| release.fence == *fence) else {
                        continue;
                    };
                    let until = release.wanted.then(|| now + COOLING);
                    self.releasing.remove(key);
                    self.ask_after_release(key, until);
                }
            }
        }
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

    /// The answer to `DeclareDead`.
    pub fn declared_dead(&mut self, now: Moment, seen: &[Peer], result: Result<(), BackendError>) {
        match result {
            Ok(()) => self.retry_those_behind(|owner| is_among(seen, owner)),
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
        self.peers.own_beat_failed(now);
        vec![LeaseEffect::Over]
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
