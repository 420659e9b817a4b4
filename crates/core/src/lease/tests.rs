//! Two processes and a store that can be down, in simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::backend::LeaseAnswer;
use crate::entry_key::{GameId, StoreId};

/// What the store knows, in its simplest form.
#[derive(Debug, Default)]
struct Store {
    /// Beats of those alive.
    alive: BTreeMap<Incarnation, u64>,
    owners: BTreeMap<EntryKey, (Incarnation, Fence)>,
    wanted: BTreeMap<EntryKey, Incarnation>,
    is_down: bool,
    acquisitions: usize,
}

#[derive(Debug)]
struct Process {
    leases: Leases,
    owned: BTreeMap<EntryKey, Fence>,
    /// It runs; a frozen one does nothing and loses nothing.
    runs: bool,
    /// It gives away what others want, at once.
    hands_over: bool,
    overs: usize,
}

struct World {
    now: Moment,
    store: Store,
    processes: Vec<Process>,
    next: u64,
}

fn key(name: &str) -> EntryKey {
    EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), name.as_bytes()).expect("legal")
}

fn down<T>() -> Result<T, BackendError> {
    Err(BackendError::new(BackendErrorKind::Unavailable, "down"))
}

impl World {
    fn new(processes: u64) -> Self {
        let now = Moment::default();
        let mut store = Store::default();
        let start = |n| {
            store.alive.insert(Incarnation(n), 0);
            let (leases, _) = Leases::start(Incarnation(n), now);
            Process { leases, owned: BTreeMap::new(), runs: true, hands_over: true, overs: 0 }
        };
        let processes = (1..=processes).map(start).collect();
        Self { now, store, processes, next: 100 }
    }

    fn want(&mut self, process: usize, name: &str) {
        self.next += 1;
        self.processes[process].leases.want(self.now, &key(name), Fence(self.next));
    }

    fn owns(&self, process: usize, name: &str) -> bool {
        self.processes[process].owned.contains_key(&key(name))
    }

    /// Lets time pass, a millisecond at a time.
    fn run_for(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    /// How long it took until `done`, at most `ms`.
    fn run_until(&mut self, ms: u64, done: impl Fn(&Self) -> bool) -> u64 {
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
        let (now, is_down) = (self.now, self.store.is_down);
        let Process { leases, owned, overs, hands_over, .. } = &mut self.processes[process];
        match effect {
            LeaseEffect::Join if is_down => leases.join_failed(now),
            LeaseEffect::Join => {
                self.next += 1;
                self.store.alive.insert(Incarnation(self.next), 0);
                return leases.joined(now, Incarnation(self.next), now);
            }
            LeaseEffect::Beat(beat) => {
                let answer = if is_down { down() } else { Ok(self.store.beat(&beat)) };
                return leases.beaten(now, now, &beat, answer);
            }
            LeaseEffect::Acquire(by, requests) => {
                let answers = if is_down { down() } else { self.store.acquire(by, &requests) };
                return leases.acquired(now, by, requests, answers);
            }
            LeaseEffect::Release(given) => {
                if !is_down {
                    given.iter().for_each(|lease| self.store.release(lease));
                }
                leases.released(now, &given, if is_down { down() } else { Ok(()) });
            }
            LeaseEffect::DeclareDead(_, seen) => {
                if !is_down {
                    self.store.alive.retain(|who, beats| !seen.contains(&Peer { incarnation: *who, beats: *beats }));
                }
                leases.declared_dead(now, &seen, if is_down { down() } else { Ok(()) });
            }
            LeaseEffect::Granted(request, _) => drop(owned.insert(request.key, request.fence)),
            LeaseEffect::Refused(key, error) => panic!("{key}: {error}"),
            LeaseEffect::Wanted(keys) => {
                for LeaseRequest { key, .. } in keys {
                    if let Some(fence) = owned.remove(&key).filter(|_| *hands_over) {
                        leases.give_back(key, fence, true);
                    }
                }
            }
            LeaseEffect::TrustUntil(_) => {}
            LeaseEffect::Over => {
                owned.clear();
                *overs += 1;
            }
        }
        Vec::new()
    }
}

impl Store {
    fn beat(&mut self, beat: &Beat) -> BeatAnswer {
        let Some(beats) = self.alive.get_mut(&beat.incarnation) else { return BeatAnswer::default() };
        *beats += 1;
        let peers = self.alive.iter().filter(|(who, _)| **who != beat.incarnation);
        let peers = peers.map(|(&incarnation, &beats)| Peer { incarnation, beats }).collect();
        let mine = |key: &EntryKey| self.owners.get(key).filter(|owner| owner.0 == beat.incarnation);
        let lease = |key: &EntryKey| mine(key).map(|owner| LeaseRequest { key: key.clone(), fence: owner.1 });
        let wanted = self.wanted.keys().filter_map(lease).collect();
        BeatAnswer { alive: true, peers, wanted }
    }

