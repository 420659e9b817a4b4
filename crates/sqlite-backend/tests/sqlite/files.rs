//! Opening, closing, and what is on disk in between.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use clawstore_core::backend::{BackendErrorKind, Kept, KeyRange, RowOutcome, ScanEntries};
use clawstore_sqlite::{DATABASE_FILE, LOCK_FILE, OpenError, SqliteBackend, SqliteOptions, SqliteReader};
use rusqlite::Connection;

use crate::support::{
    child_arguments, child_dir, commit, first_write, key, open, succeed_as_test, this_binary, value, wait,
};

const NOBODY: u32 = 65_534;

fn refusal(dir: &Path) -> OpenError {
    SqliteBackend::open(dir, &SqliteOptions::default()).expect_err("must not open")
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("made/on/the/way");
    let backend = open(&database);
    assert_eq!(commit(&backend, &first_write(1, "a", "\"kept\"")), Ok(vec![RowOutcome::Committed]));
    drop(backend);
    assert!(!database.join(format!("{DATABASE_FILE}-wal")).exists(), "a closed database is one file");

    let backend = open(&database);
    assert_eq!(value(&backend, "a").as_deref(), Some("\"kept\""));
    // A new lane counts from 1 again.
    assert_eq!(commit(&backend, &first_write(1, "b", "2")), Ok(vec![RowOutcome::Committed]));
    backend.close();
    let closed = commit(&backend, &first_write(2, "c", "3")).expect_err("closed");
    assert_eq!(closed.kind, BackendErrorKind::Unavailable);
    // Closing gives the lock back even while the value lives.
    assert_eq!(value(&open(&database), "b").as_deref(), Some("2"));
}

#[test]
fn a_second_writer_is_told_who_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let _backend = open(dir.path());
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Held { pid: Some(pid), .. } if pid == std::process::id()), "{error:?}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");

    // The same from another process, which is what happens in practice.
    let mut child = Command::new("env");
    child.env("HOLDER", std::process::id().to_string());
    child_arguments(&mut child, &this_binary(), "files::child_second_writer", dir.path());
    succeed_as_test(&mut child);
}

#[test]
#[ignore = "started by a_second_writer_is_told_who_is_there"]
fn child_second_writer() {
    let Some(dir) = child_dir() else { return };
    let holder = std::env::var("HOLDER").expect("set by the parent");
    assert_ne!(holder, std::process::id().to_string());
    let text = refusal(&dir).to_string();
    assert!(text.contains(&format!("process {holder} is using it")), "{text}");
}

#[test]
fn a_lock_file_that_nobody_holds_is_no_lock() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join(LOCK_FILE), "4194304999 left by a killed process").expect("writes");
    drop(open(dir.path()));
    let pid = fs::read_to_string(dir.path().join(LOCK_FILE)).expect("reads");
    assert_eq!(pid, format!("{}\n", std::process::id()));
}

#[test]
fn a_reader_beside_a_live_writer_sees_each_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = SqliteReader::open_read_only(dir.path()).expect_err("nothing there");
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    assert!(!dir.path().join(DATABASE_FILE).exists(), "reading creates nothing");

    let backend = open(dir.path());
    let reader = SqliteReader::open_read_only(dir.path()).expect("opens beside the writer");
    for seq in 1..=3 {
        let name = format!("k{seq}");
        assert_eq!(value(&reader, &name), None);
        commit(&backend, &first_write(seq, &name, "1")).expect("commits");
        assert_eq!(value(&reader, &name).as_deref(), Some("1"));
        let keys = wait(reader.list_keys(KeyRange::of_scope(key("x").store, "", Kept::default(), 10))).expect("a list");
        assert_eq!(keys.len() as u64, seq);
    }
    // The reader does not keep the writer from closing, nor the other way round.
    drop(backend);
    assert_eq!(value(&reader, "k3").as_deref(), Some("1"));
}

#[test]
fn a_database_that_the_user_may_not_write_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let open_to_all = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
    open_to_all(dir.path());
    // The build directory may be closed to other users.
    let binary = dir.path().join("test-binary");
    fs::copy(this_binary(), &binary).expect("copies");
    open_to_all(&binary);
    let database = dir.path().join("db");
    let backend = open(&database);
    open_to_all(&database);
    commit(&backend, &first_write(1, "a", "1")).expect("commits");

    let mut child = Command::new("env");
    child.uid(NOBODY).gid(NOBODY).current_dir("/");
    child_arguments(&mut child, &binary, "files::child_unprivileged", dir.path());
    succeed_as_test(&mut child);
    drop(backend);
}

#[test]
#[ignore = "started by a_database_that_the_user_may_not_write_to"]
fn child_unprivileged() {
    let Some(dir) = child_dir() else { return };
    assert_eq!(rustix::process::getuid().as_raw(), NOBODY, "must run as an unprivileged user");
    let (database, missing) = (dir.join("db"), dir.join("none"));
    let error = refusal(&database);
    assert!(matches!(&error, OpenError::NotWritable { path } if path.starts_with(&database)), "{error:?}");
    assert!(error.to_string().contains(database.to_str().expect("UTF-8")), "{error}");
    let error = refusal(&missing);
    assert!(matches!(&error, OpenError::CreateDirectory { path, .. } if *path == missing), "{error:?}");
    // Reading beside the server that runs as somebody else needs no more than the right to read.
    let reader = SqliteReader::open_read_only(&database).expect("opens");
    assert_eq!(value(&reader, "a").as_deref(), Some("1"));
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join(DATABASE_FILE);
    let garbage = "not a database at all, but long enough to look like a file\n".repeat(200);
    fs::write(&file, &garbage).expect("writes");
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains(file.to_str().expect("UTF-8")), "{error}");
    assert_eq!(fs::read_to_string(&file).expect("reads"), garbage);
    let error = SqliteReader::open_read_only(dir.path()).expect_err("must not open");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");

    // One that was cut short: SQLite compares the size in the header.
    fs::remove_file(&file).expect("removes");
    let backend = open(dir.path());
    commit(&backend, &first_write(1, "a", "1")).expect("commits");
    drop(backend);
    let whole = fs::metadata(&file).expect("a file").len();
    fs::OpenOptions::new().write(true).open(&file).expect("opens").set_len(whole / 2).expect("cuts");
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()));
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    connection.pragma_update(None, "user_version", 999).expect("writes");
    drop(connection);
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::SchemaNewer { found: 999, .. }), "{error:?}");
}

#[test]
fn an_operators_view_is_readable() {
    let dir = tempfile::tempdir().expect("a directory");
    let backend = open(dir.path());
    commit(&backend, &first_write(1_767_225_600_123, "a", "{\"coins\":1}")).expect("commits");
    let connection = Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    let row: (String, String, String, bool) = connection
        .query_row("SELECT store, value, updated, removed FROM entry_readable WHERE game = '7'", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .expect("one row");
    assert_eq!(row, ("Coins".into(), "{\"coins\":1}".into(), "2026-01-01T00:00:00.123Z".into(), false));
}

#[test]
fn a_write_lock_of_somebody_else_passes() {
    let dir = tempfile::tempdir().expect("a directory");
    let backend = open(dir.path());
    let operator = Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    operator.execute_batch("BEGIN IMMEDIATE").expect("takes the write lock");
    let batch = first_write(1, "a", "1");
    let error = commit(&backend, &batch).expect_err("the lock is taken");
    assert_eq!(error.kind, BackendErrorKind::Unavailable);
    operator.execute_batch("ROLLBACK").expect("gives it back");
    assert_eq!(commit(&backend, &batch), Ok(vec![RowOutcome::Committed]));
}
