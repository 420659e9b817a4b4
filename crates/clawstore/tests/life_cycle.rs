//! Whole games on both databases: a backup of every key, deletion and its way back, purge, games that share a universe.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::time::Duration;

use clawstore::{
    Clawstore, Config, Database, GameId, GameSize, LifeCycleError, OpenError, Purge, ReadOnly, ServerOptions,
    StoreError,
};
use clawstore_testkit::postgres;

const PATIENCE: Duration = Duration::from_secs(20);
const GAME: GameId = GameId::Number(7);
const OTHER: GameId = GameId::Number(8);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Runs a test on an embedded database and on one of Postgres.
fn on_both(test: impl Fn(&Database)) {
    let directory = tempfile::tempdir().unwrap();
    test(&Database::directory(directory.path()));
    let database = postgres::Database::create();
    test(&Database::postgres(database.url().parse().unwrap()));
}

fn open(database: &Database) -> Clawstore {
    Clawstore::builder().database(database.clone()).open().expect("opens")
}

async fn save(store: &Clawstore, game: GameId, key: &str, value: i64) -> Result<String, StoreError> {
    store.game(game).unwrap().data_store("Saves").unwrap().set(key, &value).await
}

async fn saved(store: &Clawstore, game: GameId, key: &str) -> Result<Option<i64>, StoreError> {
    let found = store.game(game).unwrap().data_store("Saves").unwrap().get::<i64>(key).await?;
    Ok(found.map(|stored| stored.value))
}

fn is_deleted<T: std::fmt::Debug>(result: Result<T, StoreError>) -> bool {
    let error = result.expect_err("it is deleted").to_string();
    error.starts_with("502: ") && error.contains("DatastoreDeleted")
}

#[test]
fn a_snapshot_backs_up_every_key_before_its_next_write() {
    on_both(|database| {
        let store = open(database);
        let key = |n: i64| format!("player_{n}");
        let versions = block_on(async {
            let mut versions = Vec::new();
            for n in 0..40 {
                versions.push(save(&store, GAME, &key(n), n).await.unwrap());
            }
            versions
        });
        let taken = block_on(store.snapshot(GAME)).unwrap();
        assert!(taken.is_new);
        store.shutdown(PATIENCE);
        // Also by a process that was not there when it was taken.
        let store = open(database);
        block_on(async {
            for n in 0..40 {
                save(&store, GAME, &key(n), -n).await.unwrap();
                save(&store, GAME, &key(n), -2 * n).await.unwrap();
            }
            let saves = store.game(GAME).unwrap().data_store("Saves").unwrap();
            for (n, version) in (0..40).zip(&versions) {
                let backup = saves.version::<i64>(&key(n), version).await.unwrap().expect("backed up");
                assert_eq!(backup.value, n, "{database}");
            }
            assert_eq!(saved(&store, GAME, &key(1)).await.unwrap(), Some(-2));
            let again = store.snapshot(GAME).await.unwrap();
            assert!(again == clawstore::Snapshot { is_new: false, ..taken } || again.at.day() > taken.at.day());
        });
        store.shutdown(PATIENCE);
    });
}