    fn acquire(&mut self, by: Incarnation, requests: &[LeaseRequest]) -> Result<Vec<LeaseAnswer>, BackendError> {
        self.acquisitions += 1;
        if !self.alive.contains_key(&by) {
            return Err(BackendError::new(BackendErrorKind::Over, "dead"));
        }
        Ok(requests.iter().map(|request| self.acquire_one(by, request)).collect())
    }

    fn acquire_one(&mut self, by: Incarnation, request: &LeaseRequest) -> LeaseAnswer {
        if let Some((owner, _)) = self.owners.get(&request.key)
            && let Some(&beats) = self.alive.get(owner)
            && *owner != by
        {
            self.wanted.entry(request.key.clone()).or_insert(by);
            return LeaseAnswer::Held(Peer { incarnation: *owner, beats });
        }
        self.wanted.remove(&request.key);
        self.owners.insert(request.key.clone(), (by, request.fence));
        LeaseAnswer::Granted(Entry::default())
    }

    fn release(&mut self, lease: &LeaseRequest) {
        if self.owners.get(&lease.key).is_some_and(|owner| owner.1 == lease.fence) {
            self.owners.remove(&lease.key);
        }
    }
}

#[test]
fn many_keys_are_asked_for_in_one_call() {
    let mut world = World::new(1);
    (0..1_500).for_each(|n| world.want(0, &format!("k{n}")));
    world.run_for(3);
    assert_eq!((world.processes[0].owned.len(), world.store.acquisitions), (1_500, 2));
}

#[test]
fn a_wanted_key_is_handed_over_and_comes_back() {
    let mut world = World::new(2);
    world.want(0, "k");
    world.run_for(5);
    world.want(1, "k");
    let took = world.run_until(3_000, |world| world.owns(1, "k"));
    assert!(took <= 1_025, "one beat and one poll, and not {took} ms");
    world.want(0, "k");
    let took = world.run_until(3_000, |world| world.owns(0, "k"));
    assert!((150..=1_025).contains(&took), "left alone for 150 ms, then within a beat; not {took} ms");
    assert_eq!(world.store.wanted.len(), 0);
}

#[test]
fn a_dead_owner_costs_at_most_seven_seconds_and_beats_keep_their_rhythm() {
    let mut world = World::new(3);
    world.want(0, "k");
    world.run_for(1_300);
    world.processes[0].runs = false;
    world.want(1, "k");
    let took = world.run_until(10_000, |world| world.owns(1, "k"));
    assert!((4_000..7_000).contains(&took), "{took} ms");
    let beats = world.store.alive[&Incarnation(2)];
    assert!((5..=8).contains(&beats), "{beats} beats");
}

#[test]
fn a_frozen_process_wakes_up_as_another_and_kills_nobody() {
    let mut world = World::new(2);
    world.want(0, "k");
    world.run_for(1_300);
    world.processes[0].runs = false;
    world.want(1, "k");
    world.run_for(10_000);
    assert!(world.owns(1, "k"));
    world.processes[0].runs = true;
    world.processes[1].hands_over = false;
    world.run_for(3_000);
    assert_eq!((world.processes[0].overs, world.processes[1].overs), (1, 0));
    assert!(!world.owns(0, "k") && world.processes[0].leases.me() > Some(Incarnation(2)));
    world.want(0, "free");
    world.run_for(5);
    assert!(world.owns(0, "free"), "it works on under its new name");
}

#[test]
fn an_outage_of_the_store_kills_nobody_and_what_waits_goes_on() {
    let mut world = World::new(3);
    (0..3).for_each(|n| world.want(n, &format!("k{n}")));
    world.run_for(2_500);
    world.store.is_down = true;
    world.want(0, "later");
    world.want(1, "k0");
    world.run_for(60_000);
    world.store.is_down = false;
    let took = world.run_until(10_000, |world| world.owns(0, "later") && world.owns(1, "k0"));
    assert!(took < 4_000, "{took} ms");
    world.run_for(10_000);
    assert_eq!(world.processes.iter().map(|process| process.overs).sum::<usize>(), 0, "nobody was declared dead");
}

#[test]
fn an_owner_that_does_not_give_is_asked_politely() {
    let mut world = World::new(2);
    world.processes[0].hands_over = false;
    world.want(0, "k");
    world.run_for(5);
    world.store.acquisitions = 0;
    world.want(1, "k");
    world.run_for(2_000);
    assert!((90..=105).contains(&world.store.acquisitions), "every 20 ms: {}", world.store.acquisitions);
    world.store.acquisitions = 0;
    world.run_for(2_000);
    assert!((18..=22).contains(&world.store.acquisitions), "then every 100 ms: {}", world.store.acquisitions);
    world.processes[1].leases.withdraw(&key("k"));
    world.store.acquisitions = 0;
    world.run_for(500);
    assert_eq!(world.store.acquisitions, 0, "nobody waits any more");
}

#[test]
fn a_key_that_cannot_be_given_fails_alone() {
    let (mut leases, _) = Leases::start(Incarnation(1), Moment::default());
    let now = Moment::default();
    for name in ["a", "bad", "c"] {
        leases.want(now, &key(name), Fence(1));
    }
    let mut refused = Vec::new();
    let mut granted = Vec::new();
    while let Some(LeaseEffect::Acquire(by, requests)) = leases.tick(now).pop() {
        let bad = requests.iter().any(|request| &*request.key.key == "bad");
        let answers = requests.iter().map(|_| LeaseAnswer::Granted(Entry::default())).collect();
        let corrupt = BackendError::new(BackendErrorKind::Corrupt, "not readable");
        for effect in leases.acquired(now, by, requests, if bad { Err(corrupt) } else { Ok(answers) }) {
            match effect {
                LeaseEffect::Granted(request, _) => granted.push(request.key.key.to_string()),
                LeaseEffect::Refused(key, _) => refused.push(key.key.to_string()),
                other => panic!("{other:?}"),
            }
        }
    }
    granted.sort();
    assert_eq!((granted, refused), (vec!["a".into(), "c".into()], vec!["bad".to_owned()]));
}

#[test]
fn a_wanted_key_is_left_to_others_from_its_release_on() {
    let now = Moment::default();
    let (mut leases, _) = Leases::start(Incarnation(1), now);
    leases.give_back(key("k"), Fence(1), true);
    let effects = leases.tick(now);
    let [LeaseEffect::Release(given)] = effects.as_slice() else { panic!("{effects:?}") };
    leases.want(now, &key("k"), Fence(2));
    // The release takes long: others could not have the key before.
    let released = now + Duration::from_millis(700);
    leases.released(released, given, Ok(()));
    assert_eq!(leases.tick(released), []);
    assert_eq!(leases.next_tick(released), Some(released + COOLING));
    assert!(matches!(leases.tick(released + COOLING).as_slice(), [LeaseEffect::Acquire(..)]));
}

#[test]
fn a_key_is_not_asked_for_before_its_release_is_done() {
    let now = Moment::default();
    let (mut leases, _) = Leases::start(Incarnation(1), now);
    leases.give_back(key("k"), Fence(1), false);
    leases.want(now, &key("k"), Fence(2));
    let effects = leases.tick(now);
    let [LeaseEffect::Release(given)] = effects.as_slice() else { panic!("{effects:?}") };
    leases.released(now, given, down());
    assert_eq!(leases.tick(now), [], "the release is tried again first");
    let later = now + RETRY_PAUSE.0;
    assert_eq!(leases.tick(later), [LeaseEffect::Release(given.clone())]);
    leases.released(later, given, Ok(()));
    assert!(matches!(leases.tick(later).as_slice(), [LeaseEffect::Acquire(..)]));
}
