//! Processes and a store that can be down, in simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::backend::BackendErrorKind;
use crate::entry_key::{GameId, StoreId};

/// What the store knows, in its simplest form.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Beats of those alive.
    pub(super) alive: BTreeMap<Incarnation, u64>,
    owners: BTreeMap<EntryKey, (Incarnation, Fence)>,
    shared: BTreeMap<EntryKey, Fence>,
    pub(super) wanted: BTreeMap<EntryKey, Incarnation>,
    pub(super) is_down: bool,
    pub(super) acquisitions: usize,
    pub(super) lists: usize,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) leases: Leases,
    pub(super) owned: BTreeMap<EntryKey, Fence>,
    pub(super) shared: BTreeMap<EntryKey, Fence>,
    /// It runs; a frozen one does nothing and loses nothing.
    pub(super) runs: bool,
    /// Its connection is gone.
    pub(super) is_cut_off: bool,
    /// It gives away what others want, at once.
    pub(super) hands_over: bool,
    pub(super) overs: usize,
}

pub(super) struct World {
    pub(super) now: Moment,
    pub(super) store: Store,
    pub(super) processes: Vec<Process>,
    next: u64,
    /// Hints arrive, at once.
    pub(super) has_hints: bool,
    pub(super) hints: usize,
    pub(super) may_share: bool,
}

pub(super) fn key(name: &str) -> EntryKey {
    EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), name.as_bytes()).expect("legal")
}

pub(super) fn down<T>() -> Result<T, BackendError> {
    Err(BackendError::new(BackendErrorKind::Unavailable, "down"))
}

impl World {
    /// Without hints, and no key is shared.
    pub(super) fn new(processes: u64) -> Self {
        let now = Moment::default();
        let mut store = Store::default();
        let start = |n| {
            store.alive.insert(Incarnation(n), 0);
            let (leases, _) = Leases::start(Incarnation(n), now, true);
            let (owned, shared) = (BTreeMap::new(), BTreeMap::new());
            Process { leases, owned, shared, runs: true, is_cut_off: false, hands_over: true, overs: 0 }
        };
        let processes = (1..=processes).map(start).collect();
        Self { now, store, processes, next: 100, has_hints: false, hints: 0, may_share: false }
    }

    pub(super) fn want(&mut self, process: usize, name: &str) {
        self.want_instead(process, name, None);
    }

    pub(super) fn want_instead(&mut self, process: usize, name: &str, instead_of: Option<Fence>) {
        self.next += 1;
        self.processes[process].leases.want(self.now, &key(name), Fence(self.next), instead_of);
    }

    pub(super) fn owns(&self, process: usize, name: &str) -> bool {
        self.processes[process].owned.contains_key(&key(name))
    }

    pub(super) fn shares(&self, process: usize, name: &str) -> bool {
        self.processes[process].shared.contains_key(&key(name))
    }

    /// A process stops and loses its connection.
    pub(super) fn kill(&mut self, process: usize) {
        (self.processes[process].runs, self.processes[process].is_cut_off) = (false, true);
    }

