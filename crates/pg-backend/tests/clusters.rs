//! Servers with roles and settings of their own, and servers that are killed.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::future::Future;
use std::sync::Arc;

use clawstore_core::backend::{
    BEHIND_ANY_NAME, Backend, BackendErrorKind, Batch, BatchRow, Beat, CommitBatches, Deletion, ExpireHistory, Fence,
    GiveBack, Incarnation, Kept, KeyRange, LaneId, LeaseAsk, ManageGames, Previous, ReadEntries, Restoration,
    RowOutcome, ScanEntries, Snapshot, StoresQuery, Sweep,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_postgres::{Durability, OpenError, PgBackend, PgConnectOptions, PgSettings, migrate};
use clawstore_testkit::postgres::{Cluster, Database, StopMode};

const ME: Incarnation = Incarnation(1);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn options(url: &str) -> PgConnectOptions {
    url.parse().unwrap()
}

fn settings(change: impl FnOnce(&mut PgSettings)) -> PgSettings {
    let mut settings = PgSettings::default();
    change(&mut settings);
    settings
}

fn key() -> EntryKey {
    let store = StoreId::new(GameId::Number(1), StoreKind::Ordered, b"Coins", b"global").unwrap();
    EntryKey::new(&Arc::new(store), b"k").unwrap()
}

/// The n-th revision, which keeps the one before it.
fn batch(n: u64) -> Arc<Batch> {
    let mut entry = Entry::default();
    for revision in 1..=n {
        let at = Timestamp::from_unix_ms(revision * 1_000);
        entry = entry.successor(Some(Value::integer(revision as i64)), Attributes::default(), at);
    }
    let row = BatchRow {
        key: key(),
        fence: Fence(7),
        base: n - 1,
        previous: Previous::Kept,
        kept: Vec::new(),
        entry: Arc::new(entry),
        onto: None,
    };
    Arc::new(Batch { lane: LaneId { incarnation: ME, number: 0 }, seq: n, digest: n, rows: vec![row] })
}

/// Everything that a server asks of the database.
async fn use_all(backend: &PgBackend) {
    let leases = backend.leases().unwrap();
    let lease = || vec![LeaseAsk::new(key(), Fence(7))];
    leases.join(ME).await.unwrap();
    leases.acquire(ME, lease()).await.unwrap();
    for n in 1..=2 {
        assert_eq!(backend.commit_batch(batch(n)).await, Ok(vec![RowOutcome::Committed]));
        assert_eq!(backend.commit_batch(batch(n)).await, Ok(vec![RowOutcome::Committed]));
    }
    assert!(leases.beat(Beat::new(ME, Vec::new())).await.unwrap().alive);
    assert_eq!(backend.read_entries(vec![key()]).await.unwrap()[0].revision, 2);
    assert_eq!(backend.list_stores().await.unwrap().len(), 1);
    let range = KeyRange::of_scope(key().store, "", Kept::default(), 10);
    assert_eq!(backend.list_keys(range).await.unwrap().len(), 1);
    use_games(backend).await;
    leases.declare_dead(ME, Vec::new(), true).await.unwrap();
    leases.release(vec![GiveBack::new(key(), Fence(7))]).await.unwrap();
    leases.leave(ME).await.unwrap();
    delete_game(backend).await;
}

/// History and snapshots, beside the writing.
async fn use_games(backend: &PgBackend) {
    let (game, now) = (key().store.game, Timestamp::from_unix_ms(2_000));
    assert_eq!(backend.take_snapshot(game, now, true).await, Ok(Snapshot { is_new: true, at: now }));
    assert_eq!(backend.commit_batch(batch(3)).await, Ok(vec![RowOutcome::Committed]));
    let stores =
        StoresQuery { game, after: "".into(), before: BEHIND_ANY_NAME.into(), kept: Kept::default(), limit: 10 };
    assert_eq!(backend.list_game_stores(stores).await, Ok(Vec::new()), "the only one is ordered");
    let first = backend.read_version_at(key(), Timestamp::from_unix_ms(1_500), Kept::default()).await.unwrap().unwrap();
    assert_eq!(backend.read_version(key(), first.version(), Kept::default()).await.unwrap(), Some(first.clone()));
    backend.remove_version(key(), first.version()).await.unwrap();
    assert_eq!(backend.read_version(key(), first.version(), Kept::default()).await, Ok(None));
    let sweep = Sweep { kept_since: now, shorter: Vec::new(), rows: 10, is_simulated: true };
    assert_eq!(backend.expire(Arc::new(sweep)).await, Ok(0));
}

/// A game whose servers have left, there and back and for good.
async fn delete_game(backend: &PgBackend) {
    let (game, now) = (key().store.game, Timestamp::from_unix_ms(4_000));
    assert_eq!(backend.delete_game(game, now).await, Ok(Deletion::Done));
    assert_eq!(backend.restore_game(game).await, Ok(Restoration::Done));
    assert_eq!(backend.delete_game(game, now).await, Ok(Deletion::Done));
    assert_eq!(backend.deleted_games().await, Ok(vec![(game, now)]));
    assert_eq!(backend.purge_game(game, 10).await, Ok(2), "the entry and the version that is left");
    assert_eq!(backend.deleted_games().await, Ok(Vec::new()));
}

/// A server's role may change rows and nothing else; who runs the migrations is another.
#[test]
fn a_server_needs_no_right_to_create_anything() {
    let cluster = Cluster::start().unwrap();
    let database = Database::create_on(&cluster);
    let name = database.psql("SELECT current_database()").unwrap().trim().to_owned();
    let sql = "CREATE ROLE owner LOGIN; CREATE ROLE clawstore_runtime; CREATE ROLE server LOGIN IN ROLE clawstore_runtime; \
               CREATE ROLE stranger LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CREATE ON DATABASE {} TO owner";
    database.psql(&sql.replace("{}", &name)).unwrap();
    let as_user = |user: &str| options(&database.url()).username(user);
    block_on(async {
        for migrate in [true, false] {
            let error = PgBackend::open(as_user("server"), settings(|s| s.migrate = migrate))
                .await
                .expect_err("nothing is there");
            let is_right = if migrate {
                matches!(error, OpenError::NoRights { .. })
            } else {
                matches!(error, OpenError::SchemaOlder { .. })
            };
            assert!(is_right && error.to_string().contains("clawstore migrate up"), "{error}");
        }
        migrate::up(&as_user("owner")).await.unwrap();
        // Whether it would migrate or not: there is nothing to do.
        for migrate in [true, false] {
            let backend = PgBackend::open(as_user("server"), settings(|s| s.migrate = migrate)).await.unwrap();
            if migrate {
                use_all(&backend).await;
            }
        }
        let error = PgBackend::open(as_user("stranger"), PgSettings::default()).await.unwrap_err();
        assert!(matches!(&error, OpenError::NoRights { role, .. } if role == "stranger"), "{error}");
    });
    // As a server does where there is a standby.
    let confirm = "SET ROLE server; SELECT pg_logical_emit_message(true, 'clawstore', '') IS NOT NULL";
    assert_eq!(database.psql(confirm).unwrap(), "t");
    let dropped = database.psql("SET ROLE server; SELECT clawstore.maintain_versions(); DROP TABLE clawstore.entry");
    assert!(dropped.unwrap_err().to_string().contains("must be owner of table entry"));
}

/// Whoever starts on a server that forgets is told so before the first save.
#[test]
fn settings_that_lose_acknowledged_writes_are_refused() {
    for (name, value) in [("fsync", "off"), ("full_page_writes", "off")] {
        let cluster = Cluster::start_with(&[(name, value)]).unwrap();
        let database = Database::create_on(&cluster);
        block_on(async {
            let error = PgBackend::open(options(&database.url()), PgSettings::default()).await.unwrap_err();
            assert!(matches!(error, OpenError::Unsafe { setting, .. } if setting == name), "{error}");
            assert_eq!(
                database.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'clawstore'").unwrap().trim(),
                "0"
            );
            let backend = PgBackend::open(options(&database.url()), settings(|s| s.durable = false)).await.unwrap();
            assert_eq!(*backend.durability(), Durability::None { setting: name });
            use_all(&backend).await;
        });
    }
}

/// Sessions turn waiting for the disk on; a setting that became unsafe is seen when a connection is opened again.
#[test]
fn the_disk_is_waited_for_and_looked_at_again() {
    let cluster = Cluster::start_with(&[("synchronous_commit", "off")]).unwrap();
    let database = Database::create_on(&cluster);
    block_on(async {
        let backend = PgBackend::open(options(&database.url()), PgSettings::default()).await.unwrap();
        assert_eq!(*backend.durability(), Durability::Disk);
        use_all(&backend).await;
        database.psql("ALTER SYSTEM SET fsync = off").unwrap();
        database.psql("SELECT pg_reload_conf()").unwrap();
        while database.psql("SHOW fsync").unwrap().trim() == "on" {}
        backend.close().await;
        let error = backend.commit_batch(batch(3)).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable);
        assert!(error.message.contains("fsync=off") && error.message.contains("was not done"), "{error}");
    });
}

