//! Taking over the data of a Clawblox engine: real tables, real stores.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::future::Future;
use std::time::Duration;

use clawstore::import::{Counts, Import, ImportError, Page, Plan, Refused, SourceError, check};
use clawstore::{Clawstore, Database, GameId};
use clawstore_testkit::postgres;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
const GAME: &str = "11111111-1111-4111-8111-111111111111";
const OTHER: &str = "22222222-2222-4222-8222-222222222222";

/// The table as the engine's own migrations make it, as far as it is read.
const TABLE: &str = "CREATE TABLE data_stores (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(), game_id UUID NOT NULL,
    store_name VARCHAR(255) NOT NULL, key VARCHAR(255) NOT NULL, value JSONB NOT NULL,
    created_at TIMESTAMPTZ DEFAULT NOW(), updated_at TIMESTAMPTZ DEFAULT NOW(), UNIQUE (game_id, store_name, key))";

/// An engine's database.
struct Engine(postgres::Database);

impl Engine {
    fn new() -> Self {
        let database = postgres::Database::create();
        database.psql(TABLE).unwrap();
        Self(database)
    }

    fn save(&self, game: &str, store: &str, key: &str, value: &Value) {
        let value = value.to_string().replace('\'', "''");
        self.sql(&format!(
            "INSERT INTO data_stores (game_id, store_name, key, value) VALUES ('{game}', '{store}', '{key}', '{value}')"
        ));
    }

    fn sql(&self, sql: &str) -> String {
        self.0.psql(sql).unwrap()
    }

    /// Changes with every write, also with one that writes the same again.
    fn checksum(&self) -> String {
        self.sql("SELECT md5(string_agg(data_stores::text || xmin || ctid, ',' ORDER BY id)) FROM data_stores")
    }

    fn plan(&self) -> Plan {
        Plan::from(Database::parse(&self.0.url()).unwrap()).unwrap()
    }
}