    /// Lets time pass, a millisecond at a time.
    pub(super) fn run_for(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    /// How long it took until `done`, at most `ms`.
    pub(super) fn run_until(&mut self, ms: u64, done: impl Fn(&Self) -> bool) -> u64 {
        for passed in 0..ms {
            if done(self) {
                return passed;
            }
            for process in 0..self.processes.len() {
                if self.processes[process].runs {
                    self.turn(process);
                }
            }
            self.now = self.now + Duration::from_millis(1);
        }
        ms
    }

    fn turn(&mut self, process: usize) {
        let leases = &mut self.processes[process].leases;
        if leases.next_tick(self.now).is_none_or(|at| at > self.now) {
            return;
        }
        let effects = leases.tick(self.now);
        self.execute(process, effects);
    }

    fn execute(&mut self, process: usize, effects: Vec<LeaseEffect>) {
        for effect in effects {
            let more = self.execute_one(process, effect);
            self.execute(process, more);
        }
    }

    fn execute_one(&mut self, process: usize, effect: LeaseEffect) -> Vec<LeaseEffect> {
        let effect = match effect {
            LeaseEffect::Hint(hints) => {
                self.deliver(&hints);
                self.processes[process].leases.hints_sent();
                return Vec::new();
            }
            LeaseEffect::DeclareDead(by, seen, is_fast) => {
                let dead = self.declare_dead(by, &seen, is_fast);
                self.processes[process].leases.declared_dead(self.now, dead);
                return Vec::new();
            }
            effect => effect,
        };
        let (now, is_down, store, next) = (self.now, self.store.is_down, &mut self.store, &mut self.next);
        let may_share = self.may_share;
        let Process { leases, owned, shared, overs, hands_over, .. } = &mut self.processes[process];
        match effect {
            LeaseEffect::Join if is_down => leases.join_failed(now),
            LeaseEffect::Join => {
                *next += 1;
                store.alive.insert(Incarnation(*next), 0);
                return leases.joined(now, Incarnation(*next), now);
            }
            LeaseEffect::Beat(beat) => {
                let answer = if is_down { down() } else { Ok(store.beat(&beat)) };
                return leases.beaten(now, now, &beat, answer);
            }
            LeaseEffect::Acquire(by, asks) => {
                let answers = if is_down { down() } else { store.acquire(by, &asks) };
                return leases.acquired(now, by, asks, answers);
            }
            LeaseEffect::Release(given) => {
                let mut askers = || given.iter().filter_map(|lease| store.release(lease)).collect();
                let answer = if is_down { down() } else { Ok(askers()) };
                leases.released(now, &given, answer);
            }
            LeaseEffect::ListWanted(of) => {
                store.lists += 1;
                let answer = if is_down { down() } else { Ok(store.wanted_of(of)) };
                return leases.wanted_listed(of, answer).into_iter().collect();
            }
            LeaseEffect::Granted(Granted { key, fence, is_shared, .. }) => {
                let _ = if is_shared { shared } else { owned }.insert(key, fence);
            }
            LeaseEffect::Refused(key, error) => panic!("{key}: {error}"),
            LeaseEffect::Wanted(keys) => {
                for LeaseRequest { key, .. } in keys {
                    if let Some(fence) = owned.remove(&key).filter(|_| *hands_over) {
                        *next += 1;
                        leases.give_away(now, key, fence, || may_share.then_some(Fence(*next)));
                    }
                }
            }
            LeaseEffect::Over => {
                owned.clear();
                *overs += 1;
            }
            _ => {}
        }
        Vec::new()
    }

    fn deliver(&mut self, hints: &[(Incarnation, Hint)]) {
        self.hints += hints.len();
        for process in &mut self.processes {
            for &(to, hint) in hints.iter().filter(|_| self.has_hints) {
                process.leases.hinted(self.now, to, hint);
            }
        }
    }

    fn declare_dead(
        &mut self,
        by: Incarnation,
        seen: &[Peer],
        is_fast: bool,
    ) -> Result<Vec<Incarnation>, BackendError> {
        if self.store.is_down || !self.store.alive.contains_key(&by) {
            return down();
        }
        let is_cut_off = |who| self.processes.iter().any(|it| it.leases.me() == Some(who) && it.is_cut_off);
        let is_dead = |peer: &&Peer| !is_fast || is_cut_off(peer.incarnation);
        for peer in seen.iter().filter(is_dead) {
            self.store.alive.retain(|who, beats| (*who, *beats) != (peer.incarnation, peer.beats));
        }
        let seen = seen.iter().map(|peer| peer.incarnation);
        Ok(seen.filter(|who| !self.store.alive.contains_key(who)).collect())
    }
}

impl Store {
    fn beat(&mut self, beat: &Beat) -> BeatAnswer {
        let Some(beats) = self.alive.get_mut(&beat.incarnation) else { return BeatAnswer::default() };
        *beats += 1;
        let peers = self.alive.iter().filter(|(who, _)| **who != beat.incarnation);
        let peers = peers.map(|(&incarnation, &beats)| Peer { incarnation, beats }).collect();
        BeatAnswer { alive: true, peers, wanted: self.wanted_of(beat.incarnation), ..BeatAnswer::default() }
    }

    fn wanted_of(&self, owner: Incarnation) -> Vec<LeaseRequest> {
        let mine = |key: &EntryKey| self.owners.get(key).filter(|held| held.0 == owner);
        let lease = |key: &EntryKey| mine(key).map(|held| LeaseRequest { key: key.clone(), fence: held.1 });
        self.wanted.keys().filter_map(lease).collect()
    }

    fn acquire(&mut self, by: Incarnation, asks: &[LeaseAsk]) -> Result<Vec<LeaseAnswer>, BackendError> {
        self.acquisitions += 1;
        if !self.alive.contains_key(&by) {
            return Err(BackendError::new(BackendErrorKind::Over, "dead"));
        }
        Ok(asks.iter().map(|ask| self.acquire_one(by, ask)).collect())
    }

    fn acquire_one(&mut self, by: Incarnation, ask: &LeaseAsk) -> LeaseAnswer {
        if let Some(&fence) = self.shared.get(&ask.key)
            && ask.instead_of != Some(fence)
        {
            return LeaseAnswer::Shared { entry: Entry::default(), fence };
        }
        if let Some(&(incarnation, fence)) = self.owners.get(&ask.key)
            && let Some(&beats) = self.alive.get(&incarnation)
            && incarnation != by
            && ask.instead_of != Some(fence)
        {
            self.wanted.entry(ask.key.clone()).or_insert(by);
            return LeaseAnswer::Held { owner: Peer { incarnation, beats }, fence };
        }
        self.wanted.remove(&ask.key);
        self.shared.remove(&ask.key);
        self.owners.insert(ask.key.clone(), (by, ask.fence));
        LeaseAnswer::Granted(Entry::default())
    }

    fn release(&mut self, lease: &GiveBack) -> Option<Incarnation> {
        if self.owners.get(&lease.key).is_none_or(|owner| owner.1 != lease.fence) {
            return None;
        }
        self.owners.remove(&lease.key);
        if let Some(fence) = lease.share {
            self.shared.insert(lease.key.clone(), fence);
        }
        self.wanted.remove(&lease.key)
    }
}
