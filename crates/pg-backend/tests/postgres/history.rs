//! Versions, tombstones and snapshots in the tables: what is deleted, what is left, and what it costs a write.

use std::sync::Arc;

use clawstore_core::backend::{BEHIND_ANY_NAME, BackendErrorKind, Kept};
use clawstore_core::backend::{
    Backend, CommitBatches, Deletion, ExpireHistory, GiveBack, LeaseAnswer, LeaseAsk, ManageGames, Previous,
    ReadEntries, ScanEntries, StoreCutoff, StoresQuery, Sweep,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, GameId};
use clawstore_postgres::PgBackend;
use clawstore_testkit::postgres::Database;
use sqlx::AssertSqlSafe;

use crate::support::{
    FENCE, ME, ask, batch, block_on, connect, first, key, next, open_here, own, row, run, until, value, write_new,
};

const GAME: GameId = GameId::Number(1);
const DAY_MS: u64 = 86_400_000;

/// The database's clock, so that days of versions say what they say in production.
async fn now(database: &Database) -> Timestamp {
    let sql = "SELECT (extract(epoch FROM now()) * 1000)::bigint";
    Timestamp::from_unix_ms(ask::<i64>(&mut connect(database).await, sql).await as u64)
}

fn days_ago(now: Timestamp, days: u64) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms() - days * DAY_MS)
}

fn sweep(now: Timestamp, shorter_days: u64) -> Arc<Sweep> {
    let shorter = StoreCutoff { game: GAME, store: "Coins".into(), kept_since: days_ago(now, shorter_days) };
    Arc::new(Sweep { kept_since: days_ago(now, 30), shorter: vec![shorter], rows: 100, is_simulated: false })
}

/// A partition for a day of the past, with one version of the key in it that was superseded at noon, by every server's clock.
async fn version_of_day(database: &Database, now: Timestamp, days: u64, name: &str) {
    let at = days_ago(now, days).unix_ms() / DAY_MS * DAY_MS + DAY_MS / 2;
    let sql = format!(
        "DO $$ DECLARE day date := (to_timestamp({at} / 1000) AT TIME ZONE 'UTC')::date; \
         BEGIN EXECUTE format('CREATE TABLE IF NOT EXISTS clawstore.%I PARTITION OF clawstore.version \
             FOR VALUES FROM (%L) TO (%L)', 'version_' || to_char(day, 'YYYYMMDD'), day, day + 1); \
         INSERT INTO clawstore.version (revision, created, updated, superseded, store, day, scope, key, value) \
             SELECT 1, 1, {at} * 10000 - {days}, {at} * 10000, id, day, 'global', 'k{days}', '1' FROM clawstore.store \
             WHERE name = '{name}'; END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connect(database).await).await.unwrap();
}

/// By the day where a store keeps its versions for shorter; the others go with their partition.
#[test]
fn versions_of_some_stores_are_deleted_by_the_day() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let now = now(&database).await;
        write_new(&backend, &[key("k")], &first("1")).await;
        for days in [3, 7, 8, 29] {
            version_of_day(&database, now, days, "Coins").await;
        }
        let left = "SELECT string_agg(key, ' ' ORDER BY key) FROM clawstore.version";
        assert_eq!(backend.expire(sweep(now, 30)).await, Ok(0), "none of 30 days");
        assert_eq!(backend.expire(sweep(now, 7)).await, Ok(2), "a day is looked at when it is over");
        assert_eq!(database.psql(left).unwrap().trim(), "k3 k7");
        assert_eq!(backend.expire(sweep(now, 7)).await, Ok(0));
        assert_eq!(backend.expire(sweep(now, 6)).await, Ok(1));
        assert_eq!(database.psql(left).unwrap().trim(), "k3");
    });
}

/// One process at a time: another that comes meanwhile has nothing to do.
#[test]
fn two_do_not_delete_at_once() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        let tombstone = next(&first("1"), None);
        write_new(&backend, &[key("k")], &first("1")).await;
        backend.commit_batch(batch(2, vec![row(&key("k"), 1, &tombstone)])).await.unwrap();
        backend.leases().unwrap().leave(ME).await.unwrap();
        let all = || {
            Arc::new(Sweep { kept_since: tombstone.updated.next(), shorter: Vec::new(), rows: 10, is_simulated: true })
        };
        run(&mut other, "BEGIN; SELECT pg_advisory_xact_lock('clawstore.entry'::regclass::oid::bigint)").await;
        assert_eq!(backend.expire(all()).await, Ok(0));
        run(&mut other, "ROLLBACK; BEGIN; SELECT FROM clawstore.entry FOR UPDATE").await;
        assert_eq!(backend.expire(all()).await, Ok(0), "somebody has it");
        run(&mut other, "ROLLBACK").await;
        assert_eq!(backend.expire(all()).await, Ok(1));
        assert_eq!(backend.read_entries(vec![key("k")]).await, Ok(vec![Entry::default()]));
    });
}

