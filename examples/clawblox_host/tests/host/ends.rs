//! Instances that go, and processes that end: what players had is there afterwards.

use std::sync::Arc;

use clawstore::Database;
use clawstore_testkit::{GatedBackend, MemoryBackend};

use crate::support::{Engine, MODES, wait};

#[test]
fn players_find_what_they_had_after_a_restart() {
    for mode in MODES {
        let directory = tempfile::tempdir().unwrap();
        let open = || Engine::start(Database::directory(directory.path()), mode);
        let mut engine = open();
        (1..=4).for_each(|user_id| engine.join_and_load(user_id));
        engine.play(600);
        let left: Vec<_> = (1..=2).map(|user_id| engine.leave(user_id)).collect();
        let departures = engine.manager.shut_down().unwrap();
        assert_eq!(departures.len(), 2);
        let had: Vec<_> = left.into_iter().chain(departures.iter().map(|left| left.money.unwrap())).collect();
        assert!(had.iter().all(|money| *money > 0.0), "{had:?}");
        drop((engine.data_stores, engine.store));

        let mut engine = open();
        (1..=4).for_each(|user_id| engine.join_and_load(user_id));
        for (user_id, had) in (1..=4).zip(had) {
            let money = engine.manager.instances().next().unwrap().observe::<f64>(user_id, "Money").unwrap();
            assert!(money >= Some(had), "{money:?} of {had}");
        }
        assert_eq!(engine.problems(), Vec::<String>::new());
        engine.end();
    }
}

/// Everyone leaves and the instance is destroyed in the same moment, while nothing can be written.
#[test]
fn saves_outlive_an_instance_that_is_destroyed_at_once() {
    for mode in MODES {
        let memory = MemoryBackend::new();
        let gate = Arc::new(GatedBackend::new(Arc::new(memory.reopened())));
        let mut engine = Engine::start(Database::Custom(Arc::clone(&gate) as _), mode);
        let id = engine.join(1);
        (1..=25).for_each(|user_id| engine.join_and_load(user_id));
        engine.play(300);
        gate.hold();
        let had: Vec<_> = (1..=25).map(|user_id| engine.leave(user_id)).collect();
        engine.manager.destroy(id);
        assert_eq!(engine.manager.instances().count(), 0);
        gate.release();
        engine.end();

        let engine = Engine::start(Database::Custom(Arc::new(memory.reopened())), mode);
        let saved: Vec<_> = (1..=25).map(|user_id| engine.saved(user_id).unwrap()).collect();
        assert_eq!(saved, had);
        engine.end();
    }
}

#[test]
fn an_instance_that_stays_empty_is_destroyed_with_all_it_had_to_save() {
    for mode in MODES {
        let mut engine = Engine::start(Database::Memory, mode);
        let id = engine.join(1);
        engine.join_and_load(1);
        engine.play(300);
        let had = engine.leave(1);
        // Most of the minute at once.
        assert_eq!(engine.manager.tick(59.0).unwrap(), Vec::<u64>::new());
        assert_eq!(engine.manager.tick(2.0).unwrap(), [id]);
        assert_eq!(engine.saved(1), Some(had));
        engine.end();
    }
}

#[test]
fn players_who_do_nothing_are_removed_and_saved() {
    for mode in MODES {
        let mut engine = Engine::start(Database::Memory, mode);
        engine.join_and_load(1);
        engine.join_and_load(2);
        engine.play(300);
        engine.manager.tick(50.0).unwrap();
        engine.manager.input(2);
        engine.manager.tick(20.0).unwrap();
        let instance = engine.manager.instances().next().unwrap();
        assert_eq!(instance.players().collect::<Vec<_>>(), [2]);
        assert!(engine.saved(1).unwrap() > 0.0);
        engine.end();
    }
}

#[test]
fn the_leaderboard_is_what_the_game_has_saved() {
    for mode in MODES {
        let mut engine = Engine::start(Database::Memory, mode);
        (1..=3).for_each(|user_id| engine.join_and_load(user_id));
        engine.play(900);
        let mut had: Vec<_> = (1..=3).map(|user_id| (engine.leave(user_id) / 10.0, user_id)).collect();
        engine.finish_calls();
        had.sort_by(|a, b| b.partial_cmp(a).unwrap());
        let entries = wait(clawblox_host::leaderboard(engine.game(), None, None)).unwrap();
        let found: Vec<_> = entries.iter().map(|entry| (entry.score, entry.name.clone().unwrap())).collect();
        let expected: Vec<_> = had.iter().map(|(score, user_id)| (*score, format!("Climber{user_id}"))).collect();
        assert_eq!(found, expected);
        engine.end();
    }
}
