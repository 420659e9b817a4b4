//! Processes and a store that can be down, in simulated time: `world`.

mod world;

use std::time::Duration;

use super::*;
use crate::backend::{BackendErrorKind, LeaseAnswer};
use crate::limits::{ACQUIRE_PAUSE, COOLING, HAND_OVERS_BEFORE_SHARING, RETRY_PAUSE, SHARE_WINDOW, STEAL_AFTER};
use world::{World, down, key};

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
    assert!((30..=1_025).contains(&took), "left alone for 30 ms, then within a beat; not {took} ms");
    assert_eq!(world.store.wanted.len(), 0);
}

/// As what nobody hears: the beats and the polls do it, and nobody starves.
#[test]
fn a_key_that_two_want_all_the_time_goes_to_and_fro() {
    for (has_hints, within) in [(true, 40), (false, 1_100)] {
        let mut world = World::new(2);
        world.has_hints = has_hints;
        for process in [0, 1].into_iter().cycle().take(50) {
            world.want(process, "k");
            let took = world.run_until(5_000, |world| world.owns(process, "k"));
            assert!(took <= within, "{took} ms, hints: {has_hints}");
        }
    }
}

/// The last one to come is not passed over by the others for ever.
#[test]
fn three_who_want_a_key_all_the_time_all_get_it() {
    for has_hints in [true, false] {
        let mut world = World::new(3);
        world.has_hints = has_hints;
        let mut had = [0; 3];
        for _ in 0..20_000 {
            for (process, had) in had.iter_mut().enumerate() {
                // What was to be done is done at once, and it comes again at once.
                if let Some(fence) = world.processes[process].owned.remove(&key("k")) {
                    *had += 1;
                    world.processes[process].leases.give_away(world.now, key("k"), fence, || None);
                }
                world.want(process, "k");
            }
            world.run_for(1);
        }
        assert!(had.iter().all(|&times| times > 100), "{had:?}, hints: {has_hints}");
    }
}

/// Whoever has waited for long asks seldom; the one who gives the key tells it.
#[test]
fn whoever_has_waited_for_long_hears_of_a_free_key_at_once() {
    for (has_hints, within) in [(true, 2), (false, 101)] {
        let mut world = World::new(2);
        (world.has_hints, world.processes[0].hands_over) = (has_hints, false);
        world.want(0, "k");
        world.run_for(5);
        let fence = world.processes[0].owned[&key("k")];
        world.want(1, "k");
        world.run_for(3_050);
        world.processes[0].leases.give_away(world.now, key("k"), fence, || None);
        let took = world.run_until(1_000, |world| world.owns(1, "k"));
        assert!(took <= within && (has_hints || took > 10), "{took} ms, hints: {has_hints}");
    }
}

