//! Batches that are refused, that hang, and whose answer is lost.

use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, BackendFuture, Batch, BatchRow, CommitBatches, GiveBack, LaneId, Previous,
    ReadEntries, RowOutcome,
};
use clawstore_core::{Attributes, Entry, EntryKey};
use clawstore_postgres::PgBackend;
use clawstore_testkit::postgres::Database;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::support::{
    FENCE, ME, batch, block_on, connect, first, key, next, open_here, own, row, run, until, value, write_new,
};

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
        let twice =
            vec![row(&key("k"), 0, &first("1")), row(&key("j"), 0, &first("1")), row(&key("k"), 0, &first("2"))];
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
        keep.previous = Previous::Kept;
        let error = backend.commit_batch(batch(2, vec![keep.clone()])).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        database.psql("SELECT clawstore.maintain_versions()").unwrap();
        assert_eq!(backend.commit_batch(batch(2, vec![keep])).await, Ok(vec![RowOutcome::Committed]));
    });
}

/// Sessions in whose batch somebody else's lock is waited for.
const HANGING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock' AND query LIKE '%commit_batch_v2%'";

/// A lane whose first attempt at a batch hangs on a row, and that has a second connection to send it again.
struct Hanging<'a> {
    first: BackendFuture<'a, Vec<RowOutcome>>,
    again: PgBackend,
    batch: Arc<Batch>,
    /// Holds the row until it commits.
    holder: PgConnection,
    watcher: PgConnection,
}

impl<'a> Hanging<'a> {
    /// One row is owned, the other is not.
    async fn start(database: &Database, backend: &'a PgBackend) -> Self {
        let (mut holder, mut watcher) = (connect(database).await, connect(database).await);
        own(backend, &[key("k")]).await;
        run(&mut holder, "BEGIN; SELECT FROM clawstore.entry WHERE key = 'k' FOR UPDATE").await;
        let batch = batch(1, vec![row(&key("k"), 0, &first("1")), row(&key("j"), 0, &first("1"))]);
        let mut first = backend.commit_batch(Arc::clone(&batch));
        tokio::select! {
            answer = &mut first => panic!("it must hang: {answer:?}"),
            () = until(&mut watcher, HANGING, 1) => {}
        }
        Self { first, again: open_here(database).await, batch, holder, watcher }
    }

    async fn send_again(&self) -> Result<Vec<RowOutcome>, BackendError> {
        self.again.commit_batch(Arc::clone(&self.batch)).await
    }

    async fn let_go(&mut self) {
        run(&mut self.holder, "COMMIT").await;
    }

    async fn ask_lane(&mut self, column: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT {column} FROM clawstore.lane WHERE lane = 0"));
        sqlx::query_scalar(sql).fetch_one(&mut self.watcher).await.unwrap()
    }
}

const COMMITTED: [RowOutcome; 2] = [RowOutcome::Committed, RowOutcome::Fenced];

/// The first attempt commits unseen: the second is told what that one would have been told, and applies nothing (I7).
#[test]
fn a_batch_that_commits_unseen_is_answered_when_it_is_sent_again() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let mut hanging = Hanging::start(&database, &backend).await;
        hanging.let_go().await;
        until(&mut hanging.watcher, "SELECT seq FROM clawstore.lane WHERE lane = 0", 1).await;
        assert_eq!(hanging.send_again().await, Ok(COMMITTED.to_vec()));
        assert_eq!(hanging.ask_lane("bumps").await, 1, "its answer stands behind the batch in the log");
        drop(hanging);
        assert_eq!(backend.read_entries(vec![key("k"), key("j")]).await, Ok(vec![first("1"), Entry::default()]));
    });
}

/// The first attempt still hangs when the second arrives: that one waits for it.
#[test]
fn a_batch_sent_again_waits_for_the_attempt_before_it() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let mut hanging = Hanging::start(&database, &backend).await;
        let again = hanging.again.commit_batch(Arc::clone(&hanging.batch));
        let let_go = async {
            until(&mut hanging.watcher, HANGING, 2).await;
            run(&mut hanging.holder, "COMMIT").await;
        };
        let (answer, ()) = tokio::join!(again, let_go);
        assert_eq!(answer, Ok(COMMITTED.to_vec()));
        assert_eq!(hanging.first.as_mut().await, Ok(COMMITTED.to_vec()));
        assert_eq!(hanging.ask_lane("bumps").await, 1);
    });
}

