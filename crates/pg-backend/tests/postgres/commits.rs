//! Batches that are refused, that hang, and whose answer is lost.

use clawstore_core::backend::{BackendErrorKind, CommitBatches, ReadEntries, RowOutcome};
use clawstore_core::{Entry, EntryKey};
use clawstore_testkit::postgres::Database;

use crate::support::{ask, batch, block_on, connect, first, key, next, open_here, own, row, run, until, value, write_new};

/// One row that a CHECK refuses spoils its batch, whose number stays free for the others.
#[test]
fn a_row_that_the_database_refuses_is_invalid_and_its_neighbours_commit() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let (good, bad) = (key("good"), key("bad"));
        own(&backend, &[good.clone(), bad.clone()]).await;
        database.psql("ALTER TABLE clawstore.entry ADD CONSTRAINT poison CHECK (value <> '666')").unwrap();
        let rows = vec![row(&good, 0, &first("1")), row(&bad, 0, &first("666"))];
        let error = backend.commit_batch(batch(1, rows.clone())).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Invalid);
        assert!(error.message.contains("poison"), "{error}");
        assert_eq!(backend.commit_batch(batch(1, rows[..1].to_vec())).await, Ok(vec![RowOutcome::Committed]));
        assert_eq!(backend.read_entries(vec![good, bad]).await, Ok(vec![first("1"), Entry::default()]));
    });
}

/// Text that is not UTF-8, which no column can hold.
#[test]
fn bytes_that_are_no_text_are_invalid() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        own(&backend, &[key("k")]).await;
        for bytes in [&b"\"\xff\""[..], b"\"\0\""] {
            let entry = Entry { value: Some(clawstore_core::Value::new(bytes).unwrap()), ..first("1") };
            let error = backend.commit_batch(batch(1, vec![row(&key("k"), 0, &entry)])).await.unwrap_err();
            assert_eq!(error.kind, BackendErrorKind::Invalid, "{error}");
        }
        assert_eq!(backend.commit_batch(batch(1, Vec::new())).await, Ok(Vec::new()));
    });
}

/// An UPDATE would apply only one of them, and not say so (`ownership-protocol.md` A21).
#[test]
fn a_key_twice_in_one_batch_is_invalid() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        own(&backend, &[key("k")]).await;
        let twice = vec![row(&key("k"), 0, &first("1")), row(&key("j"), 0, &first("1")), row(&key("k"), 0, &first("2"))];
        let error = backend.commit_batch(batch(1, twice)).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Invalid);
    });
}

/// Days are made ahead. Should one be missing, the batch waits for it instead of failing for good.
#[test]
fn a_missing_partition_is_not_the_fault_of_the_batch() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        write_new(&backend, &[key("k")], &first("1")).await;
        database.psql("DO 'DECLARE t text; BEGIN FOR t IN SELECT inhrelid::regclass FROM pg_inherits \
                       WHERE inhparent = ''clawstore.version''::regclass LOOP EXECUTE ''DROP TABLE '' || t; END LOOP; END'")
            .unwrap();
        let mut keep = row(&key("k"), 1, &next(&first("1"), value("2")));
        keep.keep_previous = true;
        let error = backend.commit_batch(batch(2, vec![keep.clone()])).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        database.psql("SELECT clawstore.maintain_versions()").unwrap();
        assert_eq!(backend.commit_batch(batch(2, vec![keep])).await, Ok(vec![RowOutcome::Committed]));
    });
}

const HANGS: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event_type = 'Lock' AND query LIKE '%commit_batch_v1%')";

/// Sends a batch that hangs on a row that `holder` has locked, and forgets it, as a missed deadline does.
async fn send_and_forget(
    backend: &clawstore_postgres::PgBackend,
    holder: &mut sqlx::postgres::PgConnection,
    keys: &[EntryKey],
) {
    run(holder, "BEGIN; SELECT FROM clawstore.entry WHERE key = 'k' FOR UPDATE").await;
    let rows = keys.iter().map(|key| row(key, 0, &first("1"))).collect();
    tokio::select! {
        answer = backend.commit_batch(batch(1, rows)) => panic!("it must hang: {answer:?}"),
        () = until(holder, HANGS) => {}
    }
}