#[test]
fn hints_are_sent_once_for_each_hold_and_listed_at_most_every_5_ms() {
    let mut world = World::new(2);
    (world.has_hints, world.processes[0].hands_over) = (true, false);
    world.want(0, "k");
    world.run_for(5);
    world.want(1, "k");
    world.run_for(2_000);
    assert_eq!((world.hints, world.store.lists), (1, 1), "asked for 90 times, and hinted once");
    let (me, now) = (Incarnation(1), world.now);
    let mut lists = 0;
    for ms in 0..100 {
        let now = now + Duration::from_millis(ms);
        let leases = &mut world.processes[0].leases;
        leases.hinted(now, me, Hint::Wanted);
        leases.hinted(now, Incarnation(77), Hint::Wanted);
        for effect in leases.tick(now) {
            if effect == LeaseEffect::ListWanted(me) {
                lists += 1;
                assert_eq!(leases.wanted_listed(me, down()), None);
            }
        }
    }
    assert!((18..=21).contains(&lists), "{lists}");
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
fn a_process_that_has_lost_its_connection_dies_sooner() {
    let mut world = World::new(3);
    world.want(0, "k");
    world.run_for(1_300);
    world.kill(0);
    world.want(1, "k");
    let took = world.run_until(10_000, |world| world.owns(1, "k"));
    assert!((700..=1_700).contains(&took), "{took} ms");
    assert_eq!(world.processes.iter().map(|process| process.overs).sum::<usize>(), 0);
}

/// What was not watched does not count: who could not reach the store does not know who moved.
#[test]
fn a_gap_begins_both_suspicions_anew() {
    let (now, me) = (Moment::default(), Incarnation(1));
    let (mut leases, _) = Leases::start(me, now, true);
    let still = Peer { incarnation: Incarnation(2), beats: 5 };
    let mut beaten = |ms: u64, is_down: bool| {
        let now = now + Duration::from_millis(ms);
        let answer = BeatAnswer { alive: true, peers: vec![still], ..BeatAnswer::default() };
        leases.beaten(now, now, &Beat::new(me, Vec::new()), if is_down { down() } else { Ok(answer) });
        let effects = leases.tick(now);
        effects.iter().any(|effect| *effect == LeaseEffect::DeclareDead(me, vec![still], true))
    };
    assert!(!beaten(0, false) && !beaten(1_000, true) && !beaten(1_600, false));
    assert!(!beaten(3_000, false) && beaten(3_100, false) && !beaten(3_200, false));
    assert!(beaten(3_600, false), "again after a pause");
}

/// Nobody waits for its keys: it is found out all the same.
#[test]
fn the_next_in_order_see_that_a_process_is_gone() {
    let mut world = World::new(3);
    world.run_for(1_300);
    world.kill(0);
    let took = world.run_until(10_000, |world| world.store.alive.len() == 2);
    assert!(took <= 2_700, "{took} ms");
}

/// Its connection comes back, or it was never gone: it beats, and is not suspected.
#[test]
fn a_process_that_beats_does_not_die_without_its_connection() {
    let mut world = World::new(2);
    world.processes[0].is_cut_off = true;
    world.want(0, "k");
    world.want(1, "k");
    world.processes[0].hands_over = false;
    world.run_for(8_000);
    assert_eq!((world.store.alive.len(), world.processes[0].overs), (2, 0));
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
    // Their connections go too, and come back with their next beats only.
    world.processes.iter_mut().for_each(|process| process.is_cut_off = true);
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
fn an_owner_that_lives_and_does_not_give_loses_the_key() {
    let mut world = World::new(2);
    world.processes[0].hands_over = false;
    world.want(0, "k");
    world.run_for(5);
    world.want(1, "k");
    let took = world.run_until(20_000, |world| world.owns(1, "k"));
    let steal = u64::try_from(STEAL_AFTER.as_millis()).expect("ms");
    assert!((steal..=steal + 110).contains(&took), "{took} ms");
    assert_eq!(world.processes[0].overs, 0, "it lives");
}

/// It was not looked at all the time: whoever asks was frozen, or could not.
#[test]
fn only_an_owner_that_was_asked_all_the_time_loses_the_key() {
    let mut world = World::new(2);
    world.processes[0].hands_over = false;
    world.want(0, "k");
    world.run_for(5);
    world.want(1, "k");
    world.run_for(1_000);
    world.processes[1].runs = false;
    // The frozen one is not taken for dead: too short.
    world.run_for(4_000);
    world.processes[1].runs = true;
    let took = world.run_until(20_000, |world| world.owns(1, "k"));
    assert!(took >= 10_000, "{took} ms after it was asked again");
}

#[test]
fn a_new_hold_begins_a_new_wait() {
    let (now, asker) = (Moment::default(), Incarnation(2));
    let (mut leases, _) = Leases::start(asker, now, true);
    leases.want(now, &key("k"), Fence(9), None);
    let owner = Peer { incarnation: Incarnation(1), beats: 0 };
    // Its owner gets it anew all the time, under another fence: nothing is stolen, and each hold is asked for eagerly.
    for ms in (0..30_000).step_by(20) {
        let now = now + Duration::from_millis(ms);
        for effect in leases.tick(now) {
            let LeaseEffect::Acquire(_, asks) = effect else { continue };
            assert_eq!(asks[0].instead_of, None);
            let answer = LeaseAnswer::Held { owner, fence: Fence(10 + ms / 1_000) };
            leases.acquired(now, asker, asks, Ok(vec![answer]));
            assert!(leases.next_tick(now).is_some_and(|at| at <= now + ACQUIRE_PAUSE.0));
        }
    }
}

#[test]
fn a_key_that_changes_hands_too_often_is_shared_if_it_may_be() {
    for may_share in [true, false] {
        let mut world = World::new(2);
        (world.has_hints, world.may_share) = (true, may_share);
        let mut turns = 0;
        for process in [0, 1].into_iter().cycle().take(20) {
            world.want(process, "k");
            world.run_until(1_000, |world| world.owns(process, "k") || world.shares(process, "k"));
            if world.shares(process, "k") {
                break;
            }
            turns += 1;
        }
        // Each gives it away once for each time that the other has it.
        assert_eq!(turns, if may_share { 2 * HAND_OVERS_BEFORE_SHARING - 1 } else { 20 });
    }
}

#[test]
fn a_key_that_changes_hands_seldom_is_not_shared() {
    let mut world = World::new(2);
    (world.has_hints, world.may_share) = (true, true);
    for process in [0, 1].into_iter().cycle().take(20) {
        world.want(process, "k");
        world.run_until(1_000, |world| world.owns(process, "k"));
        assert!(world.owns(process, "k"));
        let pause = SHARE_WINDOW / u32::try_from(HAND_OVERS_BEFORE_SHARING - 1).expect("few") / 2;
        world.run_for(u64::try_from(pause.as_millis()).expect("ms") + 10);
    }
}

#[test]
fn a_shared_key_is_owned_again_by_who_knows_its_fence() {
    let mut world = World::new(2);
    (world.has_hints, world.may_share) = (true, true);
    for process in [0, 1].into_iter().cycle().take(6) {
        world.want(process, "k");
        world.run_until(1_000, |world| world.owns(process, "k") || world.shares(process, "k"));
    }
    world.want(0, "k");
    world.run_for(100);
    let fence = world.processes[0].shared.remove(&key("k"));
    assert!(fence.is_some());
    world.want_instead(0, "k", Some(Fence(1)));
    world.run_for(100);
    assert!(world.shares(0, "k") && !world.owns(0, "k"), "that is not its fence");
    world.want_instead(0, "k", fence);
    world.run_for(100);
    assert!(world.owns(0, "k"));
}

#[test]
fn a_key_that_cannot_be_given_fails_alone() {
    let (mut leases, _) = Leases::start(Incarnation(1), Moment::default(), true);
    let now = Moment::default();
    for name in ["a", "bad", "c"] {
        leases.want(now, &key(name), Fence(1), None);
    }
    let mut refused = Vec::new();
    let mut granted = Vec::new();
    while let Some(LeaseEffect::Acquire(by, requests)) = leases.tick(now).pop() {
        let bad = requests.iter().any(|request| &*request.key.key == "bad");
        let answers = requests.iter().map(|_| LeaseAnswer::Granted(Entry::default())).collect();
        let corrupt = BackendError::new(BackendErrorKind::Corrupt, "not readable");
        for effect in leases.acquired(now, by, requests, if bad { Err(corrupt) } else { Ok(answers) }) {
            match effect {
                LeaseEffect::Granted(it) => granted.push(it.key.key.to_string()),
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
    let (mut leases, _) = Leases::start(Incarnation(1), now, true);
    leases.give_away(now, key("k"), Fence(1), || None);
    let effects = leases.tick(now);
    let [LeaseEffect::Release(given)] = effects.as_slice() else { panic!("{effects:?}") };
    leases.want(now, &key("k"), Fence(2), None);
    // The release takes long: others could not have the key before.
    let released = now + Duration::from_millis(700);
    leases.released(released, given, Ok(Vec::new()));
    assert_eq!(leases.tick(released), []);
    assert_eq!(leases.next_tick(released), Some(released + COOLING));
    assert!(matches!(leases.tick(released + COOLING).as_slice(), [LeaseEffect::Acquire(..)]));
}

#[test]
fn a_key_is_not_asked_for_before_its_release_is_done() {
    let now = Moment::default();
    let (mut leases, _) = Leases::start(Incarnation(1), now, true);
    leases.give_back(key("k"), Fence(1));
    leases.want(now, &key("k"), Fence(2), None);
    let effects = leases.tick(now);
    let [LeaseEffect::Release(given)] = effects.as_slice() else { panic!("{effects:?}") };
    leases.released(now, given, down());
    assert_eq!(leases.tick(now), [], "the release is tried again first");
    let later = now + RETRY_PAUSE.0;
    assert_eq!(leases.tick(later), [LeaseEffect::Release(given.clone())]);
    leases.released(later, given, Ok(Vec::new()));
    assert!(matches!(leases.tick(later).as_slice(), [LeaseEffect::Acquire(..)]));
}
