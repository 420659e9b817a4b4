//! One key that several servers write at full speed, on Postgres: nothing is lost, every answer is somebody's own, nobody starves.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]
#![expect(clippy::disallowed_methods, reason = "it measures how long callers wait")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clawstore::{Clawstore, DataStore, Database, GameId, PgConnectOptions};
use clawstore_testkit::postgres;
use tokio::runtime::{Handle, Runtime};

const PATIENCE: Duration = Duration::from_secs(20);
const SERVERS: usize = 3;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn open(database: &postgres::Database) -> Clawstore {
    let options: PgConnectOptions = database.url().parse().unwrap();
    Clawstore::builder().database(Database::postgres(options)).open().expect("opens")
}

fn counters(store: &Clawstore) -> DataStore {
    store.game(GameId::Number(1)).unwrap().data_store("Counters").unwrap()
}

fn is_shared(database: &postgres::Database) -> bool {
    database.psql("SELECT mode FROM clawstore.entry WHERE key = 'visits'").unwrap().trim() == "1"
}

/// Writes from all stores until the key is shared, and says how often.
async fn until_shared(database: &postgres::Database, stores: &[Clawstore]) -> i64 {
    let mut writes = 0;
    while !is_shared(database) {
        assert!(writes < 10_000, "it is never shared");
        for store in stores {
            counters(store).increment("visits", 1).await.unwrap();
            writes += 1;
        }
    }
    writes
}

/// What one caller did: the answers that it got, and its longest wait.
type Done = (Vec<i64>, Duration);

#[test]
fn increments_of_three_servers_are_all_counted_and_each_has_its_own_answer() {
    const CALLERS: usize = 32;
    const CALLS: usize = 60;
    let database = postgres::Database::create();
    let stores: Vec<_> = (0..SERVERS).map(|_| open(&database)).collect();
    let runtime = runtime();
    runtime.block_on(async {
        let before = until_shared(&database, &stores).await;
        let callers = stores.iter().flat_map(|store| (0..CALLERS).map(|_| counters(store)));
        let tasks: Vec<_> = callers
            .map(|counters| {
                Handle::current().spawn(async move {
                    let (mut answers, mut longest) = (Vec::new(), Duration::ZERO);
                    for _ in 0..CALLS {
                        let called = Instant::now();
                        answers.push(counters.increment("visits", 1).await.unwrap());
                        longest = longest.max(called.elapsed());
                    }
                    (answers, longest)
                })
            })
            .collect();
        let mut all = BTreeSet::new();
        for task in tasks {
            let (answers, longest): Done = task.await.unwrap();
            assert!(answers.is_sorted_by(|a, b| a < b), "a caller sees its own calls");
            assert!(longest < Duration::from_secs(5), "somebody waited for {longest:?}");
            for answer in answers {
                assert!(all.insert(answer), "{answer} was answered twice");
            }
        }
        let calls = (SERVERS * CALLERS * CALLS) as i64;
        assert_eq!(
            (all.first(), all.last()),
            (Some(&(before + 1)), Some(&(before + calls))),
            "nothing between is missing"
        );
        let found = counters(&stores[0]).get_uncached::<i64>("visits").await.unwrap().expect("written");
        assert_eq!(found.value, before + calls);
        let sums = "SELECT count(*) FROM clawstore.lane WHERE added IS NOT NULL";
        assert_ne!(database.psql(sums).unwrap().trim(), "0", "they went as sums");
    });
    for store in &stores {
        let report = store.shutdown(PATIENCE);
        assert_eq!((report.failed, report.unknown), (0, 0));
    }
}

#[test]
fn updates_and_increments_of_three_servers_build_on_each_other() {
    const CALLERS: usize = 8;
    const CALLS: usize = 25;
    let database = postgres::Database::create();
    let stores: Vec<_> = (0..SERVERS).map(|_| open(&database)).collect();
    let runtime = runtime();
    runtime.block_on(async {
        let before = until_shared(&database, &stores).await;
        let callers = stores.iter().flat_map(|store| (0..CALLERS).map(|number| (number, counters(store))));
        let tasks: Vec<_> = callers
            .map(|(number, counters)| {
                Handle::current().spawn(async move {
                    let mut longest = Duration::ZERO;
                    for call in 0..CALLS {
                        let called = Instant::now();
                        if (number + call) % 2 == 0 {
                            let add = |old: Option<i64>| Some(old.unwrap_or(0) + 1);
                            counters.update::<i64>("visits", add).await.unwrap();
                        } else {
                            counters.increment("visits", 1).await.unwrap();
                        }
                        longest = longest.max(called.elapsed());
                    }
                    longest
                })
            })
            .collect();
        for task in tasks {
            let longest = task.await.unwrap();
            assert!(longest < Duration::from_secs(10), "somebody waited for {longest:?}");
        }
        let found = counters(&stores[0]).get_uncached::<i64>("visits").await.unwrap().expect("written");
        let writes = before + (SERVERS * CALLERS * CALLS) as i64;
        assert_eq!(found.value, writes);
        assert!(found.version.contains(&format!(".{writes:010}.")), "each of them once: {}", found.version);
    });
    for store in &stores {
        assert_eq!(store.shutdown(PATIENCE).unknown, 0);
    }
}
