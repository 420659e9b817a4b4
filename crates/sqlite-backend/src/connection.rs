//! Connections and the settings that they depend on.
//!
//! Owns: how each kind of connection is opened, and every pragma, read back where durability depends on it. Does not
//! own: the schema (`migrations`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::open_error::OpenError;

/// Name of the database file in its directory.
pub const DATABASE_FILE: &str = "clawstore.db";

/// The synchronous level of the writer: an answered commit has been synced (`FULL` is 2).
#[cfg(not(feature = "unsafe-no-sync"))]
pub const SYNCHRONOUS: i64 = 2;
/// The synchronous level of the writer: none, for the one test that needs a backend that forgets.
#[cfg(feature = "unsafe-no-sync")]
pub const SYNCHRONOUS: i64 = 0;

/// Marks the file as ours (`file(1)` and [`check_owner`] read it): "CLAW".
const APPLICATION_ID: i64 = 0x434c_4157;

/// How long opening and reading wait for a lock that somebody else holds: a recovery that another process runs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the open writer waits for one, such as an operator's `sqlite3`. Short: the lane tries again by itself, and
/// waiting here would only delay the news.
const WRITER_BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that the WAL file keeps on disk after a checkpoint made it reusable. Larger than what one round of batches
/// writes, so that in normal operation it is overwritten in place and never shrinks and grows.
const WAL_KEPT_BYTES: i64 = 64 * 1024 * 1024;

/// Page cache of one reader. Small: the operating system caches the file too, and entries are cached above.
const READER_CACHE_BYTES: usize = 8 * 1024 * 1024;

pub(crate) fn database_path(dir: &Path) -> PathBuf {
    dir.join(DATABASE_FILE)
}

/// The connection that writes. Creates the file if there is none.
pub(crate) fn open_writer(dir: &Path, cache_bytes: usize) -> Result<Connection, OpenError> {
    let path = database_path(dir);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // First, so that a file that is no database is refused before anything is set in it.
        connection.query_row(include_str!("../queries/read_health.sql"), [], |_| Ok(()))?;
        Ok(connection)
    };
    let connection = open().map_err(|e| OpenError::from_sqlite(&path, &e))?;
    // SQLite falls back to reading a file that it may not write.
    if connection.is_readonly("main").map_err(|e| OpenError::from_sqlite(&path, &e))? {
        return Err(OpenError::NotWritable { path });
    }
    check_owner(&connection, &path)?;
    set_writer_pragmas(&connection, cache_bytes).map_err(|e| OpenError::from_sqlite(&path, &e))?;
    #[cfg(not(feature = "unsafe-no-sync"))]
    check_durable(&connection, &path)?;
    connection.busy_timeout(WRITER_BUSY_TIMEOUT).map_err(|e| OpenError::from_sqlite(&path, &e))?;
    Ok(connection)
}

/// The connection of a database that lives in this process only. Everything goes through this one.
pub(crate) fn open_in_memory() -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let connection = Connection::open_in_memory().map_err(|e| OpenError::from_sqlite(path, &e))?;
    connection.pragma_update(None, "foreign_keys", true).map_err(|e| OpenError::from_sqlite(path, &e))?;
    Ok(connection)
}

/// A connection that only reads. Sees what was committed when each of its statements began.
pub(crate) fn open_reader(dir: &Path) -> Result<Connection, OpenError> {
    let path = database_path(dir);
    if !path.try_exists().map_err(|e| OpenError::from_io(&path, &e))? {
        return Err(OpenError::Missing { path });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        set_cache(&connection, READER_CACHE_BYTES)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.query_row(include_str!("../queries/read_health.sql"), [], |_| Ok(()))?;
        Ok(connection)
    };
    let connection = open().map_err(|e| OpenError::from_sqlite(&path, &e))?;
    check_owner(&connection, &path)?;
    Ok(connection)
}

fn set_cache(connection: &Connection, bytes: usize) -> rusqlite::Result<()> {
    // Negative: in KiB instead of pages.
    let kib = i64::try_from(bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kib)
}

fn set_writer_pragmas(connection: &Connection, cache_bytes: usize) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", SYNCHRONOUS)?;
    // Only on a new file: it is a write.
    if connection.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0))? != APPLICATION_ID {
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    // On macOS an fsync does not reach the disk without these; elsewhere they change nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    // The writer checkpoints by itself, after it has answered and so that it sees an error (`writer::checkpoint`).
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    // No temporary files: they would be one more thing that a full disk breaks.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // An I/O error under a memory map is a signal that ends the engine's process, not an error code.
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))?;
    set_cache(connection, cache_bytes)
}

/// Refuses to go on with settings under which an answered write could be lost: some file systems refuse WAL, and a
/// SQLite built by somebody else may ignore a level.
#[cfg(not(feature = "unsafe-no-sync"))]
fn check_durable(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let read_text = |name| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0));
    let read_number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let sqlite = |e| OpenError::from_sqlite(path, &e);
    let differs = |setting, wanted: String, found: String| {
        if wanted == found {
            return Ok(());
        }
        Err(OpenError::Setting { path: path.to_owned(), setting, wanted, found })
    };
    differs("journal_mode", "wal".to_owned(), read_text("journal_mode").map_err(sqlite)?)?;
    differs("synchronous", SYNCHRONOUS.to_string(), read_number("synchronous").map_err(sqlite)?.to_string())?;
    if cfg!(target_os = "macos") {
        differs("fullfsync", "1".to_owned(), read_number("fullfsync").map_err(sqlite)?.to_string())?;
    }
    Ok(())
}

/// Somebody else's SQLite database is left alone. A file without tables is new.
fn check_owner(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let read = || -> rusqlite::Result<(i64, i64)> {
        let id = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let tables = connection.query_row(include_str!("../queries/read_health.sql"), [], |row| row.get(0))?;
        Ok((id, tables))
    };
    let (id, tables) = read().map_err(|e| OpenError::from_sqlite(path, &e))?;
    if tables == 0 || id == APPLICATION_ID {
        return Ok(());
    }
    Err(OpenError::Corrupt { path: path.to_owned(), detail: format!("application id {id:#x}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let connection = open_writer(dir.path(), 1024 * 1024).expect("opens");
        let path = database_path(dir.path());
        let read =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("a pragma");
        assert_eq!((read("synchronous"), read("fullfsync"), read("foreign_keys")), (SYNCHRONOUS, 1, 1));
        #[cfg(not(feature = "unsafe-no-sync"))]
        {
            check_durable(&connection, &path).expect("as set");
            connection.pragma_update(None, "synchronous", "NORMAL").expect("a setting");
            let error = check_durable(&connection, &path).expect_err("weaker than asked");
            assert!(matches!(error, OpenError::Setting { setting: "synchronous", .. }), "{error}");
        }
        drop(connection);
        let foreign = Connection::open(&path).expect("opens");
        foreign.execute_batch("PRAGMA application_id = 7; CREATE TABLE theirs (x)").expect("writes");
        drop(foreign);
        let error = open_writer(dir.path(), 1024 * 1024).expect_err("not ours");
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    }
}
