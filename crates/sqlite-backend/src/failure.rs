//! What a SQLite error means to the lane.
//!
//! Owns: the map from SQLite's codes to `BackendErrorKind`, and the latch that ends a backend after a failed sync.
//! Does not own: errors of opening (`open_error`), retries (`core::lane`).
//!
//! **Why most failed commits are definite.** In WAL mode `COMMIT` writes frames behind the last committed one, syncs
//! them, and only then moves the shared end mark on, so a commit that failed is invisible and the next transaction
//! overwrites its frames. It could only come back through a recovery after a crash, which accepts frames up to the
//! last commit frame whose checksum holds. A write that failed (`FULL`, `IOERR_WRITE`) is of a frame up to and
//! including the commit frame, which is then not complete: recovery stops before it. So nothing was applied, ever.
//! Two failures come after the commit frame was written: the sync itself, and growing the index (`-shm`) behind it.
//! After a failed sync Linux may drop the written pages and report success next time, so nothing of this file can be
//! trusted until it is read again from disk: the backend stops (`Halted`). After a failed index the transaction is
//! undone in this process and, if the process dies before its next commit, redone by recovery: `Unknown`.

use std::fmt;
use std::sync::{Arc, OnceLock};

use clawstore_core::backend::{BackendError, BackendErrorKind};
use rusqlite::ffi;

/// Where in a call SQLite failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A read.
    Read,
    /// Before `COMMIT`: rolled back, nothing of it can come back.
    Rows,
    /// `COMMIT` itself.
    Commit,
}

/// The kind of a failure.
pub(crate) fn kind_of(stage: Stage, error: &rusqlite::Error) -> BackendErrorKind {
    use BackendErrorKind::{Corrupt, Halted, Internal, Invalid, Unavailable, Unknown};
    let Some(code) = error.sqlite_error().map(|e| e.extended_code) else {
        return match (stage, error) {
            // A column that does not hold what we wrote there.
            (
                Stage::Read,
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..),
            ) => Corrupt,
            _ => Internal,
        };
    };
    match code {
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC if stage != Stage::Read => return Halted,
        ffi::SQLITE_IOERR_WRITE => return Unavailable,
        ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA | ffi::SQLITE_IOERR_SHORT_READ
            if stage != Stage::Commit =>
        {
            return Corrupt;
        }
        ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMMAP | ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_NOMEM
            if stage == Stage::Commit =>
        {
            return Unknown;
        }
        _ => {}
    }
    match code & 0xff {
        ffi::SQLITE_FULL | ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_CANTOPEN => Unavailable,
        ffi::SQLITE_NOMEM if stage == Stage::Commit => Unknown,
        ffi::SQLITE_NOMEM => Unavailable,
        // What the others mean for a commit cannot be told, and none is known to pass by itself.
        ffi::SQLITE_IOERR if stage == Stage::Commit => Halted,
        ffi::SQLITE_IOERR => Unavailable,
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Corrupt,
        ffi::SQLITE_TOOBIG | ffi::SQLITE_MISMATCH | ffi::SQLITE_CONSTRAINT => Invalid,
        _ => Internal,
    }
}

/// A failure as the caller sees it.
pub(crate) fn backend_error(stage: Stage, error: &rusqlite::Error) -> BackendError {
    let doing = match stage {
        Stage::Read => "reading",
        Stage::Rows => "writing",
        Stage::Commit => "committing",
    };
    // The system's error is lost on the way through SQLite; its extended code tells the operation at least.
    let code = error.sqlite_error().map_or(0, |e| e.extended_code);
    BackendError::new(kind_of(stage, error), format_args!("SQLite failed while {doing}: {error} (code {code})"))
}

/// Set once, by the first failure after which this process must not trust the file any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latch(Arc<OnceLock<String>>);

impl Latch {
    pub(crate) fn set(&self, reason: impl fmt::Display) {
        if self.0.set(reason.to_string()).is_ok() {
            tracing::error!(%reason, "the SQLite backend has stopped; restart the server to read the file again");
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    /// The answer to everything after it was set. Such a call was not applied, but the backend is gone all the same.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        match self.0.get() {
            Some(reason) => Err(BackendError::new(
                BackendErrorKind::Halted,
                format_args!("the database has stopped after an earlier failure and needs a restart: {reason}"),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(stage: Stage, code: i32) -> BackendErrorKind {
        kind_of(stage, &rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn kinds_of_codes() {
        use BackendErrorKind::{Corrupt, Halted, Internal, Invalid, Unavailable, Unknown};
        let cases = [
            (ffi::SQLITE_FULL, Unavailable, Unavailable),
            (ffi::SQLITE_BUSY, Unavailable, Unavailable),
            (ffi::SQLITE_BUSY_SNAPSHOT, Unavailable, Unavailable),
            (ffi::SQLITE_LOCKED, Unavailable, Unavailable),
            (ffi::SQLITE_CANTOPEN, Unavailable, Unavailable),
            (ffi::SQLITE_IOERR_WRITE, Unavailable, Unavailable),
            (ffi::SQLITE_IOERR_READ, Unavailable, Halted),
            (ffi::SQLITE_IOERR_FSYNC, Halted, Halted),
            (ffi::SQLITE_IOERR_DIR_FSYNC, Halted, Halted),
            (ffi::SQLITE_IOERR_TRUNCATE, Unavailable, Halted),
            (ffi::SQLITE_IOERR_SHMSIZE, Unavailable, Unknown),
            (ffi::SQLITE_NOMEM, Unavailable, Unknown),
            (ffi::SQLITE_CORRUPT, Corrupt, Corrupt),
            (ffi::SQLITE_NOTADB, Corrupt, Corrupt),
            (ffi::SQLITE_TOOBIG, Invalid, Invalid),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Invalid, Invalid),
            (ffi::SQLITE_MISUSE, Internal, Internal),
        ];
        for (code, rows, commit) in cases {
            assert_eq!((kind(Stage::Rows, code), kind(Stage::Commit, code)), (rows, commit), "code {code}");
        }
    }

    #[test]
    fn the_first_reason_stays() {
        let latch = Latch::default();
        assert_eq!(latch.check(), Ok(()));
        latch.set("first");
        latch.set("second");
        let error = latch.check().expect_err("latched");
        assert_eq!(error.kind, BackendErrorKind::Halted);
        assert!(error.message.ends_with("first"), "{error}");
    }
}
