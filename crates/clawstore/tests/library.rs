//! The engine-facing surface, as an engine or a tool uses it.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::sync::Arc;
use std::time::Duration;

use clawstore::{
    Clawstore, Config, Database, GameId, OpenError, Ranked, ReadOnly, Retention, Runtime, ServerOptions, StoreError,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Save {
    gold: i64,
    items: Vec<String>,
}

const PATIENCE: Duration = Duration::from_secs(20);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn open(directory: &std::path::Path) -> Clawstore {
    Clawstore::builder().database(Database::directory(directory)).open().expect("opens")
}

#[test]
fn typed_values_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let saves = store.game(GameId::Number(1)).unwrap().data_store("Saves").unwrap();
    let save = Save { gold: 5, items: vec!["sword".into()] };
    block_on(async {
        assert_eq!(saves.get::<Save>("p").await.unwrap(), None);
        let version = saves.set("p", &save).await.unwrap();
        let found = saves.get::<Save>("p").await.unwrap().expect("stored");
        assert_eq!((found.value, found.version), (save.clone(), version));
        let updated = saves
            .update::<Save>("p", |old| old.map(|old| Save { gold: old.gold + 1, ..old }))
            .await
            .unwrap()
            .expect("written");
        assert_eq!(updated.value.gold, 6);
        assert_eq!(saves.update::<Save>("nobody", |old| old).await.unwrap(), None);
        assert_eq!(saves.increment("n", 3).await.unwrap(), 3);
        assert_eq!(saves.remove::<i64>("n").await.unwrap().expect("was there").value, 3);
        let wrong = saves.update::<i64>("p", |_| Some(1)).await.expect_err("another type");
        assert!(matches!(wrong, StoreError::Type { .. }), "{wrong}");
        let wrong = saves.get::<Save>("").await.expect_err("no key");
        assert!(wrong.to_string().starts_with("101: "));
    });
    let report = store.shutdown(PATIENCE);
    assert_eq!((report.failed, report.unknown), (0, 0));
    drop(store);
    let store = open(directory.path());
    let saves = store.game(GameId::Number(1)).unwrap().data_store("Saves").unwrap();
    assert_eq!(block_on(saves.get::<Save>("p")).unwrap().expect("durable").value.gold, 6);
}

#[test]
fn rust_updates_on_one_key_are_exact() {
    let store = Clawstore::builder().database(Database::Memory).open().unwrap();
    let counters = store.game(GameId::Number(1)).unwrap().data_store("Counters").unwrap();
    let tasks = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let counters = counters.clone();
            tasks.spawn(async move {
                for _ in 0..25 {
                    counters.update::<i64>("n", |old| Some(old.unwrap_or(0) + 1)).await.expect("counts");
                }
            })
        })
        .collect();
    for caller in callers {
        tasks.block_on(caller).unwrap();
    }
    assert_eq!(tasks.block_on(counters.get::<i64>("n")).unwrap().expect("stored").value, 800);
}

#[test]
fn a_dropped_update_holds_up_nobody() {
    let store = Clawstore::builder().database(Database::Memory).open().unwrap();
    let counters = store.game(GameId::Number(1)).unwrap().data_store("Counters").unwrap();
    block_on(async {
        for _ in 0..20 {
            // Dropped before its transform could run: the key is cold, so the store has to ask first.
            let update = counters.update::<i64>("n", |_| Some(1_000));
            let mut update = Box::pin(update);
            let _ =
                std::future::poll_fn(|context| std::task::Poll::Ready(update.as_mut().poll(context).is_ready())).await;
            drop(update);
            counters.increment("n", 1).await.unwrap();
        }
        let n = counters.get::<i64>("n").await.unwrap().expect("stored").value;
        assert!(n >= 20, "{n}");
    });
}

