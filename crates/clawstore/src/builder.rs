//! Opening a store.
//!
//! Owns: joining settings, database and runtime, and every error that opening can end in. Does not own: life after that
//! (`store`).

use std::sync::Arc;

use clawstore_actors::{Process, SystemClock};
use clawstore_core::clock::Clock;
use clawstore_core::entropy::Entropy;

use crate::config::{Config, ConfigError};
use crate::database::Database;
use crate::opened::Opened;
use crate::runtime::{Running, Runtime};
use crate::store::Clawstore;

/// Why a store could not be opened. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The embedded store could not be opened.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Embedded(#[from] clawstore_sqlite::OpenError),
    /// The Postgres database could not be opened.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] clawstore_postgres::OpenError),
    /// A URL that cannot be used.
    #[error("`{url}` cannot be used as a database: {reason}; nothing was opened")]
    Url {
        /// Without its password.
        url: String,
        /// What is wrong with it, or what can be used.
        reason: String,
    },
    /// The runtime could not be started.
    #[error("the runtime could not be started: {0}; nothing was opened")]
    Runtime(#[from] std::io::Error),
    /// An actor could not be started.
    #[error("an actor could not be started: {0}; nothing was opened")]
    Actor(String),
    /// The process could not be started.
    #[error(transparent)]
    Start(#[from] clawstore_actors::StartError),
    /// The game could not be opened.
    #[error(transparent)]
    Game(#[from] clawstore_actors::GameError),
}

/// Puts a store together. Start with [`Clawstore::builder`].
#[derive(Debug)]
pub struct Builder {
    config: Config,
    database: Database,
    runtime: Runtime,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let database = Database::usual();
        Self { config: Config::default(), database, runtime: Runtime::default(), clock: None, entropy: None }
    }

    /// Settings. Default: [`Config::default`].
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The database. Default: the embedded store in `./clawstore-data`; without the feature `sqlite`, Postgres as the variables
    /// of `libpq` name it.
    #[must_use]
    pub fn database(mut self, database: Database) -> Self {
        self.database = database;
        self
    }

    /// Where the actors run. Default: two workers of our own.
    #[must_use]
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// The clock. Default: the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Where random names (job ids) come from. Default: the machine's generator.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Opens the store, inside or outside of a tokio context; blocks for as long as the database takes to open.
    ///
    /// # Errors
    /// Typed: what was not opened, why, and what to do.
    pub fn open(self) -> Result<Clawstore, OpenError> {
        self.config.check()?;
        let runtime = Running::start(self.runtime)?;
        let opened = Opened::open(self.database, &runtime, self.config.migrate)?;
        let backend = Arc::clone(&opened.backend);
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::start()));
        let entropy: Arc<dyn Entropy> = self.entropy.unwrap_or_else(|| Arc::new(SystemEntropy));
        let (handle, config, bits) = (runtime.handle().clone(), self.config.actors, Arc::clone(&entropy));
        let process = runtime.wait_for(async move { Process::start(backend, clock, bits, handle, config).await })??;
        Ok(Clawstore::new(process, opened, runtime, entropy, self.config.universes, self.config.cache))
    }

    /// As [`Builder::open`], without blocking the calling task.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub async fn open_async(self) -> Result<Clawstore, OpenError> {
        let opened = tokio::task::spawn_blocking(move || self.open()).await;
        opened.unwrap_or_else(|error| Err(OpenError::Actor(error.to_string())))
    }
}

/// The machine's random generator.
#[derive(Debug)]
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bits(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128()
    }
}
