//! A game, for the engine and for Rust code.
//!
//! Owns: opening servers and stores of one game. Does not own: its actors (`clawstore-actors`).

use std::sync::Arc;

use clawstore_actors::{GameStats, ServerIdentity};
use clawstore_core::GameId;
use clawstore_core::entropy::Entropy;

use crate::data_store::{DataStore, StoreError};
use crate::server::{Server, ServerOptions};

/// One game of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Game {
    inner: Arc<clawstore_actors::Game>,
    entropy: Arc<dyn Entropy>,
}

impl Game {
    pub(crate) fn new(inner: Arc<clawstore_actors::Game>, entropy: Arc<dyn Entropy>) -> Self {
        Self { inner, entropy }
    }

    /// Which game.
    pub fn id(&self) -> GameId {
        self.inner.id()
    }

    /// A server: one per VM. Without a job id it gets a random one.
    pub fn server(&self, options: ServerOptions) -> Server {
        let job_id = options.job_id.unwrap_or_else(|| self.random_job_id());
        let identity = ServerIdentity { job_id, place_id: options.place_id, max_players: options.max_players };
        Server::new(&self.inner, identity)
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

    /// Why the store will not work again until it is reopened (an fsync error), if so. Writes fail at once then.
    pub fn halted(&self) -> Option<&str> {
        self.inner.halted()
    }

    /// Figures as of now; percentiles since the last look.
    pub fn stats(&self) -> GameStats {
        self.inner.stats()
    }
}
