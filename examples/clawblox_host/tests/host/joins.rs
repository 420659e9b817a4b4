//! Players in two places.

use clawstore::Database;

use crate::support::{Engine, MODES, is_loaded, join, manager, tick_until};

#[test]
fn who_joins_twice_is_where_they_were() {
    for mode in MODES {
        let mut engine = Engine::start(Database::Memory, mode);
        let first = engine.join(1);
        (2..=25).for_each(|user_id| assert_eq!(engine.join(user_id), first));
        let second = engine.join(26);
        assert_ne!(first, second, "the first is full");
        assert_eq!((engine.join(1), engine.join(26)), (first, second));
        engine.end();
    }
}

/// The load of the second instance is made while the save of the first is on its way.
#[test]
fn who_changes_instances_in_one_moment_takes_everything_along() {
    for mode in MODES {
        let mut engine = Engine::start(Database::Memory, mode);
        let mut others = manager(&engine.data_stores, mode);
        engine.join_and_load(1);
        engine.play(600);
        for _ in 0..10 {
            let had = engine.leave(1);
            join(&mut others, 1);
            tick_until(&mut others, |others| is_loaded(others, 1));
            let money = others.instances().next().unwrap().observe::<f64>(1, "Money").unwrap();
            assert!(money >= Some(had), "{money:?} of {had}");
            others.leave(1).unwrap();
            engine.join_and_load(1);
        }
        assert_eq!(engine.problems(), Vec::<String>::new());
        others.shut_down().unwrap();
        engine.end();
    }
}

/// Two instances have the same player, by whatever mistake: the last to save has the last word, whole and in order.
#[test]
fn a_player_in_two_instances_keeps_one_of_the_two_saves() {
    for mode in MODES {
        let mut engine = Engine::start(Database::Memory, mode);
        let mut others = manager(&engine.data_stores, mode);
        engine.join_and_load(1);
        engine.play(600);
        join(&mut others, 1);
        tick_until(&mut others, |others| is_loaded(others, 1));
        (0..300).for_each(|_| drop(others.tick(1.0 / 60.0).unwrap()));
        let first = engine.leave(1);
        let second = others.leave(1).unwrap().unwrap().money.unwrap();
        assert_ne!(first, second);
        assert_eq!(engine.saved(1), Some(second));
        assert_eq!(engine.problems(), Vec::<String>::new());
        others.shut_down().unwrap();
        engine.end();
    }
}