/// Who is alive is seen as of the beginning of the statement; a key that changes hands after that is left to its owner.
#[test]
fn a_tombstone_that_a_newcomer_took_meanwhile_is_left_to_it() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let (mut other, mut watcher) = (connect(&database).await, connect(&database).await);
        write_new(&backend, &["a", "k"].map(key), &Entry { value: None, ..first("1") }).await;
        backend.leases().unwrap().leave(ME).await.unwrap();
        // Between the first row and the second.
        run(
            &mut other,
            "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN OLD; END'; \
             CREATE TRIGGER hold BEFORE DELETE ON clawstore.entry FOR EACH ROW EXECUTE FUNCTION hold()",
        )
        .await;
        run(&mut other, "BEGIN; SELECT pg_advisory_xact_lock(4711)").await;
        let all = Arc::new(Sweep {
            kept_since: first("1").updated.next(),
            shorter: Vec::new(),
            rows: 10,
            is_simulated: true,
        });
        let take = async {
            let waits =
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
            until(&mut watcher, waits, 1).await;
            let newcomer = "INSERT INTO clawstore.incarnation (id, server) VALUES (9, 's'); \
                            UPDATE clawstore.entry SET owner = 9, fence = 9 WHERE key = 'k'";
            run(&mut watcher, newcomer).await;
            run(&mut other, "COMMIT").await;
        };
        let (expired, ()) = tokio::join!(backend.expire(all), take);
        assert_eq!(expired, Ok(1));
        assert_eq!(ask::<i64>(&mut watcher, "SELECT owner FROM clawstore.entry").await, 9);
    });
}

/// What counts `entry` in this transaction: rows that were updated, and those of them that stayed on their page.
const UPDATED: &str = "SELECT n_tup_upd || ' ' || n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'entry'";

/// Of 100 keys, one batch more, as a server sends it; `value` of all of them.
fn next_batch(seq: u64, value: &str, updated: u64) -> String {
    let column = |text: &str| format!("array_fill({text}, ARRAY[100])");
    format!(
        "SELECT (clawstore.commit_batch_v2(1, 0::smallint, {seq}, {seq}, {}, {}, \
         ARRAY(SELECT 'k' || n FROM generate_series(100, 199) AS n), {}, {}, {}, {}, {}, {}, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)).state; {UPDATED}",
        column("(SELECT id FROM clawstore.store)"),
        column("'global'::text"),
        column("7::bigint"),
        column(&format!("{}::bigint", seq - 1)),
        column(&format!("{seq}::bigint")),
        column("1::bigint"),
        column(&format!("{updated}::bigint")),
        column(value),
    )
}

/// A removal changes an index, an ordinary write does not: also one that a snapshot looks at.
#[test]
fn ordinary_writes_stay_on_their_page() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let keys: Vec<_> = (100..200).map(|n| key(&format!("k{n}"))).collect();
        write_new(&backend, &keys, &first("1")).await;
        // Room on every page, as after some time of writing.
        database.psql("VACUUM FULL clawstore.entry").unwrap();
        let count = |sql: String| database.psql(&sql).unwrap().split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        let hot = count(next_batch(2, "'2'::text", 20_000_000));
        let (all, on_page) = hot.split_once(' ').unwrap();
        assert_eq!(all, "100");
        assert!(on_page.parse::<u32>().unwrap() > 10, "only as many as have room: {on_page}");
        assert_eq!(count(next_batch(3, "NULL::text", 30_000_000)), "100 0", "removed");
        let removed = "SELECT count(*), min(removed), max(removed) FROM clawstore.entry WHERE removed IS NOT NULL";
        assert_eq!(database.psql(removed).unwrap().trim(), "100|30000000|30000000");
        count(next_batch(4, "'4'::text", 40_000_000));
        assert_eq!(database.psql(removed).unwrap().trim(), "0||");
    });
}

async fn stores(backend: &PgBackend) -> Vec<(u64, u64)> {
    let query =
        StoresQuery { game: GAME, after: "".into(), before: BEHIND_ANY_NAME.into(), kept: Kept::default(), limit: 9 };
    let stores = backend.list_game_stores(query).await.unwrap();
    stores.iter().map(|store| (store.created.unix_ms(), store.updated.unix_ms())).collect()
}

/// A store says when it was written to, at most a minute late, and a batch waits for nobody to say so.
#[test]
fn a_store_knows_its_last_minute() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        let at = |ms| Entry { updated: Timestamp::from_unix_ms(ms), ..next(&first("1"), value("2")) };
        let mut entries = vec![first("1")];
        write_new(&backend, &[key("k")], &entries[0]).await;
        assert_eq!(stores(&backend).await, [(1_000, 1_000)]);
        for (seq, (ms, seen)) in (2..).zip([(60_999, 1_000), (61_000, 61_000), (61_001, 61_000), (200_000, 200_000)]) {
            let base = entries.last().unwrap().revision;
            let entry = Entry { revision: base + 1, ..at(ms) };
            backend.commit_batch(batch(seq, vec![row(&key("k"), base, &entry)])).await.unwrap();
            entries.push(entry);
            assert_eq!(stores(&backend).await, [(1_000, seen)], "{ms}");
        }
        run(&mut other, "BEGIN; SELECT FROM clawstore.store FOR UPDATE").await;
        let entry = Entry { revision: 6, ..at(400_000) };
        backend.commit_batch(batch(6, vec![row(&key("k"), 5, &entry)])).await.unwrap();
        run(&mut other, "ROLLBACK").await;
        assert_eq!(stores(&backend).await, [(1_000, 200_000)]);
        // One row that is written and one that is not.
        let fenced = row(&key("j"), 0, &Entry { revision: 1, ..at(9_000_000) });
        let written = row(&key("k"), 6, &Entry { revision: 7, ..at(900_000) });
        backend.commit_batch(batch(7, vec![fenced, written])).await.unwrap();
        assert_eq!(stores(&backend).await, [(1_000, 900_000)]);
    });
}