/// The first attempt is ended by the server: the second commits.
#[test]
fn a_batch_that_was_lost_commits_when_it_is_sent_again() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let mut hanging = Hanging::start(&database, &backend).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND query LIKE '%commit_batch_v2%'";
        run(&mut hanging.watcher, end).await;
        let error = hanging.first.as_mut().await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unknown, "{error}");
        hanging.let_go().await;
        assert_eq!(hanging.ask_lane("seq").await, 0);
        assert_eq!(hanging.send_again().await, Ok(COMMITTED.to_vec()));
        assert_eq!(hanging.ask_lane("bumps").await, 0);
    });
}

/// The row is marked as wanted while the batch waits for it: it commits all the same, with what it keeps.
#[test]
fn a_row_that_becomes_wanted_in_the_middle_commits_with_its_versions() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let (mut holder, mut watcher) = (connect(&database).await, connect(&database).await);
        write_new(&backend, &[key("k")], &first("1")).await;
        run(&mut holder, "BEGIN; UPDATE clawstore.entry SET wanted = 2, wanted_of = 1").await;
        let second = next(&first("1"), value("2"));
        let mut keep = row(&key("k"), 1, &next(&second, value("3")));
        keep.previous = Previous::Kept;
        keep.kept = vec![Arc::new(second)];
        let let_go = async {
            until(&mut watcher, HANGING, 1).await;
            run(&mut holder, "COMMIT").await;
        };
        let (answer, ()) = tokio::join!(backend.commit_batch(batch(2, vec![keep])), let_go);
        assert_eq!(answer, Ok(vec![RowOutcome::Wanted]));
        let kept =
            database.psql("SELECT string_agg(revision || '=' || value, ' ' ORDER BY revision) FROM clawstore.version");
        assert_eq!(kept.unwrap(), "1=1 2=2");
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

/// Two lanes that write the same shared keys, some as states and some as sums, in batches that overlap: rows are locked in one order,
/// and what was answered is what is stored.
#[test]
fn batches_that_share_keys_do_not_deadlock() {
    const KEYS: u64 = 8;
    const BATCHES: u64 = 40;
    let database = Database::create();
    block_on(async {
        let (first_one, second_one) = (open_here(&database).await, open_here(&database).await);
        let keys: Vec<_> = (0..KEYS).map(|n| key(&format!("k{n}"))).collect();
        write_new(&first_one, &keys, &first("0")).await;
        let given = |key: &EntryKey| GiveBack { key: key.clone(), fence: FENCE, share: Some(FENCE) };
        first_one.leases().unwrap().release(keys.iter().map(given).collect()).await.unwrap();
        let (a, b) = tokio::join!(
            write_shared(&first_one, &keys, (0, 2), BATCHES),
            write_shared(&second_one, &keys, (1, 1), BATCHES)
        );
        let stored = first_one.read_entries(keys).await.unwrap();
        let sum = stored.iter().map(|entry| entry.value.as_ref().unwrap().as_integer().unwrap()).sum::<i64>();
        assert_eq!(sum, a + b, "every sum that was acknowledged, once");
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(database.psql(deadlocks).unwrap().trim(), "0");
    });
}

/// Writes each key in each batch: those of one half as sums, the others as the states that they are believed to be in. Returns what
/// has been added.
async fn write_shared(backend: &PgBackend, keys: &[EntryKey], (lane, from): (u16, u64), batches: u64) -> i64 {
    let mut added = 0;
    for seq in from..from + batches {
        let stored = backend.read_entries(keys.to_vec()).await.unwrap();
        let rows = (0..).zip(keys.iter().zip(&stored)).map(|(n, (key, stored)): (u64, _)| {
            if (n + seq) % 2 == u64::from(lane) {
                let one = Entry { revision: 1, ..first("1") };
                BatchRow { onto: Some(i64::MIN..=i64::MAX), ..row(key, 0, &one) }
            } else {
                // The number stays: nothing that was added is taken back.
                row(
                    key,
                    stored.revision,
                    &stored.successor(stored.value.clone(), Attributes::default(), stored.updated),
                )
            }
        });
        let lane = LaneId { incarnation: ME, number: lane };
        let batch = Batch { lane, seq, digest: seq, rows: rows.collect() };
        let outcomes = backend.commit_batch(Arc::new(batch)).await.unwrap();
        added += outcomes.iter().filter(|outcome| matches!(outcome, RowOutcome::Added(_))).count() as i64;
    }
    added
}