/// The first attempt commits after its sender has gone: the second is told so, and applies nothing (I7).
#[test]
fn a_batch_that_commits_unseen_is_answered_when_it_is_sent_again() {
    let database = Database::create();
    block_on(async {
        let (backend, mut holder) = (open_here(&database).await, connect(&database).await);
        let keys = [key("k"), key("j")];
        own(&backend, &keys[..1]).await;
        send_and_forget(&backend, &mut holder, &keys).await;
        run(&mut holder, "COMMIT").await;
        until(&mut holder, "SELECT seq = 1 FROM clawstore.lane WHERE lane = 0").await;
        let again = batch(1, keys.iter().map(|key| row(key, 0, &first("1"))).collect());
        let answer = Ok(vec![RowOutcome::Committed, RowOutcome::Fenced]);
        assert_eq!(backend.commit_batch(again).await, answer, "as the first attempt would have answered");
        assert_eq!(ask::<i64>(&mut holder, "SELECT bumps FROM clawstore.lane WHERE lane = 0").await, 1);
        assert_eq!(backend.read_entries(keys.to_vec()).await, Ok(vec![first("1"), Entry::default()]));
    });
}

/// The first attempt still hangs when the second arrives: that one waits for it, and is told the same.
#[test]
fn a_batch_sent_again_waits_for_the_attempt_before_it() {
    let database = Database::create();
    block_on(async {
        let (backend, mut holder) = (open_here(&database).await, connect(&database).await);
        let keys = [key("k")];
        own(&backend, &keys).await;
        send_and_forget(&backend, &mut holder, &keys).await;
        let both_hang = "SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() \
                         AND wait_event_type = 'Lock' AND query LIKE '%commit_batch_v1%'";
        let release = async {
            until(&mut holder, both_hang).await;
            run(&mut holder, "COMMIT").await;
        };
        let again = batch(1, vec![row(&keys[0], 0, &first("1"))]);
        let (answer, ()) = tokio::join!(backend.commit_batch(again), release);
        assert_eq!(answer, Ok(vec![RowOutcome::Committed]));
        assert_eq!(ask::<i64>(&mut holder, "SELECT bumps FROM clawstore.lane WHERE lane = 0").await, 1);
    });
}

/// The first attempt is ended by the server: the second commits.
#[test]
fn a_batch_that_was_lost_commits_when_it_is_sent_again() {
    let database = Database::create();
    block_on(async {
        let (backend, mut holder) = (open_here(&database).await, connect(&database).await);
        let keys = [key("k")];
        own(&backend, &keys).await;
        send_and_forget(&backend, &mut holder, &keys).await;
        run(&mut holder, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() \
                          AND query LIKE '%commit_batch_v1%' AND pid <> pg_backend_pid(); COMMIT")
        .await;
        assert_eq!(ask::<i64>(&mut holder, "SELECT seq FROM clawstore.lane WHERE lane = 0").await, 0);
        let again = batch(1, vec![row(&keys[0], 0, &first("1"))]);
        assert_eq!(backend.commit_batch(again).await, Ok(vec![RowOutcome::Committed]));
        assert_eq!(ask::<i64>(&mut holder, "SELECT bumps FROM clawstore.lane WHERE lane = 0").await, 0);
    });
}

/// A row that somebody else has locked for too long: a definite answer, and the number stays free.
#[test]
fn a_batch_that_gets_no_lock_is_unavailable() {
    let database = Database::create();
    block_on(async {
        let (backend, mut holder) = (open_here(&database).await, connect(&database).await);
        own(&backend, &[key("k")]).await;
        run(&mut holder, "BEGIN; SELECT FROM clawstore.entry WHERE key = 'k' FOR UPDATE").await;
        let rows = vec![row(&key("k"), 0, &first("1"))];
        let error = backend.commit_batch(batch(1, rows.clone())).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        run(&mut holder, "COMMIT").await;
        assert_eq!(backend.commit_batch(batch(1, rows)).await, Ok(vec![RowOutcome::Committed]));
    });
}