/// Rows that a snapshot looks at go their own way: the answer is that of the batch all the same.
#[test]
fn a_batch_beside_a_snapshot_has_one_answer() {
    use clawstore_core::backend::RowOutcome::{Committed, Fenced, Wanted};
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let keys = ["new", "old", "owned", "stale", "wanted"].map(key);
        own(&backend, &keys).await;
        let rows = keys[1..].iter().map(|key| row(key, 0, &first("1"))).collect();
        backend.commit_batch(batch(1, rows)).await.unwrap();
        backend.take_snapshot(GAME, Timestamp::from_unix_ms(1_000), true).await.unwrap();
        database.psql("UPDATE clawstore.entry SET wanted = 2, wanted_of = 1 WHERE key IN ('new', 'wanted')").unwrap();
        let late = |base: u64, ms| Entry { revision: base + 1, updated: Timestamp::from_unix_ms(ms), ..first("2") };
        backend.commit_batch(batch(2, vec![row(&keys[2], 1, &late(1, 9_000))])).await.unwrap();
        let bases = [0, 1, 2, 7, 1];
        let rows = || keys.iter().zip(bases).map(|(key, base)| row(key, base, &late(base, 10_000))).collect();
        let answer = Ok(vec![Wanted, Committed, Committed, Fenced, Wanted]);
        assert_eq!(backend.commit_batch(batch(3, rows())).await, answer);
        assert_eq!(backend.commit_batch(batch(3, rows())).await, answer, "and again");
        let kept = "SELECT string_agg(key || revision, ' ' ORDER BY key, revision) FROM clawstore.version";
        assert_eq!(database.psql(kept).unwrap().trim(), "old1 owned1 wanted1");
        let erased = vec![{
            let mut erased = row(&keys[3], 1, &Entry { value: None, ..late(1, 11_000) });
            erased.previous = Previous::Erased;
            erased
        }];
        assert_eq!(backend.commit_batch(batch(4, erased)).await, Ok(vec![Committed]));
        assert_eq!(database.psql(kept).unwrap().trim(), "old1 owned1 wanted1");
    });
}

/// Not while somebody who is alive has a key of it, which only one that took it at the same moment can.
#[test]
fn a_purge_ends_when_nothing_is_left() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let leases = backend.leases().unwrap();
        write_new(&backend, &["a", "b", "c"].map(key), &first("1")).await;
        assert!(matches!(backend.delete_game(GAME, first("1").updated).await, Ok(Deletion::InUse(_))));
        database.psql("UPDATE clawstore.game SET deleted = 1").unwrap();
        let error = backend.purge_game(GAME, 10).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        let request = vec![LeaseAsk::new(key("d"), FENCE)];
        assert_eq!(leases.acquire(ME, request).await, Ok(vec![LeaseAnswer::Busy]));
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' \
                    AND datname = current_database()";
        assert_eq!(database.psql(open).unwrap().trim(), "0", "an answer leaves nothing locked");
        leases.leave(ME).await.unwrap();
        assert_eq!(backend.purge_game(GAME, 2).await, Ok(2));
        assert_eq!(backend.purge_game(GAME, 2).await, Ok(1));
        assert_eq!(backend.deleted_games().await, Ok(Vec::new()));
        assert_eq!(database.psql("SELECT created, updated FROM clawstore.store").unwrap().trim(), "|");
    });
}

/// What was acquired and never written is nothing that anybody must keep.
#[test]
fn a_key_that_was_never_written_is_forgotten_when_it_is_released() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        write_new(&backend, &[key("written")], &first("1")).await;
        own(&backend, &[key("acquired")]).await;
        let both = ["acquired", "written"].map(|name| GiveBack::new(key(name), FENCE));
        backend.leases().unwrap().release(both.to_vec()).await.unwrap();
        let left = "SELECT key, owner IS NULL, fence IS NULL FROM clawstore.entry";
        assert_eq!(database.psql(left).unwrap().trim(), "written|t|t");
        let entry = Entry::default().successor(value("2"), Attributes::default(), first("1").updated);
        own(&backend, &[key("acquired")]).await;
        backend.commit_batch(batch(2, vec![row(&key("acquired"), 0, &entry)])).await.unwrap();
        assert_eq!(backend.read_entries(vec![key("acquired")]).await, Ok(vec![entry]));
    });
}