#[test]
fn a_game_is_deleted_restored_and_purged_across_restarts() {
    on_both(|database| {
        let size = || block_on(ReadOnly::open_database(database.clone()).unwrap().size(GAME)).unwrap();
        let store = open(database);
        block_on(async {
            for n in 0..5 {
                save(&store, GAME, &format!("k{n}"), n).await.unwrap();
            }
            save(&store, OTHER, "k1", 9).await.unwrap();
            store.game(GAME).unwrap().ordered_data_store("Scores").unwrap().set("a", 3).await.unwrap();
            store.game(GAME).unwrap().data_store("Saves").unwrap().remove::<i64>("k0").await.unwrap();
            assert!(matches!(store.restore_game(GAME).await, Err(LifeCycleError::NotDeleted(GAME))));
        });
        assert_eq!(size(), GameSize { stores: 2, keys: 5 });
        let deleted = block_on(async {
            let deleted = store.delete_game(GAME).await.unwrap();
            assert!(is_deleted(saved(&store, GAME, "k1").await) && is_deleted(save(&store, GAME, "k1", 2).await));
            assert_eq!(saved(&store, OTHER, "k1").await.unwrap(), Some(9), "no other game is hurt");
            deleted
        });
        store.shutdown(PATIENCE);
        assert_eq!(size(), GameSize { stores: 2, keys: 5 }, "nothing is lost");

        let store = open(database);
        block_on(async {
            assert!(is_deleted(saved(&store, GAME, "k1").await));
            assert_eq!(store.deleted_games().await.unwrap(), [deleted]);
            assert_eq!(store.delete_game(GAME).await, Err(LifeCycleError::AlreadyDeleted(deleted)));
            store.restore_game(GAME).await.unwrap();
            assert_eq!(saved(&store, GAME, "k1").await.unwrap(), Some(1));
            assert_eq!(saved(&store, GAME, "k0").await.unwrap(), None);
            save(&store, GAME, "k1", 10).await.unwrap();
            let deleted = store.delete_game(GAME).await.unwrap();
            assert_eq!(store.purge_game(GAME, Purge::WhenDue).await, Err(LifeCycleError::StillKept(deleted)));
        });
        store.shutdown(PATIENCE);

        let store = open(database);
        block_on(async {
            assert!(store.purge_game(GAME, Purge::Now).await.unwrap() >= 6, "keys, versions, tombstones");
            assert_eq!(store.deleted_games().await.unwrap(), []);
            assert_eq!(saved(&store, GAME, "k1").await.unwrap(), None);
            let version = save(&store, GAME, "k1", 11).await.unwrap();
            assert!(version.contains(".0000000001."), "it is used anew: {version}");
            assert_eq!(saved(&store, OTHER, "k1").await.unwrap(), Some(9));
        });
        store.shutdown(PATIENCE);
        assert_eq!(size(), GameSize { stores: 1, keys: 1 }, "{database}");
    });
}

#[test]
fn a_game_that_another_process_uses_is_not_deleted() {
    let database = postgres::Database::create();
    let database = Database::postgres(database.url().parse().unwrap());
    let (server, tool) = (open(&database), open(&database));
    block_on(async {
        save(&server, GAME, "k", 1).await.unwrap();
        let error = tool.delete_game(GAME).await.expect_err("in use");
        assert!(
            matches!(error, LifeCycleError::InUse { .. }) && error.to_string().contains("stop its servers"),
            "{error}"
        );
        save(&server, GAME, "k", 2).await.unwrap();
    });
    server.shutdown(PATIENCE);
    block_on(async {
        tool.delete_game(GAME).await.unwrap();
        tool.restore_game(GAME).await.unwrap();
        assert_eq!(saved(&tool, GAME, "k").await.unwrap(), Some(2));
    });
}

#[test]
fn a_server_of_this_process_keeps_its_game() {
    let store = Clawstore::builder().database(Database::Memory).open().unwrap();
    block_on(save(&store, GAME, "k", 1)).unwrap();
    let lua = mlua::Lua::new();
    let bindings = store.game(GAME).unwrap().server(ServerOptions::default()).bind(&lua).unwrap();
    let error = block_on(store.delete_game(GAME)).expect_err("a VM uses it").to_string();
    assert!(error.contains("1 server of this process"), "{error}");
    drop((bindings, lua));
    block_on(store.delete_game(GAME)).unwrap();
}

