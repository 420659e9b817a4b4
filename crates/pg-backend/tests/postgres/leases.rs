//! Leases as the tables show them.

use clawstore_core::backend::{Backend, Fence, Incarnation, LeaseAnswer, LeaseAsk, ReadEntries};
use clawstore_core::{Entry, EntryKey, GameId, StoreId, StoreKind};
use clawstore_testkit::postgres::Database;

use crate::support::{ME, ask, block_on, connect, first, key, open_here, own, run, until, write_new};

fn request(key: &EntryKey, fence: u64) -> Vec<LeaseAsk> {
    vec![LeaseAsk::new(key.clone(), Fence(fence))]
}

/// Those who wait ask often: only the first of them writes, as long as it lives (`decisions.md` 26).
#[test]
fn the_first_who_waits_is_remembered_and_others_write_nothing() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        let leases = backend.leases().unwrap();
        own(&backend, &[key("k")]).await;
        for waiting in [2, 3] {
            leases.join(Incarnation(waiting)).await.unwrap();
        }
        leases.acquire(Incarnation(2), request(&key("k"), 8)).await.unwrap();
        let row = "SELECT format('%s wants it of %s, row %s', wanted, wanted_of, ctid) FROM clawstore.entry";
        let marked: String = ask(&mut other, row).await;
        assert!(marked.starts_with("2 wants it of 1"), "{marked}");
        for waiting in [2, 3, 2] {
            leases.acquire(Incarnation(waiting), request(&key("k"), 9)).await.unwrap();
        }
        assert_eq!(ask::<String>(&mut other, row).await, marked);
        leases.leave(Incarnation(2)).await.unwrap();
        leases.acquire(Incarnation(3), request(&key("k"), 9)).await.unwrap();
        assert!(ask::<String>(&mut other, row).await.starts_with("3 wants it of 1"), "the first one is gone");
    });
}

/// Also not for a row that a batch of somebody else holds for a long time.
#[test]
fn acquisition_waits_for_no_row() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        write_new(&backend, &[key("held"), key("free")], &first("1")).await;
        let leases = backend.leases().unwrap();
        leases.join(Incarnation(2)).await.unwrap();
        leases.leave(ME).await.unwrap();
        run(&mut other, "BEGIN; UPDATE clawstore.entry SET updated = updated WHERE key = 'held'").await;
        let requests = [request(&key("held"), 8), request(&key("free"), 9)].concat();
        let answers = leases.acquire(Incarnation(2), requests.clone()).await.unwrap();
        assert_eq!(answers, [LeaseAnswer::Busy, LeaseAnswer::Granted(first("1"))]);
        run(&mut other, "COMMIT").await;
        let answers = leases.acquire(Incarnation(2), requests).await.unwrap();
        assert_eq!(answers, [LeaseAnswer::Granted(first("1")), LeaseAnswer::Granted(first("1"))]);
    });
}

/// Who is alive is seen as of the beginning of the statement; a key that changes hands after that is nobody's to take.
#[test]
fn a_key_that_a_newcomer_took_meanwhile_is_left_to_it() {
    let database = Database::create();
    block_on(async {
        let (backend, newcomers) = (open_here(&database).await, open_here(&database).await);
        let (mut other, mut watch) = (connect(&database).await, connect(&database).await);
        write_new(&backend, &[key("k")], &first("1")).await;
        let (leases, newcomer) = (backend.leases().unwrap(), newcomers.leases().unwrap());
        leases.join(Incarnation(2)).await.unwrap();
        leases.leave(ME).await.unwrap();
        // The statement begins, and waits for one who is inserting its first key.
        let insert =
            "BEGIN; INSERT INTO clawstore.entry (store, scope, key) SELECT store, scope, 'a' FROM clawstore.entry";
        run(&mut other, insert).await;
        let requests = [request(&key("a"), 8), request(&key("k"), 9)].concat();
        let (answers, ()) = tokio::join!(leases.acquire(Incarnation(2), requests), async {
            let waits =
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
            until(&mut watch, waits, 1).await;
            newcomer.join(Incarnation(4)).await.unwrap();
            let granted = newcomer.acquire(Incarnation(4), request(&key("k"), 10)).await.unwrap();
            assert_eq!(granted, [LeaseAnswer::Granted(first("1"))]);
            run(&mut other, "ROLLBACK").await;
        });
        assert_eq!(answers.unwrap(), [LeaseAnswer::Granted(Entry::default()), LeaseAnswer::Busy]);
        assert_eq!(ask::<i64>(&mut watch, "SELECT owner FROM clawstore.entry WHERE key = 'k'").await, 4);
    });
}

/// A day after its end an incarnation is removed, but what somebody holds at this moment is left, and nobody waits.
#[test]
fn incarnations_that_ended_a_day_ago_are_removed() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        let leases = backend.leases().unwrap();
        write_new(&backend, &[key("k")], &first("1")).await;
        for incarnation in [2, 3, 4] {
            leases.join(Incarnation(incarnation)).await.unwrap();
        }
        for ended in [2, 3] {
            leases.leave(Incarnation(ended)).await.unwrap();
        }
        run(&mut other, "UPDATE clawstore.incarnation SET ended = now() - interval '25 hours' WHERE id = 2").await;
        run(&mut other, "BEGIN; SELECT FROM clawstore.lane WHERE incarnation = 2 AND lane = 1 FOR UPDATE").await;
        leases.join(Incarnation(5)).await.unwrap();
        let left = "SELECT string_agg(DISTINCT incarnation::text, ' ') FROM clawstore.lane";
        assert_eq!(ask::<String>(&mut other, left).await, "1 2 3 4 5");
        run(&mut other, "COMMIT").await;
        leases.join(Incarnation(6)).await.unwrap();
        assert_eq!(ask::<String>(&mut other, left).await, "1 3 4 5 6");
        leases.join(Incarnation(6)).await.unwrap();
        let left = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM clawstore.incarnation";
        assert_eq!(ask::<String>(&mut other, left).await, "1 3 4 5 6");
    });
}

/// Fifty bytes may be twelve characters and two bytes.
#[test]
fn names_of_long_characters_round_trip() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let name = "🦀".repeat(12);
        let store = StoreId::new(GameId::Uuid(7), StoreKind::Ordered, name.as_bytes(), name.as_bytes()).unwrap();
        let key = EntryKey::new(&std::sync::Arc::new(store), name.as_bytes()).unwrap();
        write_new(&backend, std::slice::from_ref(&key), &first("-9223372036854775808")).await;
        assert_eq!(backend.read_entries(vec![key]).await, Ok(vec![first("-9223372036854775808")]));
        assert_eq!(database.psql("SELECT num FROM clawstore.entry").unwrap().trim(), i64::MIN.to_string());
    });
}
