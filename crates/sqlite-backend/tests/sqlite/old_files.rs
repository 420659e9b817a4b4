//! Files of older releases are brought up to date with all that is in them, in one step each.

use std::path::Path;
use std::sync::Arc;

use clawstore_core::backend::ExpireHistory;
use clawstore_core::backend::{Kept, KeyRange, ScanEntries, SortedQuery, StoreInfo, StoresQuery, Sweep, VersionQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::{GameId, StoreId, StoreKind};
use clawstore_sqlite::{DATABASE_FILE, OpenError, SqliteBackend, SqliteOptions, SqliteReader};
use rusqlite::Connection;

use crate::support::{key, open, wait};

/// The schema that the first release made.
const FIRST: &str = include_str!("../../migrations/0001_initial.sql");
/// The schema that the second release made of it.
const SECOND: &str = include_str!("../../migrations/0002_ordered.sql");

const ROWS: &str = "
    INSERT INTO game (external_id) VALUES ('7');
    INSERT INTO store (game, kind, name) VALUES (1, 'standard', 'Coins'), (1, 'ordered', 'Scores'), (1, 'standard', 'None');
    INSERT INTO entry (store, scope, key, revision, created, updated, value)
    VALUES (1, 'global', 'live', 3, 10, 30, '3'), (1, 'global', 'removed', 2, 5, 20, NULL),
           (2, 'global', 'a', 1, 1, 1, '9223372036854775807'), (2, 'global', 'b', 1, 1, 1, '-5'),
           (2, 'global', 'c', 1, 1, 1, NULL), (2, 'global', 'd', 1, 1, 1, '\"5\"');
    INSERT INTO version (store, scope, key, revision, created, updated, superseded, user_ids, metadata, value)
    VALUES (1, 'global', 'live', 2, 10, 20, 30, '[1]', '{\"a\":1}', '2'), (1, 'global', 'live', 1, 10, 10, 20, NULL, NULL, '1'),
           (1, 'global', 'removed', 1, 5, 5, 20, NULL, NULL, '1');";

fn old_file(dir: &Path, schemas: &[&str]) {
    let connection = Connection::open(dir.join(DATABASE_FILE)).expect("opens");
    connection.pragma_update(None, "journal_mode", "WAL").expect("a setting");
    connection.pragma_update(None, "application_id", 0x434c_4157).expect("a setting");
    connection.execute_batch(FIRST).expect("the first schema");
    connection.execute_batch(ROWS).expect("rows");
    schemas.iter().for_each(|sql| connection.execute_batch(sql).expect("the next schema"));
    connection.pragma_update(None, "user_version", 1 + schemas.len() as i64).expect("a number");
}

fn tick(number: u64) -> Timestamp {
    Timestamp::from_ticks(number)
}

fn check(backend: &SqliteBackend) {
    let live = VersionQuery {
        key: key("live"),
        descending: false,
        from: None,
        to: None,
        after: None,
        kept: Kept::default(),
        limit: 10,
    };
    let versions = wait(backend.list_versions(live)).expect("a list");
    let versions: Vec<_> = versions.iter().map(|version| (version.id.revision, version.id.updated)).collect();
    assert_eq!(versions, [(1, tick(10)), (2, tick(20)), (3, tick(30))]);
    let second =
        wait(backend.read_version_at(key("live"), tick(29), Kept::default())).expect("a read").expect("is kept");
    assert_eq!((second.revision, &*second.attributes.user_ids), (2, &[1_i64][..]));
    assert_eq!(second.attributes.metadata, "{\"a\":1}");

    let (after, before) = ("".into(), "~".into());
    let query = StoresQuery { game: GameId::Number(7), after, before, kept: Kept::default(), limit: 10 };
    let coins = StoreInfo { name: "Coins".into(), created: tick(5), updated: tick(30) };
    assert_eq!(wait(backend.list_game_stores(query)), Ok(vec![coins]), "a store without a key is empty");

    let store = StoreId::new(GameId::Number(7), StoreKind::Ordered, b"Scores", b"global").expect("legal");
    let (store, min, max) = (Arc::new(store), i64::MIN, i64::MAX);
    let query = SortedQuery { store: Arc::clone(&store), ascending: true, min, max, after: None, limit: 10 };
    let items = wait(backend.list_sorted(query)).expect("a list");
    let items: Vec<_> = items.iter().map(|item| (&*item.key, item.number)).collect();
    assert_eq!(items, [("b", -5), ("a", i64::MAX)]);

    // Removed rows of before are found by the sweep: `c` at once, `removed` and its version when their time has come.
    let sweep = |since| {
        let sweep = Sweep { kept_since: tick(since), shorter: Vec::new(), rows: 10, is_simulated: true };
        wait(backend.expire(Arc::new(sweep))).expect("a sweep")
    };
    assert_eq!((sweep(0), sweep(20), sweep(21), sweep(100)), (1, 0, 3, 1));
    let keys =
        |store| wait(backend.list_keys(KeyRange::of_scope(store, "", Kept::default(), 10))).expect("a list").len();
    assert_eq!((keys(key("live").store), keys(store)), (1, 3));
}

#[test]
fn a_file_of_the_first_release() {
    let dir = tempfile::tempdir().expect("a directory");
    old_file(dir.path(), &[]);
    check(&open(dir.path()));
}

#[test]
fn a_file_of_the_second_release() {
    let dir = tempfile::tempdir().expect("a directory");
    old_file(dir.path(), &[SECOND]);
    // A reader changes nothing: it says what to do.
    let error = SqliteReader::open_read_only(dir.path()).expect_err("must not open");
    assert!(error.to_string().contains("start the server once"), "{error}");
    check(&open(dir.path()));
}

/// A migration that fails leaves the file as it was, schema number included.
#[test]
fn a_file_that_cannot_be_brought_up_to_date_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    old_file(dir.path(), &[SECOND]);
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    // Two versions of one time: no release writes such.
    let twice = "INSERT INTO version (store, scope, key, revision, created, updated, superseded)
                 VALUES (1, 'global', 'live', 7, 10, 20, 30)";
    connection.execute_batch(twice).expect("a row");
    drop(connection);
    let error = SqliteBackend::open(dir.path(), &SqliteOptions::default()).expect_err("must not open");
    assert!(matches!(error, OpenError::Other { .. }), "{error:?}");
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    let schema: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number");
    let rows: i64 = connection.query_row("SELECT count(*) FROM version", [], |row| row.get(0)).expect("a count");
    assert_eq!((schema, rows), (2, 4));
}