/// The server is down: an answer at once, and everything goes on when it is back.
#[test]
fn a_server_that_is_killed_and_comes_back() {
    let mut cluster = Cluster::start().unwrap();
    let database = Database::create_on(&cluster);
    block_on(async {
        let backend = PgBackend::open(options(&database.url()), PgSettings::default()).await.unwrap();
        let leases = backend.leases().unwrap();
        leases.join(ME).await.unwrap();
        leases.acquire(ME, vec![LeaseAsk::new(key(), Fence(7))]).await.unwrap();
        backend.commit_batch(batch(1)).await.unwrap();
        cluster.kill().unwrap();
        let beat = || leases.beat(Beat::new(ME, Vec::new()));
        assert_eq!(backend.commit_batch(batch(2)).await.unwrap_err().kind, BackendErrorKind::Unknown);
        assert_eq!(backend.commit_batch(batch(2)).await.unwrap_err().kind, BackendErrorKind::Unavailable);
        assert_eq!(backend.read_entries(vec![key()]).await.unwrap_err().kind, BackendErrorKind::Unavailable);
        assert_eq!(beat().await.unwrap_err().kind, BackendErrorKind::Unavailable);
        cluster.restart().unwrap();
        assert!(beat().await.unwrap().alive);
        assert_eq!(backend.read_entries(vec![key()]).await.unwrap()[0].revision, 1);
        assert_eq!(backend.commit_batch(batch(2)).await, Ok(vec![RowOutcome::Committed]));
    });
}

