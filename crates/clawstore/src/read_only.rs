//! Looking into a database without owning it.
//!
//! Owns: read-only access for tools, also while servers run. Does not own: opening one for writing (`builder`).

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

use clawstore_actors::DeletedGame;
#[cfg(feature = "postgres")]
use clawstore_core::backend::ManageGames;
use clawstore_core::backend::{
    BackendError, BackendErrorKind, BackendFuture, Kept, KeyRange, ReadEntries, ScanEntries,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Entry, EntryKey, GameId, StoreId, StoreKind};
#[cfg(feature = "postgres")]
use clawstore_postgres::{PgBackend, PgSettings};
#[cfg(feature = "sqlite")]
use clawstore_sqlite::SqliteReader;

use crate::builder::OpenError;
use crate::data_store::{StoreError, check_texts};
use crate::database::Database;
use crate::runtime::{Running, Runtime};

/// What can be looked into.
trait Look: ReadEntries + ScanEntries {
    fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>>;
}

#[cfg(feature = "sqlite")]
impl Look for SqliteReader {
    fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>> {
        SqliteReader::deleted_games(self)
    }
}

#[cfg(feature = "postgres")]
impl Look for PgBackend {
    fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>> {
        ManageGames::deleted_games(self)
    }
}

/// How much a game has stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GameSize {
    /// Stores, standard and ordered ones, whatever their scopes.
    pub stores: u64,
    /// Keys that are not removed.
    pub keys: u64,
}

/// Keys that are asked for at a time, however few of them are live.
const KEYS_AT_ONCE: usize = 1_000;

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
        check_texts([after.unwrap_or_default()])?;
        let (mut live, mut after) = (Vec::new(), Some(after.unwrap_or_default().to_owned()));
        while let Some(last) = after.take().filter(|_| live.len() < limit) {
            let (keys, next) = self.live_keys(&store, &last).await?;
            live.extend(keys);
            after = next;
        }
        live.truncate(limit);
        Ok(live)
    }

    /// Those of the next [`KEYS_AT_ONCE`] keys that are live, and behind what to go on, unless they are the last ones.
    async fn live_keys(&self, store: &Arc<StoreId>, after: &str) -> Result<(Vec<String>, Option<String>), StoreError> {
        let range = KeyRange::of_scope(Arc::clone(store), after, Kept::default(), KEYS_AT_ONCE);
        let keys = self.look(move |source| async move { source.list_keys(range).await }).await?;
        let next = keys.last().filter(|_| keys.len() == KEYS_AT_ONCE).map(|item| item.place.key.to_string());
        let live = keys.iter().filter(|item| !item.is_deleted).map(|item| item.place.key.to_string());
        Ok((live.collect(), next))
    }

    /// Games that are deleted and not purged.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn deleted_games(&self) -> Result<Vec<DeletedGame>, StoreError> {
        let deleted = self.look(|source| async move { source.deleted_games().await }).await?;
        Ok(deleted.into_iter().map(|(game, at)| DeletedGame { game, at }).collect())
    }

    /// How much a game has stored, deleted or not. Counts every key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn size(&self, game: GameId) -> Result<GameSize, StoreError> {
        let scopes: Vec<_> =
            self.stores().await?.into_iter().filter(|store| store.game == game).map(Arc::new).collect();
        let mut names: Vec<_> = scopes.iter().map(|scope| (scope.kind, &scope.name)).collect();
        names.sort_unstable();
        names.dedup();
        let mut size = GameSize { stores: names.len() as u64, keys: 0 };
        for scope in &scopes {
            let mut after = Some(String::new());
            while let Some(last) = after {
                let (keys, next) = self.live_keys(scope, &last).await?;
                size.keys += keys.len() as u64;
                after = next;
            }
        }
        Ok(size)
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

#[cfg(test)]
mod tests {
    use clawstore_core::Value;
    use clawstore_core::backend::ManageGames;
    use clawstore_testkit::{GatedBackend, MemoryBackend};

    use super::*;

    impl Look for GatedBackend {
        fn deleted_games(&self) -> BackendFuture<'_, Vec<(GameId, Timestamp)>> {
            ManageGames::deleted_games(self)
        }
    }

    #[test]
    fn removed_keys_are_passed_over_many_at_a_time() {
        let (game, memory) = (GameId::Number(7), MemoryBackend::new());
        let store = store_id(game, "Saves", "global").expect("legal");
        for n in 0..2_504 {
            let value = (n >= 2_500).then(|| Value::integer(n));
            let key = EntryKey::new(&store, format!("k{n:04}").as_bytes()).expect("legal");
            memory.overwrite(&key, Entry { revision: 1, value, ..Entry::default() });
        }
        let gate = Arc::new(GatedBackend::new(Arc::new(memory)));
        let runtime = Running::start(Runtime::Own { workers: 1 }).expect("a runtime");
        let reader = ReadOnly { source: Arc::clone(&gate) as Arc<dyn Look>, runtime };
        let test = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let keys = |after, limit| test.block_on(reader.keys(game, "Saves", "global", after, limit));
        assert_eq!(keys(None, 2).expect("a list"), ["k2500", "k2501"]);
        assert_eq!(*gate.reads_started().borrow(), 3);
        assert_eq!(keys(Some("k2501"), 2).expect("a list"), ["k2502", "k2503"]);
        assert_eq!(keys(Some("k2501"), 9).expect("a list").len(), 2);
        assert!(keys(None, 0).expect("a list").is_empty());
        assert!(matches!(keys(Some("a\0"), 1), Err(StoreError::Call(_))));
    }
}
