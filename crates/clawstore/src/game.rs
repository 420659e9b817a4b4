//! A game, for the engine and for Rust code.
//!
//! Owns: opening servers and stores of one game. Does not own: its actors (`clawstore-actors`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use clawstore_actors::{GameStats, ServerIdentity};
use clawstore_core::backend::StoreInfo;
use clawstore_core::entropy::Entropy;
use clawstore_core::limits::STORES_PAGE_MAX;
use clawstore_core::listing::{Page, StoreList};
use clawstore_core::ops::{Look, Reply};
use clawstore_core::{CallError, GameId, StoreId, StoreKind};
use clawstore_lua::Cache;
use tokio::task::JoinHandle;

use crate::data_store::{DataStore, Key, StoreError, check_texts};
use crate::ordered_data_store::OrderedDataStore;
use crate::server::{Server, ServerOptions};

/// Something that is being loaded, also if nobody waits for it. `None` if the store was closed first.
#[derive(Debug)]
pub struct Loading<T>(JoinHandle<T>);

impl<T> Future for Loading<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

/// One game of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Game {
    inner: Arc<clawstore_actors::Game>,
    entropy: Arc<dyn Entropy>,
    cache: Cache,
}

impl Game {
    pub(crate) fn new(inner: Arc<clawstore_actors::Game>, entropy: Arc<dyn Entropy>, cache: Cache) -> Self {
        Self { inner, entropy, cache }
    }

    pub(crate) fn inner(&self) -> &Arc<clawstore_actors::Game> {
        &self.inner
    }

    /// Which game.
    pub fn id(&self) -> GameId {
        self.inner.id()
    }

    /// A server: one per VM. Without a job id it gets a random one.
    pub fn server(&self, options: ServerOptions) -> Server {
        let job_id = options.job_id.unwrap_or_else(|| self.random_job_id());
        let ServerOptions { place_id, max_players, .. } = options;
        let identity = ServerIdentity { job_id, place_id, max_players, players: Arc::default() };
        Server::new(&self.inner, identity, self.cache)
    }

    fn random_job_id(&self) -> String {
        uuid::Builder::from_random_bytes(self.entropy.bits().to_be_bytes()).into_uuid().to_string()
    }

    /// A standard store in the default scope, for Rust code: the same data that scripts see.
    ///
    /// # Errors
    /// If the name is empty, longer than 50 bytes or has a NUL.
    pub fn data_store(&self, name: &str) -> Result<DataStore, StoreError> {
        self.scoped_data_store(name, clawstore_core::entry_key::DEFAULT_SCOPE)
    }

    /// A standard store in a scope.
    ///
    /// # Errors
    /// If name or scope is empty, longer than 50 bytes or has a NUL.
    pub fn scoped_data_store(&self, name: &str, scope: &str) -> Result<DataStore, StoreError> {
        DataStore::open(Arc::clone(&self.inner), name, scope)
    }

    /// An ordered store in the default scope.
    ///
    /// # Errors
    /// As [`Game::data_store`].
    pub fn ordered_data_store(&self, name: &str) -> Result<OrderedDataStore, StoreError> {
        self.scoped_ordered_data_store(name, clawstore_core::entry_key::DEFAULT_SCOPE)
    }

    /// An ordered store in a scope.
    ///
    /// # Errors
    /// As [`Game::scoped_data_store`].
    pub fn scoped_ordered_data_store(&self, name: &str, scope: &str) -> Result<OrderedDataStore, StoreError> {
        OrderedDataStore::open(Arc::clone(&self.inner), name, scope)
    }

    /// `ListDataStoresAsync`: the standard stores whose name begins with `prefix`, in byte order, behind the name `after`.
    ///
    /// # Errors
    /// If prefix or name has a NUL, or the store cannot be read.
    pub async fn stores(
        &self,
        prefix: &str,
        after: Option<&str>,
        size: usize,
    ) -> Result<Page<StoreInfo, Arc<str>>, StoreError> {
        check_texts([prefix, after.unwrap_or_default()])?;
        let size = size.clamp(1, STORES_PAGE_MAX);
        let list = StoreList { game: self.id(), prefix: prefix.into(), after: after.map(Into::into), size };
        match self.inner.look(Look::Stores(list)).await? {
            Reply::Stores(page) => Ok(page),
            _ => Err(CallError::internal().into()),
        }
    }

    /// Reads keys that will be asked for soon, many at a time: those of a player who joins. Starts at once and needs no runtime
    /// context; what it returns tells how many of them hold a value, and need not be waited for. What is read is shown for 4 s,
    /// as any value that was read.
    pub fn prefetch(&self, keys: impl IntoIterator<Item = Key>) -> Loading<usize> {
        let (game, keys): (_, Vec<_>) = (Arc::clone(&self.inner), keys.into_iter().map(|key| key.0).collect());
        Loading(self.inner.runtime().spawn(async move { game.prefetch(&keys).await }))
    }

    /// Reads whole stores ahead, in the default scope, until half of the cache's ceiling is filled: at the start of a server.
    /// As [`Game::prefetch`] else; tells how many keys were read.
    ///
    /// # Errors
    /// If a name is not legal. What is returned: if the keys of a store cannot be listed.
    pub fn preload<'a>(
        &self,
        stores: impl IntoIterator<Item = &'a str>,
    ) -> Result<Loading<Result<usize, StoreError>>, StoreError> {
        let scope = clawstore_core::entry_key::DEFAULT_SCOPE.as_bytes();
        let id = |name: &str| StoreId::new(self.id(), StoreKind::Standard, name.as_bytes(), scope).map(Arc::new);
        let (game, stores) = (Arc::clone(&self.inner), stores.into_iter().map(id).collect::<Result<Vec<_>, _>>()?);
        Ok(Loading(self.inner.runtime().spawn(async move { Ok(game.preload(&stores).await?) })))
    }

    /// Why the store will not work again until it is reopened (an fsync error), if so. Writes fail at once then.
    pub fn halted(&self) -> Option<&str> {
        self.inner.halted()
    }

    /// Figures as of now; percentiles since the last look.
    pub fn stats(&self) -> GameStats {
        self.inner.stats()
    }
}
