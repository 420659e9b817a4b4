//! Whole games on Postgres: clocks that are wrong, calls that are broken off, and whom a long one keeps waiting.

use std::future::Future;
use std::sync::Arc;

use clawstore_core::GameId;
use clawstore_core::backend::{Backend, CommitBatches};
use clawstore_core::backend::{
    BackendError, BackendErrorKind, Deletion, ExpireHistory, ManageGames, Previous, ReadEntries, Snapshot, Sweep,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::HISTORY_DAYS_MAX;
use clawstore_postgres::PgBackend;
use clawstore_testkit::postgres::Database;

use crate::support::{
    ME, ask, batch, block_on, connect, first, key, next, open_here, row, run, until, value, write_new,
};

const GAME: GameId = GameId::Number(1);
const DAY_MS: u64 = 86_400_000;

/// The database's clock.
async fn now(database: &Database) -> Timestamp {
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    Timestamp::from_unix_ms(ask::<i64>(&mut connect(database).await, sql).await as u64)
}

/// A key with a version, whose owner has left.
async fn write_twice(backend: &PgBackend) {
    write_new(backend, &[key("k")], &first("1")).await;
    let mut second = row(&key("k"), 1, &next(&first("1"), value("2")));
    second.previous = Previous::Kept;
    backend.commit_batch(batch(2, vec![second])).await.unwrap();
    backend.leases().unwrap().leave(ME).await.unwrap();
}

/// What one server deletes is gone for all of them: one whose clock is wrong by a month would delete everything.
#[test]
fn a_clock_that_is_off_by_a_day_deletes_nothing() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        write_new(&backend, &[key("k")], &first("1")).await;
        let removed = vec![row(&key("k"), 1, &next(&first("1"), None))];
        backend.commit_batch(batch(2, removed)).await.unwrap();
        backend.leases().unwrap().leave(ME).await.unwrap();
        let right = now(&database).await.unix_ms();
        let sweep = |clock: u64, is_simulated| {
            let kept_since = Timestamp::from_unix_ms(clock - u64::from(HISTORY_DAYS_MAX) * DAY_MS);
            backend.expire(Arc::new(Sweep { kept_since, shorter: Vec::new(), rows: 10, is_simulated }))
        };
        for clock in [right + 40 * DAY_MS, right - 2 * DAY_MS] {
            let error = sweep(clock, false).await.unwrap_err();
            assert_eq!(error.kind, BackendErrorKind::Invalid, "{error}");
            assert!(error.message.contains("differ by more than a day"), "{error}");
        }
        assert_eq!(backend.read_entries(vec![key("k")]).await.unwrap()[0].revision, 2);
        assert_eq!(sweep(right + 40 * DAY_MS, true).await, Ok(1), "a simulation has a clock of its own");
        assert_eq!(backend.read_entries(vec![key("k")]).await.unwrap()[0].revision, 0);
    });
}

/// A snapshot of the future would keep every overwritten value until then, and be the last one until then.
#[test]
fn a_snapshot_is_of_now() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        write_twice(&backend).await;
        let right = now(&database).await.unix_ms();
        for wrong in [right + 10_000, right - 10_000, right + 40 * DAY_MS] {
            let error = backend.take_snapshot(GAME, Timestamp::from_unix_ms(wrong), false).await.unwrap_err();
            assert_eq!(error.kind, BackendErrorKind::Invalid, "{error}");
            assert!(error.message.contains("differ by more than 5 s"), "{error}");
        }
        assert_eq!(database.psql("SELECT count(snapshot) FROM clawstore.game").unwrap().trim(), "0");
        let at = now(&database).await;
        let taken = backend.take_snapshot(GAME, at, false).await;
        assert_eq!(taken, Ok(Snapshot { is_new: true, at }));
        let later = Timestamp::from_unix_ms(right + 40 * DAY_MS);
        assert_eq!(backend.take_snapshot(GAME, later, true).await, Ok(Snapshot { is_new: true, at: later }));
    });
}