#[test]
fn games_of_one_universe_share_their_data() {
    let (first, second, third) = (GameId::Number(1), GameId::Number(2), GameId::Number(3));
    let config = Config::default().universe(second, first);
    let store = Clawstore::builder().config(config).database(Database::Memory).open().unwrap();
    assert_eq!(store.game(second).unwrap().id(), first, "game.GameId is the universe's");
    block_on(async {
        save(&store, first, "k", 1).await.unwrap();
        assert_eq!(saved(&store, second, "k").await.unwrap(), Some(1));
        save(&store, second, "k", 2).await.unwrap();
        assert_eq!(saved(&store, first, "k").await.unwrap(), Some(2));
        assert_eq!(saved(&store, third, "k").await.unwrap(), None);
        let error = store.delete_game(second).await.expect_err("it is not its own");
        assert_eq!(error, LifeCycleError::NotItsOwn { game: second, universe: first });
        assert!(store.snapshot(second).await.unwrap().is_new);
        assert!(!store.snapshot(first).await.unwrap().is_new, "of the same data");
        store.delete_game(first).await.unwrap();
        assert!(is_deleted(saved(&store, second, "k").await));
    });
    let chain = Config::default().universe(third, second).universe(second, first);
    let error = Clawstore::builder().config(chain).database(Database::Memory).open().expect_err("whose data is it?");
    assert!(matches!(error, OpenError::Config(_)) && error.to_string().contains("games.3.universe"), "{error}");
}

#[test]
fn stores_keys_and_versions_are_found_from_rust() {
    on_both(|database| {
        let config = Config::default().retention(clawstore::Retention::EveryWrite);
        let store = Clawstore::builder().config(config).database(database.clone()).open().unwrap();
        let game = store.game(GAME).unwrap();
        let saves = game.data_store("Saves").unwrap();
        block_on(async {
            for name in ["Players", "Saves", "SavesOld"] {
                game.data_store(name).unwrap().set("k", &0).await.unwrap();
            }
            let page = game.stores("Saves", None, 1).await.unwrap();
            assert_eq!((&*page.items[0].name, page.next.as_deref()), ("Saves", Some("Saves")));
            let page = game.stores("Saves", page.next.as_deref(), 1).await.unwrap();
            assert_eq!((&*page.items[0].name, page.next), ("SavesOld", None));

            for key in ["a_1", "a_2", "a_3", "b"] {
                saves.set(key, &1).await.unwrap();
            }
            saves.remove::<i64>("a_2").await.unwrap();
            let page = saves.keys("a_", None, 1).await.unwrap();
            assert_eq!(page.items, ["a_1".into()]);
            let page = saves.keys("a_", page.next.as_deref(), 9).await.unwrap();
            assert_eq!((page.items, page.next), (vec!["a_3".into()], None));

            let first = saves.set("v", "first").await.unwrap();
            let written = saves.get::<String>("v").await.unwrap().expect("there").updated_ms;
            let second = saves.set("v", "second").await.unwrap();
            assert_eq!(saves.version_at::<String>("v", written - 1).await.unwrap(), None, "before it was written");
            let at = saves.version_at::<String>("v", written + 60_000).await.unwrap().expect("there");
            assert_eq!(at.version, second);
            saves.remove_version("v", &first).await.unwrap();
            saves.remove_version("v", "no id").await.unwrap();
            assert_eq!(saves.version::<String>("v", &first).await.unwrap(), None);
            assert_eq!(saves.get::<String>("v").await.unwrap().expect("there").value, "second");
            saves.remove_version("v", &second).await.unwrap();
            assert_eq!(saves.get::<String>("v").await.unwrap(), None, "the current one, too");

            let scores = game.ordered_data_store("Scores").unwrap();
            scores.set("a", i64::MIN).await.unwrap();
            scores.set("b", 2).await.unwrap();
            assert_eq!(scores.get_many(&["b", "x", "a"]).await.unwrap(), [Some(2), None, Some(i64::MIN)]);
            let many: Vec<String> = (0..250).map(|n| format!("k{n}")).chain(["b".to_owned()]).collect();
            let many: Vec<&str> = many.iter().map(String::as_str).collect();
            assert_eq!(scores.get_many(&many).await.unwrap()[250], Some(2));
            assert!(scores.get_many(&["b", ""]).await.is_err());
        });
        store.shutdown(PATIENCE);
    });
}