/// A standby may show what is old: neither a start nor a connection that is opened again takes it for the database.
#[test]
fn a_standby_is_not_the_database() {
    let mut cluster = Cluster::start().unwrap();
    let database = Database::create_on(&cluster);
    block_on(async {
        let backend = PgBackend::open(options(&database.url()), PgSettings::default()).await.unwrap();
        use_all(&backend).await;
        // Programs run in the directory of the data. A server with this file follows a primary, which it has not.
        database.psql("COPY (SELECT 1) TO PROGRAM 'cat > standby.signal'").unwrap();
        cluster.stop(StopMode::Fast).unwrap();
        cluster.restart().unwrap();
        let error = backend.read_entries(vec![key()]).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable);
        assert!(error.message.contains("is a standby"), "{error}");
        let error = PgBackend::open(options(&database.url()), PgSettings::default()).await.unwrap_err();
        assert!(matches!(error, OpenError::Standby { .. }), "{error}");
    });
}

/// Commits that notify are made one at a time in the whole cluster: one that hangs costs messages, and no beat.
#[test]
fn somebody_elses_hanging_notification_costs_messages_alone() {
    let cluster = Cluster::start().unwrap();
    let database = Arc::new(Database::create_on(&cluster));
    let reload = |setting: &str| {
        database.psql(setting).unwrap();
        database.psql("SELECT pg_reload_conf()").unwrap();
    };
    block_on(async {
        let backend = PgBackend::open(options(&database.url()), PgSettings::default()).await.unwrap();
        let (leases, messages) = (backend.leases().unwrap(), backend.messages().unwrap());
        leases.join(ME).await.unwrap();
        // There is no such standby, and the commit waits for it.
        reload("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        let notify = || {
            let database = Arc::clone(&database);
            std::thread::spawn(move || {
                database
                    .psql("SELECT pg_notify('another', 'x'), pg_logical_emit_message(true, 'a', 'something written')")
            })
        };
        let mut hanging = notify();
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        while database.psql(waiting).unwrap().trim() != "1" {
            // It takes a moment until the server knows of the setting.
            if hanging.is_finished() {
                hanging = notify();
            }
        }
        // The beat waits behind the message.
        let beat = leases.beat(Beat::new(ME, Vec::new()));
        let (published, beaten) = tokio::join!(messages.publish(vec!["late".to_owned()]), beat);
        assert_eq!(published.unwrap_err().kind, BackendErrorKind::Unavailable);
        assert!(beaten.unwrap().alive);
        reload("ALTER SYSTEM RESET synchronous_standby_names");
        hanging.join().unwrap().unwrap();
        messages.publish(vec!["in time".to_owned()]).await.unwrap();
    });
}
