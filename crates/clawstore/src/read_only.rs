//! Looking into a database without owning it.
//!
//! Owns: read-only access for tools, also while servers run. Does not own: opening one for writing (`builder`).

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

use clawstore_core::backend::{BackendError, BackendErrorKind, ReadEntries, ScanEntries};
use clawstore_core::{Entry, EntryKey, GameId, StoreId, StoreKind};
#[cfg(feature = "postgres")]
use clawstore_postgres::{PgBackend, PgSettings};
#[cfg(feature = "sqlite")]
use clawstore_sqlite::SqliteReader;

use crate::builder::OpenError;
use crate::data_store::StoreError;
use crate::database::Database;
use crate::runtime::{Running, Runtime};

/// What can be looked into.
trait Look: ReadEntries + ScanEntries {}

impl<T: ReadEntries + ScanEntries> Look for T {}

/// Read-only access to a database, also while servers write it.
pub struct ReadOnly {
    source: Arc<dyn Look>,
    /// What the source needs to run on.
    runtime: Running,
}

impl std::fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnly").finish_non_exhaustive()
    }
}

impl ReadOnly {
    /// Opens a database: an embedded one without taking its lock, one of Postgres without joining its servers. Blocks; writes
    /// nothing. A database in memory or of the caller's own is seen by nobody else: it is opened as an empty one.
    ///
    /// # Errors
    /// If there is no readable database.
    pub fn open_database(database: Database) -> Result<Self, OpenError> {
        let runtime = Running::start(Runtime::Own { workers: 1 })?;
        let source: Arc<dyn Look> = match database {
            #[cfg(feature = "sqlite")]
            Database::Directory(path) => Arc::new(SqliteReader::open_read_only(&path)?),
            #[cfg(feature = "sqlite")]
            Database::Memory => Arc::new(SqliteReader::open_read_only(":memory:".as_ref())?),
            #[cfg(feature = "postgres")]
            Database::Postgres(options) => {
                let mut settings = PgSettings::default();
                settings.migrate = false;
                Arc::new(runtime.wait_for(async move { PgBackend::open(*options, settings).await })??)
            }
            Database::Custom(_) => {
                let reason = "a backend of one's own is looked into by its owner".to_owned();
                return Err(OpenError::Url { url: "custom".into(), reason });
            }
        };
        Ok(Self { source, runtime })
    }

    /// Opens the embedded store in `directory` without taking its lock.
    ///
    /// # Errors
    /// If there is no readable store.
    #[cfg(feature = "sqlite")]
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_database(Database::directory(directory))
    }

    /// Every store with its game and scope, in order.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn stores(&self) -> Result<Vec<StoreId>, StoreError> {
        Ok(self.look(|source| async move { source.list_stores().await }).await?)
    }

    /// Live keys of a standard store (an empty name is the global data store) after `after`, at most `limit`, in byte order.
    ///
    /// # Errors
    /// If a name is not legal, or the store cannot be read.
    pub async fn keys(
        &self,
        game: GameId,
        store: &str,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let store = store_id(game, store, scope)?;
        let after = after.map(Into::into);
        let keys = self.look(move |source| async move { source.list_keys(store, after, limit).await }).await?;
        Ok(keys.into_iter().map(|key| key.key.to_string()).collect())
    }

    /// The entry of a key; its value is `None` if it was removed or never written.
    ///
    /// # Errors
    /// If a name is not legal, or the store cannot be read.
    pub async fn entry(&self, game: GameId, store: &str, scope: &str, key: &str) -> Result<Entry, StoreError> {
        let store = store_id(game, store, scope)?;
        let key = EntryKey::new(&store, key.as_bytes())?;
        let entries = self.look(move |source| async move { source.read_entries(vec![key]).await }).await?;
        Ok(entries.into_iter().next().unwrap_or_default())
    }

    /// Runs a look on the runtime of the source: the caller may be anywhere.
    async fn look<T, F>(&self, f: impl FnOnce(Arc<dyn Look>) -> F) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BackendError>> + Send + 'static,
    {
        let stopped = |_| BackendError::new(BackendErrorKind::Unavailable, "the runtime has stopped; nothing was read");
        self.runtime.handle().spawn(f(Arc::clone(&self.source))).await.map_err(stopped)?
    }
}

/// The store of a name and scope; an empty name is the global data store.
fn store_id(game: GameId, store: &str, scope: &str) -> Result<Arc<StoreId>, StoreError> {
    if store.is_empty() {
        return Ok(Arc::new(StoreId::global(game)));
    }
    Ok(Arc::new(StoreId::new(game, StoreKind::Standard, store.as_bytes(), scope.as_bytes())?))
}
