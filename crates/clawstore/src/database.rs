//! Which database, and looking into one without owning it.
//!
//! Owns: naming a database, and read-only access for tools while a server runs. Does not own: opening one for writing
//! (`builder`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clawstore_core::backend::{Backend, ReadEntries, ScanEntries};
use clawstore_core::{Entry, EntryKey, GameId, StoreId, StoreKind};
use clawstore_sqlite::SqliteReader;

use crate::builder::OpenError;
use crate::data_store::StoreError;

/// Where data is kept.
#[derive(Debug, Clone)]
pub enum Database {
    /// The embedded store in this directory. One process writes; tools may read beside it.
    Directory(PathBuf),
    /// The embedded store in memory: gone with the process. For tests.
    Memory,
    /// A backend of the caller's own.
    Custom(Arc<dyn Backend>),
}

impl Database {
    /// The embedded store in a directory, made if it is not there.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::Directory(path.into())
    }

    /// What `CLAWSTORE_DB` names, else the embedded store in `directory`. See [`Database::parse`].
    ///
    /// # Errors
    /// As [`Database::parse`].
    pub fn from_env_or(directory: impl Into<PathBuf>) -> Result<Self, OpenError> {
        match std::env::var("CLAWSTORE_DB") {
            Ok(name) => Self::parse(&name),
            Err(_) => Ok(Self::directory(directory)),
        }
    }

    /// `:memory:` or a directory.
    ///
    /// # Errors
    /// For a URL: servers are not supported yet, and a directory of that name is not what was meant.
    pub fn parse(name: &str) -> Result<Self, OpenError> {
        match name {
            ":memory:" => Ok(Self::Memory),
            url if url.contains("://") => Err(OpenError::UnsupportedUrl(url.split("://").next().unwrap_or(url).into())),
            path => Ok(Self::directory(path)),
        }
    }
}

/// Read-only access to an embedded store, also while a server writes it.
#[derive(Debug)]
pub struct ReadOnly {
    reader: SqliteReader,
}

impl ReadOnly {
    /// Opens the store in `directory` without taking its lock.
    ///
    /// # Errors
    /// If there is no readable store.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Ok(Self { reader: SqliteReader::open_read_only(directory)? })
    }

    /// Every store with its game and scope, in order.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn stores(&self) -> Result<Vec<StoreId>, StoreError> {
        Ok(self.reader.list_stores().await?)
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
        let keys = self.reader.list_keys(store, after.map(Into::into), limit).await?;
        Ok(keys.into_iter().map(|key| key.key.to_string()).collect())
    }

    /// The entry of a key; its value is `None` if it was removed or never written.
    ///
    /// # Errors
    /// If a name is not legal, or the store cannot be read.
    pub async fn entry(&self, game: GameId, store: &str, scope: &str, key: &str) -> Result<Entry, StoreError> {
        let store = store_id(game, store, scope)?;
        let key = EntryKey::new(&store, key.as_bytes())?;
        Ok(self.reader.read_entries(vec![key]).await?.pop().unwrap_or_default())
    }
}

/// The store of a name and scope; an empty name is the global data store.
fn store_id(game: GameId, store: &str, scope: &str) -> Result<Arc<StoreId>, StoreError> {
    if store.is_empty() {
        return Ok(Arc::new(StoreId::global(game)));
    }
    Ok(Arc::new(StoreId::new(game, StoreKind::Standard, store.as_bytes(), scope.as_bytes())?))
}
