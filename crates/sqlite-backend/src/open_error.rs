//! Why a database could not be opened, and what to do about it.
//!
//! Owns: the error of opening and its texts. Does not own: errors of calls on an open database (`failure`).

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ffi;

/// Why a database was not opened. Nothing was written to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory does not exist and cannot be made.
    #[error(
        "the database directory {} was not created: {source}; create it, or name another one with --db",
        path.display()
    )]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file in the directory cannot be written by this user.
    #[error(
        "the database was not opened: {} is not writable by this user; run as the user who owns the directory, or give \
         this user the right to write there",
        path.display()
    )]
    NotWritable {
        /// The file or directory.
        path: PathBuf,
    },
    /// There is nothing to read at this place (read-only opening creates nothing).
    #[error("no database was opened: there is no {}; check the directory given with --db", path.display())]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// Another process has it open for writing.
    #[error(
        "the database in {} was not opened: {} is using it; stop that process first (commands that only read work beside it)",
        path.display(),
        holder(*.pid)
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// The process that holds the lock, where the lock file tells.
        pid: Option<u32>,
    },
    /// The file is not a database, or is damaged.
    #[error(
        "the database was not opened: {} is damaged or is not a Clawstore database ({detail}); nothing was changed; \
         restore it from a backup, or move it and its -wal file away to start with an empty one",
        path.display()
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// It was written by a newer release.
    #[error(
        "the database was not opened: {} has schema {found}, this binary knows schemas up to {known}; run the release \
         that wrote it, or a newer one",
        path.display()
    )]
    SchemaNewer {
        /// The database file.
        path: PathBuf,
        /// Schema number of the file.
        found: u32,
        /// Newest schema number of this binary.
        known: u32,
    },
    /// There is no room to set it up.
    #[error("the database was not opened: the disk of {} is full; make room and start again", path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// A setting that durability depends on did not take.
    #[error(
        "the database was not opened: {} has {setting}={found} where {wanted} is needed to keep acknowledged writes; \
         put the directory on a local disk",
        path.display()
    )]
    Setting {
        /// The database file.
        path: PathBuf,
        /// Name of the pragma.
        setting: &'static str,
        /// What was asked for.
        wanted: String,
        /// What was read back.
        found: String,
    },
    /// Anything else.
    #[error("the database was not opened: {}: {detail}; check that the directory is on a healthy local disk", path.display())]
    Other {
        /// The file or directory.
        path: PathBuf,
        /// What the system or SQLite said.
        detail: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl OpenError {
    pub(crate) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let detail = error.to_string();
        let Some(code) = error.sqlite_error().map(|e| e.extended_code) else { return Self::Other { path, detail } };
        match code & 0xff {
            ffi::SQLITE_NOTADB | ffi::SQLITE_CORRUPT => Self::Corrupt { path, detail },
            ffi::SQLITE_FULL => Self::DiskFull { path },
            // The index of the WAL is a file on the same disk.
            _ if code == ffi::SQLITE_IOERR_SHMSIZE => Self::DiskFull { path },
            ffi::SQLITE_READONLY | ffi::SQLITE_PERM => Self::NotWritable { path },
            ffi::SQLITE_CANTOPEN => Self::NotWritable { path },
            _ => Self::Other { path, detail },
        }
    }

    pub(crate) fn from_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::Other { path, detail: error.to_string() },
        }
    }
}
