//! The backend: a database opened for writing.
//!
//! Owns: opening and closing, and which thread does what. Does not own: the work itself (`writer`, `reader`).

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendErrorKind, BackendFuture, Batch, CommitBatches, ReadEntries, RowOutcome, ScanEntries, SortedItem,
    SortedQuery, VersionInfo, VersionQuery,
};
use clawstore_core::{Entry, EntryKey, StoreId};
use rusqlite::Connection;

use crate::connection::{database_path, open_in_memory, open_writer};
use crate::failure::Latch;
use crate::lock_file::LockFile;
use crate::migrations::migrate;
use crate::open_error::OpenError;
use crate::reader::{ReadJob, SqliteReader};
use crate::worker::Worker;
use crate::writer::{Job, Writer};

/// What can be chosen. The default suits a game server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// Page cache of the writer, in bytes. It should hold what one batch changes: up to 1,024 rows in as many pages.
    pub writer_cache_bytes: usize,
    /// Threads that read, each with its own connection; at least 1.
    pub reader_threads: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { writer_cache_bytes: 64 * 1024 * 1024, reader_threads: 2 }
    }
}

/// A database that this process writes to. The directory is locked until it is closed or dropped.
///
/// Dropping waits until what was asked for is done and the file is closed; [`SqliteBackend::close`] does so by name.
#[derive(Debug)]
pub struct SqliteBackend {
    // First: readers are closed before the writer, whose close empties the WAL.
    reader: Option<SqliteReader>,
    writer: Worker<Job>,
}

impl SqliteBackend {
    /// Opens the database in a directory, and creates both if need be.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::Held`] while another process (or this one) has it open for writing.
    pub fn open(dir: &Path, options: &SqliteOptions) -> Result<Self, OpenError> {
        create_directory(dir)?;
        let lock = LockFile::acquire(dir)?;
        let mut connection = open_writer(dir, options.writer_cache_bytes)?;
        migrate(&mut connection, &database_path(dir))?;
        // The names of new files are data too: without this a power cut may leave a directory without a database.
        sync_directory(dir)?;
        let latch = Latch::default();
        let reader = SqliteReader::open(dir, options.reader_threads.max(1), latch.clone())?;
        Self::start(connection, Some(lock), latch, Some(reader), dir)
    }

    /// A database in memory. **Not durable**: a commit is gone with the process, and with this value.
    ///
    /// # Errors
    /// [`OpenError::Other`] where a thread cannot be started.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        let path = Path::new(":memory:");
        let mut connection = open_in_memory()?;
        migrate(&mut connection, path)?;
        Self::start(connection, None, Latch::default(), None, path)
    }

    fn start(
        connection: Connection,
        lock: Option<LockFile>,
        latch: Latch,
        reader: Option<SqliteReader>,
        path: &Path,
    ) -> Result<Self, OpenError> {
        let writer = Writer::new(connection, lock, latch.clone());
        // A batch that was lost with the thread may have been committed, and no thread will take another.
        let lost = BackendErrorKind::Halted;
        let writer = Worker::start("clawstore-write", latch, lost, vec![move |jobs: &_| writer.run(jobs)])
            .map_err(|error| OpenError::from_io(path, &error))?;
        Ok(Self { reader, writer })
    }

    /// Finishes what was asked for, empties the WAL into the database file and gives the lock back. Blocks meanwhile.
    /// Later calls fail as `Unavailable`. Closing again does nothing.
    pub fn close(&self) {
        if let Some(reader) = &self.reader {
            reader.close();
        }
        self.writer.close();
    }
}

impl ReadEntries for SqliteBackend {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        match &self.reader {
            Some(reader) => reader.read_entries(keys),
            None => Box::pin(self.writer.ask(move |reply| Job::Read(ReadJob::Entries(keys, reply)))),
        }
    }
}

impl CommitBatches for SqliteBackend {
    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        Box::pin(self.writer.ask(move |reply| Job::Commit(batch, reply)))
    }
}

impl ScanEntries for SqliteBackend {
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>> {
        match &self.reader {
            Some(reader) => reader.list_stores(),
            None => Box::pin(self.writer.ask(|reply| Job::Read(ReadJob::Stores(reply)))),
        }
    }

    fn list_keys(
        &self,
        store: Arc<StoreId>,
        after: Option<Arc<str>>,
        limit: usize,
    ) -> BackendFuture<'_, Vec<EntryKey>> {
        match &self.reader {
            Some(reader) => reader.list_keys(store, after, limit),
            None => {
                let job = move |reply| Job::Read(ReadJob::Keys { store, after, limit, reply });
                Box::pin(self.writer.ask(job))
            }
        }
    }

    fn read_version(&self, key: EntryKey, revision: u64) -> BackendFuture<'_, Option<Entry>> {
        match &self.reader {
            Some(reader) => reader.read_version(key, revision),
            None => Box::pin(self.writer.ask(move |reply| Job::Read(ReadJob::Version(key, revision, reply)))),
        }
    }

    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>> {
        match &self.reader {
            Some(reader) => reader.list_versions(query),
            None => Box::pin(self.writer.ask(move |reply| Job::Read(ReadJob::Versions(query, reply)))),
        }
    }

    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>> {
        match &self.reader {
            Some(reader) => reader.list_sorted(query),
            None => Box::pin(self.writer.ask(move |reply| Job::Read(ReadJob::Sorted(query, reply)))),
        }
    }
}

impl Backend for SqliteBackend {}

/// Creates what is missing of a path, and makes the new names durable.
fn create_directory(dir: &Path) -> Result<(), OpenError> {
    if dir.is_dir() {
        return Ok(());
    }
    let missing = dir.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).count();
    fs::create_dir_all(dir).map_err(|source| OpenError::CreateDirectory { path: dir.to_owned(), source })?;
    for created in dir.ancestors().take(missing) {
        let parent = created.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        sync_directory(parent)?;
    }
    Ok(())
}

#[cfg(unix)]
fn sync_directory(dir: &Path) -> Result<(), OpenError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| OpenError::from_io(dir, &error))
}

/// Only Unix can sync a directory, and only there it is needed.
#[cfg(not(unix))]
fn sync_directory(_dir: &Path) -> Result<(), OpenError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_the_writer_leaves_nobody_waiting() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let backend = SqliteBackend::open_in_memory().expect("opens");
        let batch =
            Arc::new(Batch { lane: clawstore_core::backend::LaneId::default(), seq: 1, digest: 1, rows: Vec::new() });
        let kinds = runtime.block_on(async {
            let crash = backend.writer.ask(Job::Panic).await.expect_err("the thread is gone").kind;
            let behind = backend.commit_batch(Arc::clone(&batch)).await.expect_err("refused").kind;
            [crash, behind]
        });
        assert_eq!(kinds, [BackendErrorKind::Halted; 2]);
        backend.close();
    }
}