#[test]
fn opens_and_closes_inside_a_tokio_context() {
    let directory = tempfile::tempdir().unwrap();
    block_on(async {
        let store = open(directory.path());
        store.game(GameId::Number(1)).unwrap().data_store("S").unwrap().set("k", &1).await.unwrap();
        store.shutdown(PATIENCE);
        drop(store);
        let store = Clawstore::builder().database(Database::directory(directory.path())).open_async().await.unwrap();
        assert_eq!(store.game(GameId::Number(1)).unwrap().data_store("S").unwrap().increment("k", 1).await.unwrap(), 2);
        store.shutdown_async(PATIENCE).await;
        // Dropped in the context too.
    });
}

#[test]
fn runs_on_a_runtime_that_was_handed_in() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let store = Clawstore::builder()
        .database(Database::Memory)
        .runtime(Runtime::Handle(runtime.handle().clone()))
        .open()
        .unwrap();
    let counters = store.game(GameId::Number(1)).unwrap().data_store("S").unwrap();
    assert_eq!(block_on(counters.increment("k", 2)).unwrap(), 2);
    assert_eq!(store.shutdown(PATIENCE), store.shutdown(PATIENCE), "a second shutdown says the same");
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let second = Clawstore::builder().database(Database::directory(directory.path())).open().expect_err("held");
    assert!(matches!(second, OpenError::Embedded(_)), "{second}");
    assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
    block_on(async {
        store.game(GameId::Number(7)).unwrap().data_store("S").unwrap().set("k", &"v").await.unwrap();
        let reader = ReadOnly::open(directory.path()).unwrap();
        assert_eq!(reader.keys(GameId::Number(7), "S", "global", None, 10).await.unwrap(), ["k"]);
        let entry = reader.entry(GameId::Number(7), "S", "global", "k").await.unwrap();
        assert_eq!(entry.value.expect("live").json(), b"\"v\"");
        assert_eq!(reader.stores().await.unwrap().len(), 1);
    });
}

#[test]
fn a_url_is_not_taken_for_a_directory() {
    let error = Database::parse("mysql://localhost/game").expect_err("not supported");
    assert!(error.to_string().contains("give postgres://"), "{error}");
}

#[test]
fn games_and_servers_are_what_they_say() {
    let store = Clawstore::builder().database(Database::Memory).open().unwrap();
    let game = store.game("67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap()).unwrap();
    assert_eq!(store.game(game.id()).unwrap().id(), game.id());
    let server = game.server(ServerOptions::default());
    assert_eq!(server.job_id().len(), 36);
    server.player_joined(1);
    server.player_left(1);
    server.player_left(1);
    assert_eq!(server.players(), 0);
}

#[test]
fn a_seed_gives_the_same_job_ids() {
    let job_ids = |seed| {
        let entropy = Arc::new(clawstore_testkit::SeededEntropy::new(seed));
        let store = Clawstore::builder().database(Database::Memory).entropy(entropy).open().unwrap();
        let game = store.game(GameId::Number(1)).unwrap();
        [(); 3].map(|()| game.server(ServerOptions::default()).job_id().to_owned())
    };
    let [first, second, _] = job_ids(7);
    assert_ne!(first, second);
    assert_eq!(job_ids(7), job_ids(7));
    assert_ne!(job_ids(7), job_ids(8));
}

#[test]
fn what_was_accepted_is_durable_after_a_plain_drop() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let saves = Arc::new(store.game(GameId::Number(1)).unwrap().data_store("S").unwrap());
    let tasks = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (started, wait) = std::sync::mpsc::channel();
    for i in 0..50 {
        let (saves, started) = (Arc::clone(&saves), started.clone());
        tasks.spawn(async move {
            let call = saves.set(&format!("k{i}"), &i).await;
            let _ = started.send(call.is_ok());
        });
    }
    let first = wait.recv_timeout(PATIENCE).expect("one is done");
    drop(store);
    drop(started);
    let acked = usize::from(first) + wait.iter().filter(|&ok| ok).count();
    let reader = ReadOnly::open(directory.path()).unwrap();
    let stored = block_on(reader.keys(GameId::Number(1), "S", "global", None, 100)).unwrap().len();
    assert_eq!(stored, acked, "acknowledged and stored are the same");
}

