//! The engine-facing surface on Postgres: several processes on one database, tools beside them, the schema.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::time::Duration;

use clawstore::{Clawstore, Config, DataStore, Database, Game, GameId, Migrations, PgConnectOptions, ReadOnly};
use clawstore_testkit::postgres;
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn options(database: &postgres::Database) -> PgConnectOptions {
    database.url().parse().unwrap()
}

fn open(database: &postgres::Database) -> Clawstore {
    Clawstore::builder().database(Database::postgres(options(database))).open().expect("opens")
}

fn game(store: &Clawstore) -> Game {
    store.game(GameId::Number(1)).unwrap()
}

fn saves(store: &Clawstore) -> DataStore {
    game(store).data_store("Saves").unwrap()
}

#[test]
fn two_processes_share_a_database_and_lose_no_update() {
    let database = postgres::Database::create();
    let stores = [open(&database), open(&database)];
    let runtime = runtime();
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let saves = saves(&stores[n % 2]);
            runtime.spawn(async move {
                for _ in 0..25 {
                    saves.update::<i64>("shared", |old| Some(old.unwrap_or(0) + 1)).await.unwrap();
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
        let found = saves(&stores[0]).get_uncached::<i64>("shared").await.unwrap().expect("written");
        assert_eq!(found.value, 400);
        assert!(found.version.contains(".0000000400."), "each of them once: {}", found.version);
    });
    for store in &stores {
        assert_eq!(store.shutdown(PATIENCE).unknown, 0);
    }
    let alive = database.psql("SELECT count(*) FROM clawstore.incarnation WHERE state = 'alive'").unwrap();
    assert_eq!(alive.trim(), "0", "both have left");
}

#[test]
fn what_is_saved_is_there_after_a_restart_to_the_byte() {
    let database = postgres::Database::create();
    let store = open(&database);
    assert!(store.durability().contains("kill -9"), "{}", store.durability());
    let (key, runtime) = ("\u{1F600}".repeat(12), runtime());
    let big = "x".repeat(4_194_304 - 2);
    runtime.block_on(async {
        let saves = saves(&store);
        saves.set(&key, "a\u{0}b").await.unwrap();
        saves.set("big", &big).await.unwrap();
    });
    store.shutdown(PATIENCE);
    let store = open(&database);
    runtime.block_on(async {
        let saves = saves(&store);
        assert_eq!(saves.get::<String>(&key).await.unwrap().unwrap().value, "a\u{0}b");
        assert!(saves.get::<String>("big").await.unwrap().unwrap().value == big);
    });
}

#[test]
fn a_tool_looks_into_a_database_that_servers_use() {
    let database = postgres::Database::create();
    let store = open(&database);
    let runtime = runtime();
    runtime.block_on(async {
        saves(&store).set("player_1", &7).await.unwrap();
    });
    let reader = ReadOnly::open_database(Database::postgres(options(&database))).unwrap();
    runtime.block_on(async {
        let game = GameId::Number(1);
        let stores = reader.stores().await.unwrap();
        assert_eq!(stores.iter().map(|store| &*store.name).collect::<Vec<_>>(), ["Saves"]);
        assert_eq!(reader.keys(game, "Saves", "global", None, 10).await.unwrap(), ["player_1"]);
        let entry = reader.entry(game, "Saves", "global", "player_1").await.unwrap();
        assert_eq!(entry.value.unwrap().json(), b"7");
    });
    let joined = database.psql("SELECT count(*) FROM clawstore.incarnation").unwrap();
    assert_eq!(joined.trim(), "1", "the tool has not joined the servers");
}

#[test]
fn a_schema_that_is_not_there_is_named_with_what_to_run() {
    let database = postgres::Database::create();
    let open = || {
        let config = Config::default().migrate(false);
        Clawstore::builder().config(config).database(Database::postgres(options(&database))).open()
    };
    let error = open().expect_err("nothing is there").to_string();
    assert!(error.contains("clawstore migrate up") && error.contains("not opened"), "{error}");
    let migrations = Migrations::of(Database::postgres(options(&database))).unwrap();
    assert!(migrations.status().unwrap().iter().all(|step| !step.applied));
    assert!(!migrations.up().unwrap().is_empty());
    assert!(migrations.up().unwrap().is_empty(), "once");
    open().expect("the schema is there").shutdown(PATIENCE);
    while migrations.down().unwrap().is_some() {}
    let left = "SELECT count(*) FROM pg_tables WHERE schemaname = 'clawstore' AND tablename NOT LIKE '%migration%'";
    assert_eq!(database.psql(left).unwrap().trim(), "0");
    assert!(Migrations::of(Database::Memory).expect_err("it has none").to_string().contains(":memory:"));
}

#[test]
fn a_server_that_cannot_be_reached_is_named_without_its_password() {
    let database = Database::parse("postgres://me:secret@127.0.0.1:1/games").unwrap();
    let error = Clawstore::builder().database(database).open().expect_err("nobody is there").to_string();
    assert!(error.contains("127.0.0.1:1/games") && !error.contains("secret"), "{error}");
}

#[test]
fn keys_are_read_ahead_in_batches() {
    let database = postgres::Database::create();
    let (writer, runtime) = (open(&database), runtime());
    runtime.block_on(async {
        for n in 0..300 {
            saves(&writer).set(&format!("player_{n}"), &n).await.unwrap();
        }
    });
    writer.shutdown(PATIENCE);
    let store = open(&database);
    let keys: Vec<_> = (0..310).map(|n| saves(&store).key(&format!("player_{n}")).unwrap()).collect();
    runtime.block_on(async {
        assert_eq!(game(&store).prefetch(keys).await, Some(300), "ten of them hold nothing");
        assert_eq!(game(&store).preload(["Saves", "Nothing"]).unwrap().await.unwrap().unwrap(), 300);
    });
    assert_eq!(game(&store).stats().active_keys, 0, "reads take no lease");
    assert!(game(&store).preload([""]).is_err());
}