fn memory() -> Clawstore {
    Clawstore::builder().database(Database::Memory).open().unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Follows it to its end.
fn finish(import: Import) -> Page {
    try_finish(import).unwrap()
}

fn try_finish(mut import: Import) -> Result<Page, ImportError> {
    block_on(async {
        let mut all = Page::default();
        while let Some(page) = import.next_page().await {
            let page = page?;
            all.counts += page.counts;
            all.refused.extend(page.refused);
        }
        Ok(all)
    })
}

fn get(store: &Clawstore, game: &str, name: &str, key: &str) -> Option<Value> {
    let store = store.game(game.parse().unwrap()).unwrap().data_store(name).unwrap();
    block_on(store.get::<Value>(key)).unwrap().map(|stored| stored.value)
}

fn counts(read: u64, written: u64, already_there: u64, removed: u64, refused: u64) -> Counts {
    Counts { read, written, already_there, removed, refused }
}

#[test]
fn saves_of_all_games_are_taken_over_as_scripts_saw_them() {
    let (engine, store) = (Engine::new(), memory());
    let save = json!({"coins": 12.5, "name": "O'Brien \u{1F600}", "items": ["a", {"n": -3}], "none": {}, "on": true});
    engine.save(GAME, "PlayerData", "player_9007199254740991", &save);
    engine.save(GAME, "PlayerData", "gone", &Value::Null);
    engine.save(GAME, "Other", "player_1", &json!("text"));
    engine.save(OTHER, "PlayerData", "player_1", &json!(0.1));
    let before = engine.checksum();
    let import = store.import(engine.plan()).unwrap();
    assert_eq!(import.rows(), 4);
    assert_eq!(finish(import), Page { counts: counts(4, 3, 0, 1, 0), refused: vec![] });
    assert_eq!(get(&store, GAME, "PlayerData", "player_9007199254740991"), Some(save));
    assert_eq!(get(&store, GAME, "PlayerData", "gone"), None);
    assert_eq!(get(&store, GAME, "Other", "player_1"), Some(json!("text")));
    assert_eq!(get(&store, OTHER, "PlayerData", "player_1"), Some(json!(0.1)));
    assert_eq!(get(&store, GAME, "PlayerData", "player_1"), None, "another game's");
    assert_eq!(engine.checksum(), before, "the source is only read");
}

#[test]
fn only_the_games_that_were_asked_for() {
    let (engine, store) = (Engine::new(), memory());
    engine.save(GAME, "S", "k", &json!(1));
    engine.save(OTHER, "S", "k", &json!(2));
    let mut plan = engine.plan();
    plan.games = vec![OTHER.parse::<GameId>().unwrap()];
    let import = store.import(plan).unwrap();
    assert_eq!((import.rows(), finish(import).counts), (1, counts(1, 1, 0, 0, 0)));
    assert_eq!((get(&store, GAME, "S", "k"), get(&store, OTHER, "S", "k")), (None, Some(json!(2))));
}

#[test]
fn what_is_not_legal_here_is_named_with_its_reason() {
    let (engine, store) = (Engine::new(), memory());
    let (long, longest) = ("x".repeat(51), "y".repeat(255));
    engine.save(GAME, "S", "", &json!(1));
    engine.save(GAME, "S", &long, &json!(1));
    engine.save(GAME, "S", &"x".repeat(50), &json!(1));
    engine.save(GAME, &longest, "k", &json!(1));
    engine.save(GAME, "", "k", &json!(1));
    engine.save(GAME, &longest, "removed", &Value::Null);
    for (key, length) in [("fits", 4_194_302), ("large", 4_194_303), ("larger", 8_388_607)] {
        engine.sql(&format!(
            "INSERT INTO data_stores (game_id, store_name, key, value)
             VALUES ('{GAME}', 'Big', '{key}', to_jsonb(repeat('x', {length})))"
        ));
    }
    let page = finish(store.import(engine.plan()).unwrap());
    assert_eq!(page.counts, counts(9, 2, 0, 1, 6));
    let refused: Vec<_> = page.refused.iter().map(|row| (&*row.store, &*row.key, &*row.reason)).collect();
    let large = "105: Serialized value exceeds 4194304 limit.";
    let expected = [
        ("", "k", "DataStore name can't be empty string"),
        ("Big", "large", large),
        ("Big", "larger", "105: Serialized value exceeds 4194304 limit. (8388609 bytes)"),
        ("S", "", "101: Key name can't be empty."),
        ("S", &*long, "102: Key name exceeds the 50 character limit."),
        (&*longest, "k", "DataStore name is too long"),
    ];
    assert_eq!(refused, expected);
    assert!(page.refused.iter().all(|row| row.game == GAME));
    assert_eq!(get(&store, GAME, "Big", "fits").unwrap().as_str().unwrap().len(), 4_194_302);
}

#[test]
fn blanks_of_the_source_do_not_count() {
    let (engine, store) = (Engine::new(), memory());
    // Postgres writes `[1, 1, …]`: half as long again as what is stored here.
    engine.sql(&format!(
        "INSERT INTO data_stores (game_id, store_name, key, value)
         SELECT '{GAME}', 'S', 'k', jsonb_agg(1) FROM generate_series(1, 2000000)"
    ));
    assert_eq!(finish(store.import(engine.plan()).unwrap()).counts, counts(1, 1, 0, 0, 0));
}

#[test]
fn ordered_stores_take_numbers_fractions_and_tables_with_a_score() {
    let (engine, store) = (Engine::new(), memory());
    let rows = [
        ("player_1", json!(7)),
        ("player_2", json!({"score": 12.75, "name": "Ann"})),
        ("player_3", json!({"score": -3, "name": "Bob"})),
        ("player_4", json!(7.5)),
        ("player_5", json!({"score": "A+"})),
        ("player_6", json!("A+")),
        ("player_7", Value::Null),
    ];
    for (key, value) in &rows {
        engine.save(GAME, "Board", key, value);
        engine.save(GAME, "Data", key, value);
    }
    let mut plan = engine.plan();
    plan.ordered = vec!["Board".to_owned()];
    let page = finish(store.import(plan).unwrap());
    assert_eq!(page.counts, counts(14, 10, 0, 2, 2), "{:?}", page.refused);
    let refused: Vec<_> = page.refused.iter().map(|row| (&*row.store, &*row.key, &row.reason[..4])).collect();
    assert_eq!(refused, [("Board", "player_5", "103:"), ("Board", "player_6", "103:")]);
    let board = store.game(GAME.parse().unwrap()).unwrap().ordered_data_store("Board").unwrap();
    let ranked = block_on(board.sorted(false, i64::MIN..=i64::MAX, None, 10)).unwrap();
    let keys: Vec<_> = ranked.iter().map(|ranked| (&*ranked.key, ranked.number)).collect();
    assert_eq!(keys, [("player_2", 12), ("player_4", 7), ("player_1", 7), ("player_3", -3)], "scores, rounded down");
    assert_eq!(get(&store, GAME, "Board", "player_1"), None, "not in the plain store of that name");
    assert_eq!(get(&store, GAME, "Data", "player_5"), Some(json!({"score": "A+"})));
}

#[test]
fn pages_end_by_rows_and_by_bytes() {
    let (engine, store) = (Engine::new(), memory());
    engine.sql(&format!(
        "INSERT INTO data_stores (game_id, store_name, key, value)
         SELECT '{GAME}', 'Store ' || n % 3, 'Key ' || n, to_jsonb(n) FROM generate_series(1, 3500) AS n"
    ));
    engine.sql(&format!(
        "INSERT INTO data_stores (game_id, store_name, key, value)
         SELECT '{OTHER}', 'Big', n::text, to_jsonb(repeat('x', 3000000)) FROM generate_series(1, 7) AS n"
    ));
    let mut import = store.import(engine.plan()).unwrap();
    let mut pages = Vec::new();
    while let Some(page) = block_on(import.next_page()) {
        pages.push(page.unwrap().counts.written);
    }
    assert_eq!(pages.iter().sum::<u64>(), 3_507, "{pages:?}");
    assert!(pages.iter().all(|rows| *rows <= 1_000) && pages.ends_with(&[3, 1]), "{pages:?}");
    assert_eq!(get(&store, GAME, "Store 0", "Key 3000"), Some(json!(3000)));
}

#[test]
fn an_import_that_was_interrupted_goes_on() {
    let (engine, target) = (Engine::new(), postgres::Database::create());
    engine.sql(&format!(
        "INSERT INTO data_stores (game_id, store_name, key, value)
         SELECT '{GAME}', 'S', 'Key ' || n, to_jsonb(n) FROM generate_series(1, 3500) AS n"
    ));
    let open = || Clawstore::builder().database(Database::parse(&target.url()).unwrap()).open().unwrap();
    let store = open();
    let mut import = store.import(engine.plan()).unwrap();
    let first = block_on(import.next_page()).unwrap().unwrap().counts;
    assert_eq!(first, counts(1_000, 1_000, 0, 0, 0));
    drop(import);
    store.shutdown(PATIENCE);
    let store = open();
    let again = finish(store.import(engine.plan()).unwrap()).counts;
    assert_eq!((again.read, again.written + again.already_there), (3_500, 3_500));
    assert!((1_000..3_500).contains(&again.already_there), "{again:?}");
    assert_eq!(finish(store.import(engine.plan()).unwrap()).counts, counts(3_500, 0, 3_500, 0, 0));
}

#[test]
fn what_happened_here_since_is_left_alone() {
    let (engine, store) = (Engine::new(), memory());
    for key in ["changed", "removed", "same"] {
        engine.save(GAME, "S", key, &json!("old"));
    }
    assert_eq!(finish(store.import(engine.plan()).unwrap()).counts.written, 3);
    let here = store.game(GAME.parse().unwrap()).unwrap().data_store("S").unwrap();
    block_on(async {
        here.set("changed", "new").await.unwrap();
        here.remove::<String>("removed").await.unwrap();
    });
    assert_eq!(finish(store.import(engine.plan()).unwrap()).counts, counts(3, 0, 3, 0, 0));
    assert_eq!(get(&store, GAME, "S", "changed"), Some(json!("new")));
    assert_eq!(get(&store, GAME, "S", "removed"), None);
}

#[test]
fn a_check_counts_and_names_the_same() {
    let engine = Engine::new();
    engine.save(GAME, "S", "k", &json!(1));
    engine.save(GAME, "S", "gone", &Value::Null);
    engine.save(GAME, "S", "", &json!(1));
    let before = engine.checksum();
    let checked = finish(check(engine.plan()).unwrap());
    assert_eq!(checked.counts, counts(3, 1, 0, 1, 1));
    assert_eq!(checked, finish(memory().import(engine.plan()).unwrap()));
    let reason = "101: Key name can't be empty.".to_owned();
    assert_eq!(checked.refused, [Refused { game: GAME.into(), store: "S".into(), key: String::new(), reason }]);
    assert_eq!(engine.checksum(), before);
}

#[test]
fn source_and_store_may_be_one_database() {
    let engine = Engine::new();
    engine.save(GAME, "S", "k", &json!({"coins": 1}));
    let before = engine.checksum();
    let store = Clawstore::builder().database(Database::parse(&engine.0.url()).unwrap()).open().unwrap();
    assert_eq!(finish(store.import(engine.plan()).unwrap()).counts.written, 1);
    assert_eq!(get(&store, GAME, "S", "k"), Some(json!({"coins": 1})));
    assert_eq!(engine.checksum(), before);
}

#[test]
fn a_database_without_the_table_is_no_source() {
    let (database, store) = (postgres::Database::create(), memory());
    let plan = || Plan::from(Database::parse(&database.url()).unwrap()).unwrap();
    let refused = || match store.import(plan()) {
        Err(ImportError::Source(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(), SourceError::NotClawblox { .. }));
    // Another product's table of that name.
    database.psql("CREATE TABLE data_stores (id int)").unwrap();
    assert!(matches!(refused(), SourceError::NotClawblox { .. }));
    assert!(Plan::from(Database::Memory).unwrap_err().to_string().contains("Postgres"));
}

#[test]
fn nothing_can_be_written_to_the_source() {
    let (database, store) = (postgres::Database::create(), memory());
    database.psql(&TABLE.replace("data_stores", "saves")).unwrap();
    database.psql("CREATE SEQUENCE looked").unwrap();
    database.psql("CREATE VIEW data_stores AS SELECT *, nextval('looked') FROM saves").unwrap();
    database
        .psql(&format!("INSERT INTO saves (game_id, store_name, key, value) VALUES ('{GAME}', 'S', 'k', '1')"))
        .unwrap();
    let ended = store.import(Plan::from(Database::parse(&database.url()).unwrap()).unwrap()).map(try_finish);
    let text = format!("{ended:?}");
    assert!(text.contains("read-only transaction"), "{text}");
}

#[test]
fn a_store_that_is_shut_down_ends_the_import_and_says_so() {
    let (engine, store) = (Engine::new(), memory());
    engine.save(GAME, "S", "k", &json!(1));
    store.shutdown(PATIENCE);
    let ended = store.import(engine.plan()).map(try_finish);
    assert!(matches!(ended, Err(_) | Ok(Err(_))), "{ended:?}");
}
