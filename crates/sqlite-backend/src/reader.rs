//! Reading what is committed.
//!
//! Owns: the reader for commands that run beside a server, the threads that read, and what each read is called. Does not
//! own: the statements (`scans`, `versions`), caches, or which read may be shared.

use std::path::Path;
use std::sync::Arc;

use clawstore_core::backend::{
    BackendErrorKind, BackendFuture, Kept, KeyItem, KeyRange, ReadEntries, ScanEntries, SortedItem, SortedQuery,
    StoreInfo, StoresQuery, VersionInfo, VersionQuery,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Entry, EntryKey, GameId, StoreId};
use rusqlite::Connection;

use crate::connection::{database_path, open_reader};
use crate::failure::{Latch, Stage, backend_error};
use crate::open_error::OpenError;
use crate::store_ids::StoreIds;
use crate::worker::{Jobs, Reply, Worker};
use crate::writer::Job;
use crate::{migrations, scans, versions};

/// Reads a database, also while a server writes to it. Takes no lock and changes nothing.
#[derive(Debug)]
pub struct SqliteReader {
    threads: Threads,
}

/// Who runs the reads.
#[derive(Debug)]
enum Threads {
    /// Threads with connections of their own.
    Own(Worker<ReadJob>),
    /// The writer: a database in memory has no second connection.
    Writer(Arc<Worker<Job>>),
}

/// What a reader is asked for. It sends its answer itself.
pub(crate) struct ReadJob(Box<Read>);

type Read = dyn FnOnce(&Connection, &mut StoreIds) + Send;

impl ReadJob {
    fn new<T: Send + 'static>(
        reply: Reply<T>,
        read: impl FnOnce(&Connection, &mut StoreIds) -> rusqlite::Result<T> + Send + 'static,
    ) -> Self {
        Self(Box::new(move |connection, stores| {
            let result = read(connection, stores).map_err(|error| backend_error(Stage::Read, &error));
            // Whoever asked may be gone.
            let _ = reply.send(result);
        }))
    }

    pub(crate) fn run(self, connection: &Connection, stores: &mut StoreIds) {
        (self.0)(connection, stores);
    }
}

impl SqliteReader {
    /// Opens the database in a directory.
    ///
    /// # Errors
    /// [`OpenError::Missing`] without a database, [`OpenError::Corrupt`] and [`OpenError::SchemaNewer`] as when opening
    /// to write; [`OpenError::NotWritable`] if no server is running and this user may not write to the directory: SQLite
    /// needs its `-shm` file there even to read.
    pub fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        Self::open(dir, 1, Latch::default())
    }

    pub(crate) fn open(dir: &Path, threads: usize, latch: Latch) -> Result<Self, OpenError> {
        let path = database_path(dir);
        let mut bodies = Vec::with_capacity(threads);
        for _ in 0..threads {
            let connection = open_reader(dir)?;
            migrations::check_current(&connection, &path)?;
            bodies.push(move |jobs: &Jobs<ReadJob>| {
                let mut stores = StoreIds::default();
                while let Some(job) = jobs.next() {
                    job.run(&connection, &mut stores);
                }
            });
        }
        let worker = Worker::start("clawstore-read", latch, BackendErrorKind::Internal, bodies)
            .map_err(|error| OpenError::from_io(&path, &error))?;
        Ok(Self { threads: Threads::Own(worker) })
    }

    /// Reads through the connection that writes.
    pub(crate) fn through(writer: Arc<Worker<Job>>) -> Self {
        Self { threads: Threads::Writer(writer) }
    }

    /// Games that are deleted and not purged, with the time of their deletion.
    ///
    /// # Errors
    /// As any read of a backend.
    pub fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>> {
        self.read(|connection, _| scans::list_deleted_games(connection))
    }

    pub(crate) fn close(&self) {
        if let Threads::Own(worker) = &self.threads {
            worker.close();
        }
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &mut StoreIds) -> rusqlite::Result<T> + Send + 'static,
    ) -> BackendFuture<'_, T> {
        match &self.threads {
            Threads::Own(worker) => Box::pin(worker.ask(move |reply| ReadJob::new(reply, read))),
            Threads::Writer(worker) => Box::pin(worker.ask(move |reply| Job::Read(ReadJob::new(reply, read)))),
        }
    }
}

impl ReadEntries for SqliteReader {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        self.read(move |connection, stores| scans::read_entries(connection, stores, &keys))
    }
}

impl ScanEntries for SqliteReader {
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>> {
        self.read(|connection, _| scans::list_stores(connection))
    }

    fn list_game_stores(&self, query: StoresQuery) -> BackendFuture<'_, Vec<StoreInfo>> {
        self.read(move |connection, _| scans::list_game_stores(connection, &query))
    }

    fn list_keys(&self, range: KeyRange) -> BackendFuture<'_, Vec<KeyItem>> {
        self.read(move |connection, stores| scans::list_keys(connection, stores, &range))
    }

    fn read_version(&self, key: EntryKey, id: VersionId, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        self.read(move |connection, stores| versions::read(connection, stores, &key, id, kept))
    }

    fn read_version_at(&self, key: EntryKey, at: Timestamp, kept: Kept) -> BackendFuture<'_, Option<Entry>> {
        self.read(move |connection, stores| versions::read_at(connection, stores, &key, at, kept))
    }

    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>> {
        self.read(move |connection, stores| versions::list(connection, stores, &query))
    }

    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>> {
        self.read(move |connection, stores| scans::list_sorted(connection, stores, &query))
    }
}
