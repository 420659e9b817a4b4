//! Reading what is committed.
//!
//! Owns: the statements for entries, stores and keys (versions and sorted lists are in `scans`), the threads that run them, and the reader for commands that run beside a server. Does not
//! own: caches, or which read may be shared.

use std::path::Path;
use std::sync::Arc;

use clawstore_core::backend::{
    BackendErrorKind, BackendFuture, ReadEntries, ScanEntries, SortedItem, SortedQuery, VersionInfo, VersionQuery,
};
use clawstore_core::{Entry, EntryKey, GameId, StoreId};
use rusqlite::{Connection, Row};

use crate::columns::{RowKey, kind_from_text, read_entry, unreadable};
use crate::connection::{database_path, open_reader};
use crate::failure::{Latch, Stage, backend_error};
use crate::migrations;
use crate::open_error::OpenError;
use crate::scans;
use crate::store_ids::StoreIds;
use crate::worker::{Jobs, Reply, Worker};

/// Reads a database, also while a server writes to it. Takes no lock and changes nothing.
#[derive(Debug)]
pub struct SqliteReader {
    worker: Worker<ReadJob>,
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
        Ok(Self { worker })
    }

    pub(crate) fn close(&self) {
        self.worker.close();
    }
}

impl ReadEntries for SqliteReader {
    fn read_entries(&self, keys: Vec<EntryKey>) -> BackendFuture<'_, Vec<Entry>> {
        Box::pin(self.worker.ask(move |reply| ReadJob::Entries(keys, reply)))
    }
}

impl ScanEntries for SqliteReader {
    fn list_stores(&self) -> BackendFuture<'_, Vec<StoreId>> {
        Box::pin(self.worker.ask(ReadJob::Stores))
    }

    fn list_keys(
        &self,
        store: Arc<StoreId>,
        after: Option<Arc<str>>,
        limit: usize,
    ) -> BackendFuture<'_, Vec<EntryKey>> {
        Box::pin(self.worker.ask(move |reply| ReadJob::Keys { store, after, limit, reply }))
    }

    fn read_version(&self, key: EntryKey, revision: u64) -> BackendFuture<'_, Option<Entry>> {
        Box::pin(self.worker.ask(move |reply| ReadJob::Version(key, revision, reply)))
    }

    fn list_versions(&self, query: VersionQuery) -> BackendFuture<'_, Vec<VersionInfo>> {
        Box::pin(self.worker.ask(move |reply| ReadJob::Versions(query, reply)))
    }

    fn list_sorted(&self, query: SortedQuery) -> BackendFuture<'_, Vec<SortedItem>> {
        Box::pin(self.worker.ask(move |reply| ReadJob::Sorted(query, reply)))
    }
}

/// What a reader is asked for.
pub(crate) enum ReadJob {
    Entries(Vec<EntryKey>, Reply<Vec<Entry>>),
    Stores(Reply<Vec<StoreId>>),
    Keys { store: Arc<StoreId>, after: Option<Arc<str>>, limit: usize, reply: Reply<Vec<EntryKey>> },
    Version(EntryKey, u64, Reply<Option<Entry>>),
    Versions(VersionQuery, Reply<Vec<VersionInfo>>),
    Sorted(SortedQuery, Reply<Vec<SortedItem>>),
}

impl ReadJob {
    pub(crate) fn run(self, connection: &Connection, stores: &mut StoreIds) {
        match self {
            Self::Entries(keys, reply) => answer(reply, read_entries(connection, stores, &keys)),
            Self::Stores(reply) => answer(reply, list_stores(connection)),
            Self::Keys { store, after, limit, reply } => {
                answer(reply, list_keys(connection, stores, &store, after.as_deref(), limit));
            }
            Self::Version(key, revision, reply) => {
                answer(reply, scans::read_version(connection, stores, &key, revision));
            }
            Self::Versions(query, reply) => answer(reply, scans::list_versions(connection, stores, &query)),
            Self::Sorted(query, reply) => answer(reply, scans::list_sorted(connection, stores, &query)),
        }
    }
}

fn answer<T>(reply: Reply<T>, result: rusqlite::Result<T>) {
    // Whoever asked may be gone.
    let _ = reply.send(result.map_err(|error| backend_error(Stage::Read, &error)));
}

fn read_entries(connection: &Connection, stores: &mut StoreIds, keys: &[EntryKey]) -> rusqlite::Result<Vec<Entry>> {
    // One transaction for many keys: else each of them takes and gives back the read lock.
    let transaction = if keys.len() > 1 { Some(connection.unchecked_transaction()?) } else { None };
    let mut statement = connection.prepare_cached(include_str!("../queries/read_entry.sql"))?;
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let entry = match stores.find(connection, &key.store)? {
            Some(store) => {
                RowKey { store, scope: &key.store.scope, key: &key.key }.bind(&mut statement)?;
                statement.raw_query().next()?.map(read_entry).transpose()?
            }
            None => None,
        };
        entries.push(entry.unwrap_or_default());
    }
    drop(statement);
    if let Some(transaction) = transaction {
        transaction.commit()?;
    }
    Ok(entries)
}

fn list_stores(connection: &Connection) -> rusqlite::Result<Vec<StoreId>> {
    let mut statement = connection.prepare_cached(include_str!("../queries/list_stores.sql"))?;
    let mut stores = statement.query_map([], read_store)?.collect::<rusqlite::Result<Vec<_>>>()?;
    // Games are text in SQL and numbers here, so the order is made here.
    stores.sort_unstable();
    Ok(stores)
}

fn read_store(row: &Row<'_>) -> rusqlite::Result<StoreId> {
    let game = row.get_ref(0)?.as_str().map_err(|error| unreadable(0, error))?;
    Ok(StoreId {
        game: game.parse::<GameId>().map_err(|error| unreadable(0, error))?,
        kind: kind_from_text(row.get_ref(1)?.as_str().map_err(|error| unreadable(1, error))?)?,
        name: row.get(2)?,
        scope: row.get(3)?,
    })
}

fn list_keys(
    connection: &Connection,
    stores: &mut StoreIds,
    store: &Arc<StoreId>,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<EntryKey>> {
    let Some(id) = stores.find(connection, store)? else { return Ok(Vec::new()) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(include_str!("../queries/list_keys.sql"))?;
    // No key is empty, so the empty text stands before all of them.
    let rows = statement.query_map((id, &*store.scope, after.unwrap_or_default(), limit), |row| {
        let key = row.get_ref(0)?.as_str().map_err(|error| unreadable(0, error))?;
        Ok(EntryKey { store: Arc::clone(store), key: key.into() })
    })?;
    let keys = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    debug_assert!(keys.iter().is_sorted(), "BINARY order is byte order");
    Ok(keys)
}