/// A deletion looks at every key of the game, and a purge deletes them: that may take a minute.
#[test]
fn nobody_waits_behind_a_call_on_a_whole_game() {
    const WAITING: &str =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let database = Database::create();
    block_on(async {
        let (backend, mut other, mut watcher) =
            (open_here(&database).await, connect(&database).await, connect(&database).await);
        write_twice(&backend).await;
        run(&mut other, "BEGIN; SELECT FROM clawstore.game FOR UPDATE").await;
        let meanwhile = async {
            until(&mut watcher, WAITING, 2).await;
            assert_eq!(backend.read_entries(vec![key("k")]).await.unwrap()[0].revision, 2);
            run(&mut other, "COMMIT").await;
        };
        let (deleted, purged, ()) =
            tokio::join!(backend.delete_game(GAME, first("1").updated), backend.purge_game(GAME, 1), meanwhile);
        assert_eq!(deleted, Ok(Deletion::Done));
        assert!(matches!(purged, Ok(0 | 1)), "before the mark, or behind it: {purged:?}");
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'clawstore'";
        until(&mut watcher, open, 3).await;
    });
}

/// A connection that ends in the middle does not say whether its change is made.
#[test]
fn a_change_that_is_broken_off_may_have_happened() {
    const END: &str = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
                       WHERE wait_event_type = 'Lock' AND datname = current_database()";
    async fn broken_off<T: std::fmt::Debug>(database: &Database, call: impl Future<Output = Result<T, BackendError>>) {
        let (mut other, mut ender) = (connect(database).await, connect(database).await);
        run(&mut other, "BEGIN; SELECT FROM clawstore.game FOR UPDATE; SELECT FROM clawstore.version FOR UPDATE").await;
        let error = tokio::select! {
            result = call => result.unwrap_err(),
            () = async { loop { ask::<i64>(&mut ender, END).await; } } => unreachable!("it ends no call for ever"),
        };
        assert_eq!(error.kind, BackendErrorKind::Unknown, "{error}");
        assert!(error.message.contains("may have happened"), "{error}");
    }
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        write_twice(&backend).await;
        let at = now(&database).await;
        broken_off(&database, backend.take_snapshot(GAME, at, false)).await;
        broken_off(&database, backend.remove_version(key("k"), first("1").version())).await;
        broken_off(&database, backend.delete_game(GAME, at)).await;
        database.psql("UPDATE clawstore.game SET deleted = 1").unwrap();
        broken_off(&database, backend.purge_game(GAME, 10)).await;
        broken_off(&database, backend.restore_game(GAME)).await;
    });
}

/// A step goes on where the last one was; what came behind it, from one that took a key as the game was marked, goes too.
#[test]
fn a_purge_leaves_nothing_behind_it() {
    // 20 stores of game 1 with 3 versions and 2 keys each, and as many of game 2.
    const STORES: &str = "
        INSERT INTO clawstore.game (external_id, deleted) VALUES ('1', 1), ('2', NULL);
        INSERT INTO clawstore.store (game, kind, name)
            SELECT game.id, 'standard', 'S' || n FROM generate_series(1, 20) AS n, clawstore.game;
        INSERT INTO clawstore.entry (store, scope, key, revision, value)
            SELECT id, 'global', 'k' || n, 4, '4' FROM clawstore.store, generate_series(1, 2) AS n;
        INSERT INTO clawstore.version (store, scope, key, revision, created, updated, superseded, day)
            SELECT id, 'global', 'k1', n, 0, n, n, now() FROM clawstore.store, generate_series(1, 3) AS n";
    const LATE: &str = "
        INSERT INTO clawstore.version (store, scope, key, revision, created, updated, superseded, day)
            SELECT min(id), 'global', 'late', 1, 0, 1, 1, now() FROM clawstore.store GROUP BY game";
    let left = "SELECT (SELECT count(*) FROM clawstore.entry), (SELECT count(*) FROM clawstore.version), \
                (SELECT count(*) FROM clawstore.game WHERE deleted IS NOT NULL)";
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        database.psql(STORES).unwrap();
        for _ in 0..9 {
            assert_eq!(backend.purge_game(GAME, 7).await, Ok(7));
        }
        assert_eq!(database.psql(left).unwrap().trim(), "77|60|1", "versions, then keys");
        database.psql(LATE).unwrap();
        for _ in 0..5 {
            assert_eq!(backend.purge_game(GAME, 7).await, Ok(7));
        }
        assert_eq!(backend.purge_game(GAME, 7).await, Ok(3), "the last keys and what was late");
        assert_eq!(database.psql(left).unwrap().trim(), "40|61|0", "those of the other game");
        // The same game once more: its stores are looked at anew.
        let again = format!("DELETE FROM clawstore.version WHERE key = 'late'; {LATE}");
        database.psql(&format!("{again}; UPDATE clawstore.game SET deleted = 2 WHERE external_id = '1'")).unwrap();
        assert_eq!(backend.purge_game(GAME, 7).await, Ok(1));
    });
}