#[test]
fn versions_are_read_back_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let config = Config::default().retention(Retention::EveryWrite);
        Clawstore::builder().config(config).database(Database::directory(directory.path())).open().expect("opens")
    };
    let store = open();
    let saves = store.game(GameId::Number(1)).unwrap().data_store("Saves").unwrap();
    let first = block_on(saves.set("p", "first")).unwrap();
    block_on(saves.set("p", "second")).unwrap();
    block_on(saves.remove::<String>("p")).unwrap();
    store.shutdown(PATIENCE);
    drop(store);
    let store = open();
    let saves = store.game(GameId::Number(1)).unwrap().data_store("Saves").unwrap();
    block_on(async {
        let found = saves.version::<String>("p", &first).await.unwrap().expect("kept");
        assert_eq!((found.value, found.version), ("first".into(), first.clone()));
        let page = saves.versions("p", None, 2).await.unwrap();
        assert_eq!(page.iter().map(|version| version.is_deleted).collect::<Vec<_>>(), [true, false]);
        let older = saves.versions("p", page.last(), 2).await.unwrap();
        assert_eq!(older.iter().map(|version| version.id.to_string()).collect::<Vec<_>>(), [first]);
        assert_eq!(saves.version::<String>("p", &page[0].id.to_string()).await.unwrap(), None, "a tombstone");
        assert_eq!(saves.version::<String>("p", "no id").await.unwrap(), None);
    });
}

#[test]
fn ordered_stores_are_exact_and_apart_from_the_others() {
    let store = Clawstore::builder().database(Database::Memory).open().unwrap();
    let game = store.game(GameId::Number(1)).unwrap();
    let scores = game.ordered_data_store("Scores").unwrap();
    block_on(async {
        game.data_store("Scores").unwrap().set("a", &1).await.unwrap();
        assert_eq!(scores.get("a").await.unwrap(), None);
        for (key, number) in [("a", i64::MAX - 1), ("b", 7), ("c", -7), ("d", 7)] {
            scores.set(key, number).await.unwrap();
        }
        assert_eq!(scores.increment("a", 1).await.unwrap(), i64::MAX);
        assert!(scores.increment("a", 1).await.is_err() && scores.get("a").await.unwrap() == Some(i64::MAX));
        assert_eq!(scores.remove("c").await.unwrap(), Some(-7));
        let page = scores.sorted(false, i64::MIN..=i64::MAX, None, 2).await.unwrap();
        assert_eq!(page.iter().map(|ranked| &*ranked.key).collect::<Vec<_>>(), ["a", "d"]);
        let next = scores.sorted(false, i64::MIN..=i64::MAX, page.last(), 2).await.unwrap();
        assert_eq!(next, [Ranked { key: "b".into(), number: 7 }]);
        assert_eq!(scores.sorted(true, 8..=9, None, 2).await.unwrap(), []);
    });
}

#[test]
fn a_nul_is_refused_wherever_a_text_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let game = store.game(GameId::Number(1)).unwrap();
    let (saves, scores) = (game.data_store("Saves").unwrap(), game.ordered_data_store("Scores").unwrap());
    let last = Ranked { key: "a\0b".into(), number: 1 };
    block_on(async {
        for (prefix, after) in [("a\0", None), ("", Some("a\0"))] {
            let errors =
                [saves.keys(prefix, after, 10).await.err(), game.stores(prefix, after, 10).await.map(drop).err()];
            for error in errors {
                let error = error.expect("no name has it").to_string();
                assert_eq!(error, r#""a\0" can't contain a NUL character"#);
            }
        }
        let error = scores.sorted(true, 0..=9, Some(&last), 10).await.expect_err("no key has it").to_string();
        assert_eq!(error, r#""a\0b" can't contain a NUL character"#);
        assert!(saves.key("a\0").is_err() && game.data_store("a\0").is_err());
    });
    store.shutdown(PATIENCE);
}
