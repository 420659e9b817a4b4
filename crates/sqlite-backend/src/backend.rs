//! The backend: a database opened for writing.
//!
//! Owns: opening and closing, and which thread does what. Does not own: the work itself (`writer`, `reader`).

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, BackendFuture, Batch, CommitBatches, Deletion, ExpireHistory, Kept,
    KeyItem, KeyRange, ManageGames, ReadEntries, Restoration, RowOutcome, ScanEntries, Snapshot, SortedItem,
    SortedQuery, StoreInfo, StoresQuery, Sweep, VersionInfo, VersionQuery,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey, GameId, StoreId};
use rusqlite::Connection;

use crate::connection::{database_path, open_in_memory, open_writer};
use crate::failure::Latch;
use crate::lock_file::LockFile;
use crate::migrations::migrate;
use crate::open_error::OpenError;
use crate::reader::SqliteReader;
use crate::worker::Worker;
use crate::writer::{Job, Step, Writer};

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
    reader: SqliteReader,
    writer: Arc<Worker<Job>>,
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
        let writer = Writer::new(connection, lock, latch.clone()).map_err(|e| OpenError::from_sqlite(path, &e))?;
        // A batch that was lost with the thread may have been committed, and no thread will take another.
        let lost = BackendErrorKind::Halted;
        let writer = Worker::start("clawstore-write", latch, lost, vec![move |jobs: &_| writer.run(jobs)])
            .map_err(|error| OpenError::from_io(path, &error))?;
        let writer = Arc::new(writer);
        let reader = reader.unwrap_or_else(|| SqliteReader::through(Arc::clone(&writer)));
        Ok(Self { reader, writer })
    }

    /// Has the writer do something in its turn.
    fn chore<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, BackendError> + Send + 'static,
    ) -> BackendFuture<'_, T> {
        Box::pin(self.writer.ask(move |reply| Job::chore(reply, work)))
    }

    /// Has the writer delete at most `rows` rows, in steps that are bounded by bytes too: between two of them it commits batches.
    fn in_steps(
        &self,
        rows: usize,
        step: impl Fn(&mut Writer, usize) -> Result<Step, BackendError> + Clone + Send + 'static,
    ) -> BackendFuture<'_, usize> {
        Box::pin(async move {
            let mut deleted = 0;
            while deleted < rows {
                let (step, left) = (step.clone(), rows - deleted);
                let done = self.chore(move |writer| step(writer, left)).await?;
                deleted += done.deleted;
                if done.is_over {
                    break;
                }
            }
            Ok(deleted)
        })
    }

    /// Finishes what was asked for, empties the WAL into the database file and gives the lock back. Blocks meanwhile.
    /// Later calls fail as `Unavailable`. Closing again does nothing.
    pub fn close(&self) {
        self.reader.close();
        self.writer.close();
    }
}

impl ReadEntries for SqliteBackend {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        self.reader.read_entries(keys)
    }
}

impl CommitBatches for SqliteBackend {
    fn commit_batch(&self, batch: Arc<Batch>) -> BackendFuture<'_, Vec<RowOutcome>> {
        Box::pin(self.writer.ask(move |reply| Job::Commit(batch, reply)))
    }
}

impl ScanEntries for SqliteBackend {
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>> {
        self.reader.list_stores()
    }

    fn list_game_stores(&self, query: StoresQuery) -> BackendFuture<'_, Vec<StoreInfo>> {
        self.reader.list_game_stores(query)
    }

    fn list_keys(&self, range: KeyRange) -> BackendFuture<'_, Vec<KeyItem>> {
        self.reader.list_keys(range)
    }

    fn read_version(&self, key: EntryKey, id: VersionId, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        self.reader.read_version(key, id, kept)
    }

    fn read_version_at(&self, key: EntryKey, at: Timestamp, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        self.reader.read_version_at(key, at, kept)
    }

    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>> {
        self.reader.list_versions(query)
    }

    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>> {
        self.reader.list_sorted(query)
    }
}

impl ExpireHistory for SqliteBackend {
    fn expire(&self, sweep: Arc<Sweep>) -> BackendFuture<'_, usize> {
        self.in_steps(sweep.rows, move |writer, rows| writer.expire(&sweep, rows))
    }

    fn remove_version(&self, key: EntryKey, id: VersionId) -> BackendFuture<'_, ()> {
        self.chore(move |writer| writer.remove_version(&key, id))
    }
}

impl ManageGames for SqliteBackend {
    fn take_snapshot(&self, game: GameId, at: Timestamp, _is_simulated: bool) -> BackendFuture<'_, Snapshot> {
        self.chore(move |writer| writer.take_snapshot(game, at))
    }

    fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>> {
        self.reader.deleted_games()
    }

    fn delete_game(&self, game: GameId, at: Timestamp) -> BackendFuture<'_, Deletion> {
        self.chore(move |writer| writer.delete_game(game, at))
    }

    fn restore_game(&self, game: GameId) -> BackendFuture<'_, Restoration> {
        self.chore(move |writer| writer.restore_game(game))
    }

    fn purge_game(&self, game: GameId, rows: usize) -> BackendFuture<'_, usize> {
        self.in_steps(rows, move |writer, rows| writer.purge_game(game, rows))
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
            let crash =
                backend.chore(|_| -> Result<(), _> { panic!("asked to") }).await.expect_err("the thread is gone").kind;
            let behind = backend.commit_batch(Arc::clone(&batch)).await.expect_err("refused").kind;
            [crash, behind]
        });
        assert_eq!(kinds, [BackendErrorKind::Halted; 2]);
        backend.close();
    }
}
