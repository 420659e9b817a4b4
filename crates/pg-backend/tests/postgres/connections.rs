//! Connections: how many, and what happens when one is lost.

use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendErrorKind, Batch, Beat, CommitBatches, LaneId, ReadEntries, RowOutcome, ScanEntries,
};
use clawstore_postgres::{PgBackend, PgSettings};
use clawstore_testkit::postgres::Database;
use sqlx::postgres::PgConnection;

use crate::support::{ME, ask, batch, block_on, connect, first, key, next, open_here, own, row, run, until, write_new};

/// Ends every other connection to the database, as an operator or a restart does.
async fn end_the_others(session: &mut PgConnection) {
    run(
        session,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )
    .await;
}

/// However many calls there are (`decisions.md` 16).
#[test]
fn four_connections_at_most() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name = 'clawstore'";
        write_new(&backend, &[key("k")], &first("1")).await;
        assert_eq!(ask::<i64>(&mut other, count).await, 3, "a lane is opened when it is used");
        let lane = LaneId { incarnation: ME, number: 1 };
        let second = Arc::new(Batch { lane, seq: 1, digest: 1, rows: Vec::new() });
        let calls = || async {
            backend.read_entries(vec![key("k")]).await.unwrap();
            backend.list_stores().await.unwrap();
            backend.leases().unwrap().beat(Beat::new(ME, Vec::new())).await.unwrap();
            backend.commit_batch(Arc::clone(&second)).await.unwrap();
        };
        tokio::join!(calls(), calls(), calls(), calls(), calls(), calls());
        assert_eq!(ask::<i64>(&mut other, count).await, 4);
        backend.close().await;
        until(&mut other, count, 0).await;
    });
}

/// What may be asked twice is asked again on a new connection; nobody notices.
#[test]
fn calls_go_on_after_their_connection_was_ended() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        write_new(&backend, &[key("k")], &first("1")).await;
        end_the_others(&mut other).await;
        assert_eq!(backend.read_entries(vec![key("k")]).await, Ok(vec![first("1")]));
        let beat = backend.leases().unwrap().beat(Beat::new(ME, Vec::new())).await.unwrap();
        assert!(beat.alive);
    });
}

/// A batch is not: whether it arrived is not known, and only its lane may send it again.
#[test]
fn a_commit_whose_connection_was_ended_is_unknown_and_settles() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        write_new(&backend, &[key("k")], &first("1")).await;
        end_the_others(&mut other).await;
        let second = batch(2, Vec::new());
        let error = backend.commit_batch(Arc::clone(&second)).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unknown, "{error}");
        assert_eq!(backend.commit_batch(second).await, Ok(Vec::new()));
    });
}

/// Dropping a call in the middle costs its connection, not the next call.
#[test]
fn a_call_that_is_dropped_leaves_nothing_behind() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        write_new(&backend, &[key("k")], &first("1")).await;
        const HANGING: &str =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'clawstore.entry'::regclass";
        run(&mut other, "BEGIN; LOCK TABLE clawstore.entry IN ACCESS EXCLUSIVE MODE").await;
        tokio::select! {
            answer = backend.read_entries(vec![key("k")]) => panic!("it must hang: {answer:?}"),
            () = until(&mut other, HANGING, 1) => {}
        }
        run(&mut other, "COMMIT").await;
        assert_eq!(backend.read_entries(vec![key("k")]).await, Ok(vec![first("1")]));
    });
}

/// A table that somebody has locked: an answer in time, and no connection is lost over it.
#[test]
fn a_read_that_gets_no_lock_is_unavailable() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        write_new(&backend, &[key("k")], &first("1")).await;
        run(&mut other, "BEGIN; LOCK TABLE clawstore.entry IN ACCESS EXCLUSIVE MODE").await;
        let error = backend.read_entries(vec![key("k")]).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        run(&mut other, "COMMIT").await;
        own(&backend, &[key("k")]).await;
        let rows = vec![row(&key("k"), 1, &next(&first("1"), None))];
        assert_eq!(backend.commit_batch(batch(2, rows)).await, Ok(vec![RowOutcome::Committed]));
    });
}

/// The first machine of the list is gone: nobody refuses the connection, and nobody answers. A beat has 2 s.
#[test]
fn a_host_that_says_nothing_does_not_hold_up_the_others() {
    let database = Database::create();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let there = database.url().replacen("postgres://postgres@", &format!("postgres://postgres@{silent},"), 1);
    let options = clawstore_postgres::parse_url(&there).unwrap();
    assert!(options.get_host().starts_with(&silent.to_string()), "{there}");
    block_on(async {
        let backend = PgBackend::open(options, PgSettings::default()).await.unwrap();
        backend.leases().unwrap().join(ME).await.unwrap();
        backend.close().await;
        assert!(backend.leases().unwrap().beat(Beat::new(ME, Vec::new())).await.unwrap().alive);
    });
}
