//! Opening, using and closing, inside and outside of a tokio context.

use std::time::Duration;

use clawstore::{Clawstore, Database, Runtime};

use crate::support::{GAME, Host, wait};

const SAVE: &str = "
    local store = service:GetDataStore('Store')
    store:SetAsync('key', 1)
    assert(store:IncrementAsync('key', 1) == 2)
    done()
";

fn memory() -> clawstore::Builder {
    Clawstore::builder().database(Database::Memory)
}

fn tokio(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_time().build().unwrap()
}

#[test]
fn without_any_tokio_context() {
    let mut host = Host::with_store(memory().runtime(Runtime::Own { workers: 1 }).open().unwrap());
    host.start(SAVE);
    host.run_until_done(1);
    host.drain();
}

#[test]
fn inside_a_tokio_context_with_a_runtime_of_our_own() {
    tokio(1).block_on(async {
        let mut host = Host::with_store(memory().open().unwrap());
        host.start(SAVE);
        host.run_until_done(1);
        host.drain();
    });
}

#[test]
fn on_a_runtime_that_the_engine_has() {
    let runtime = tokio(2);
    let mut host = Host::with_store(memory().runtime(Runtime::Handle(runtime.handle().clone())).open().unwrap());
    host.start(SAVE);
    host.run_until_done(1);
    host.drain();
}

#[test]
fn without_blocking_a_task() {
    tokio(1).block_on(async {
        let store = memory().open_async().await.unwrap();
        let counter = store.game(GAME).unwrap().data_store("Store").unwrap();
        assert_eq!(counter.increment("key", 3).await.unwrap(), 3);
        let added = counter.update::<i64>("key", |count| Some(count.unwrap_or(0) + 1)).await.unwrap();
        assert_eq!(added.unwrap().value, 4);
        store.shutdown_async(Duration::from_secs(5)).await;
        assert!(counter.increment("key", 1).await.is_err(), "it is closed");
    });
}

#[test]
fn dropping_is_enough() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Clawstore::builder().database(Database::directory(directory.path())).open().unwrap();
    let mut host = Host::with_store(open());
    host.start(SAVE);
    host.tick();
    drop(host);
    let store = open();
    let saved = store.game(GAME).unwrap().data_store("Store").unwrap();
    assert_eq!(wait(saved.get::<i64>("key")).unwrap().unwrap().value, 1, "accepted before the drop");
}
