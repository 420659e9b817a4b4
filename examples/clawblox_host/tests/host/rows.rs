//! What the engine had stored before Clawstore is taken over, and served.

use clawblox_host::Mode;
use clawstore::import::Plan;
use clawstore::{Clawstore, Database};
use clawstore_testkit::postgres;

use crate::support::{Engine, GAME, wait};

fn import(database: &postgres::Database) {
    let open = || Database::parse(&database.url()).unwrap();
    let store = Clawstore::builder().database(open()).open().unwrap();
    let mut plan = Plan::from(open()).unwrap();
    plan.ordered.push("Leaderboard".to_owned());
    let mut import = store.import(plan).unwrap();
    let mut refused = Vec::new();
    while let Some(page) = wait(import.next_page()) {
        refused.extend(page.unwrap().refused);
    }
    assert_eq!(refused, []);
}

#[test]
fn old_rows_are_imported_and_served() {
    let database = postgres::Database::create();
    let rows = format!(
        r#"CREATE TABLE data_stores (game_id uuid, store_name varchar(255), key varchar(255), value jsonb,
             updated_at timestamptz DEFAULT now(), PRIMARY KEY (game_id, store_name, key));
           INSERT INTO data_stores (game_id, store_name, key, value) VALUES
             ('{GAME}', 'PlayerData', 'player_1', '{{"money": 70, "best": 12, "boots": 2, "collected": {{"coin3": 1}}}}'),
             ('{GAME}', 'PlayerData', 'player_2', 'null'),
             ('{GAME}', 'Leaderboard', 'player_1', '{{"score": 7.05, "name": "Climber1"}}'),
             ('{GAME}', 'Leaderboard', 'player_9', '{{"score": 7.25, "name": "Gone"}}')"#
    );
    database.psql(&rows).unwrap();
    import(&database);

    let mut engine = Engine::start(Database::parse(&database.url()).unwrap(), Mode::Polling);
    let names = |engine: &Engine| -> Vec<_> {
        let entries = wait(clawblox_host::leaderboard(engine.game(), None, None)).unwrap();
        entries.into_iter().map(|entry| entry.name.unwrap()).collect()
    };
    assert_eq!(names(&engine), ["Gone", "Climber1"]);
    engine.join_and_load(1);
    engine.join_and_load(2);
    let instance = engine.manager.instances().next().unwrap();
    assert!(instance.observe::<f64>(1, "Money").unwrap() >= Some(70.0));
    assert!(instance.observe::<f64>(2, "Money").unwrap() < Some(70.0), "was removed");
    let money = |engine: &Engine| engine.manager.instances().next().unwrap().observe::<f64>(1, "Money").unwrap();
    while money(&engine) < Some(75.0) {
        engine.play(60);
        (1..=2).for_each(|user_id| engine.manager.input(user_id));
    }
    engine.leave(1);
    engine.finish_calls();
    assert_eq!(names(&engine), ["Climber1", "Gone"]);
    engine.end();
}
