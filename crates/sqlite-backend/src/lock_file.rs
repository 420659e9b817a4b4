//! The file that keeps a second writer out.
//!
//! Owns: `LOCK`, its lock and the process id in it. Does not own: SQLite's own locks, which only order transactions.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::open_error::OpenError;

/// Name of the lock file in the database directory.
pub const LOCK_FILE: &str = "LOCK";

/// The right to write to a directory; ends when dropped, or when the process dies however it dies.
///
/// The file stays when the lock is given back: removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub(crate) struct LockFile {
    _locked: File,
}

impl LockFile {
    pub(crate) fn acquire(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(LOCK_FILE);
        let io_error = |error: std::io::Error| OpenError::from_io(&path, &error);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { path: dir.to_owned(), pid: read_pid(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        // Only the holder writes, so the number is of the holder; it is for people, the lock is what decides.
        file.set_len(0).map_err(io_error)?;
        file.seek(SeekFrom::Start(0)).map_err(io_error)?;
        writeln!(file, "{}", std::process::id()).map_err(io_error)?;
        Ok(Self { _locked: file })
    }
}

/// `None` where the holder has not written it yet.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
