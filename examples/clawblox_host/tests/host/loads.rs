//! Loads that fail or are late: what was saved before stays.

use std::sync::Arc;
use std::time::Duration;

use clawblox_host::Mode;
use clawstore::backend::BackendErrorKind;
use clawstore::{Config, Database};
use clawstore_testkit::postgres::{Cluster, StopMode};
use clawstore_testkit::{GatedBackend, MemoryBackend};

use crate::support::{Engine, MODES, is_loaded, tick_until};

const REFUSED: &str = "The last GetAsync of this key on this server failed or has not returned";

/// A fresh process, with its database in the test's hand. Player 1 has been here before, and has this much.
fn returning_player(mode: Mode) -> (Engine, Arc<GatedBackend>, f64) {
    let memory = MemoryBackend::new();
    let mut engine = Engine::start(Database::Custom(Arc::new(memory.reopened())), mode);
    engine.join_and_load(1);
    engine.play(600);
    let had = engine.leave(1);
    engine.end();
    let gate = Arc::new(GatedBackend::new(Arc::new(memory.reopened())));
    let config = Config::default().call_deadline(Duration::from_secs(3));
    (Engine::start_with(config, Database::Custom(Arc::clone(&gate) as _), mode), gate, had)
}

#[test]
fn who_leaves_before_the_load_has_ended_keeps_the_old_save() {
    for mode in MODES {
        let (mut engine, gate, had) = returning_player(mode);
        gate.hold_reads();
        engine.join(1);
        engine.play(120);
        assert!(!is_loaded(&engine.manager, 1));
        assert_eq!(engine.manager.leave(1).unwrap().unwrap().money, None);
        engine.play(10);
        gate.release_reads();
        let problems = engine.problems();
        assert!(problems.len() == 1 && problems[0].contains(REFUSED), "{problems:?}");
        assert_eq!(engine.saved(1), Some(had));
        // And all is well the next time.
        engine.join_and_load(1);
        engine.play(60);
        let now = engine.leave(1);
        assert!(now >= had);
        assert_eq!(engine.saved(1), Some(now));
        engine.end();
    }
}

#[test]
fn who_could_not_be_loaded_keeps_the_old_save() {
    for mode in MODES {
        let (mut engine, gate, had) = returning_player(mode);
        // For longer than a call waits.
        gate.fail_reads(1_000, BackendErrorKind::Unavailable);
        engine.join(1);
        let others = |problems: &[String]| problems.iter().filter(|problem| !problem.contains(REFUSED)).count();
        tick_until(&mut engine.manager, |manager| {
            manager.instances().any(|instance| others(&instance.problems().all()) == 1)
        });
        gate.heal();
        // They play on with what the game gave them, and that is to be saved every now and then, and at the end.
        engine.play(2_000);
        engine.manager.leave(1).unwrap();
        engine.play(10);
        let problems = engine.problems();
        assert!(others(&problems) == 1 && problems.len() >= 3, "{problems:?}");
        assert_eq!(engine.saved(1), Some(had));
        engine.end();
    }
}

/// The database is away for a while: who was there loses nothing, and who comes meanwhile is loaded when it is back.
#[test]
fn an_outage_of_the_database_loses_nothing() {
    let mut cluster = Cluster::start().unwrap();
    let mut engine = Engine::start(Database::parse(&cluster.url()).unwrap(), Mode::Polling);
    engine.join_and_load(1);
    engine.join_and_load(2);
    engine.play(600);
    cluster.stop(StopMode::Fast).unwrap();
    let had = engine.leave(1);
    engine.join(3);
    engine.play(300);
    assert!(!is_loaded(&engine.manager, 3));
    cluster.restart().unwrap();
    tick_until(&mut engine.manager, |manager| is_loaded(manager, 3));
    assert_eq!(engine.saved(1), Some(had));
    let had = engine.leave(2);
    assert_eq!(engine.saved(2), Some(had));
    assert_eq!(engine.problems(), Vec::<String>::new());
    engine.end();
}
