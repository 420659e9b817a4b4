//! When the WAL goes into the database file.
//!
//! Owns: the length at which it is due and the call. SQLite's own automatic checkpoint is off: it runs inside the commit,
//! before the callers are answered, and drops its errors, so that a failed sync would not be seen.
//! Does not own: what a failure does to the backend (`writer`).

use std::cell::Cell;

use rusqlite::{Connection, ffi};

/// Pages in the WAL from which a checkpoint is due: 16 MiB. Batches of 1,000 random keys
/// beside bare rusqlite with SQLite's own 1,000 pages, by `examples/commit_rate.rs`: 1.0 times its rate with 1,000
/// pages, 1.1 to 1.5 with 4,096, 1.4 to 1.6 with 16,384: a page that several batches change is written back once.
const DUE_PAGES: i32 = 4_096;

thread_local! {
    /// Length of the WAL after this thread's last commit. SQLite's hook is a bare function, so it has no other place.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// How thorough a checkpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// What can be moved without waiting for readers.
    Passive,
    /// Everything, waiting for readers; leaves an empty WAL file.
    Truncate,
}

/// Notes the length of the WAL from now on. To be called on the thread that commits.
pub(super) fn watch(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        WAL_PAGES.set(pages);
        Ok(())
    }));
}

pub(super) fn is_due() -> bool {
    WAL_PAGES.get() >= DUE_PAGES
}

/// Makes one due, whatever the length.
pub(super) fn request() {
    WAL_PAGES.set(DUE_PAGES);
}

pub(super) fn run(connection: &Connection, mode: Mode) -> rusqlite::Result<()> {
    let pragma = match mode {
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    // The columns: busy, pages in the WAL, pages moved. Busy is no error: the rest is moved next time.
    let mut statement = connection.prepare_cached(pragma)?;
    statement.query_row([], |_| Ok(()))?;
    // Noted anew by the next commit, which starts the WAL over if all of it was moved.
    WAL_PAGES.set(0);
    Ok(())
}

/// A failed sync: what the file holds is not known any more.
pub(super) fn is_fatal(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|e| e.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}
