//! Opening a store.
//!
//! Owns: joining settings, database and runtime, and every error that opening can end in. Does not own: life after that
//! (`store`).

use std::sync::Arc;

use clawstore_actors::{Process, SystemClock};
use clawstore_core::backend::Backend;
use clawstore_core::clock::Clock;
use clawstore_core::entropy::Entropy;
use clawstore_sqlite::{SqliteBackend, SqliteOptions};

use crate::config::{Config, ConfigError};
use crate::database::Database;
use crate::runtime::{Running, Runtime};
use crate::store::Clawstore;

/// Why a store could not be opened. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The embedded store could not be opened.
    #[error(transparent)]
    Embedded(#[from] clawstore_sqlite::OpenError),
    /// A URL of a kind that is not supported.
    #[error("databases of kind `{0}://` are not supported yet: give a directory, or `:memory:`; nothing was opened")]
    UnsupportedUrl(String),
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

/// What opening a database gives: the backend, and the embedded store behind it to be closed at the end.
type Opened = (Arc<dyn Backend>, Option<Arc<SqliteBackend>>);

impl Builder {
    pub(crate) fn new() -> Self {
        let database = Database::directory("./clawstore-data");
        Self { config: Config::default(), database, runtime: Runtime::default(), clock: None, entropy: None }
    }

    /// Settings. Default: [`Config::default`].
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The database. Default: the embedded store in `./clawstore-data`.
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
        let runtime = Running::start(self.runtime)?;
        let (backend, embedded) = open_database(self.database)?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::start()));
        let entropy: Arc<dyn Entropy> = self.entropy.unwrap_or_else(|| Arc::new(SystemEntropy));
        let (handle, config, bits) = (runtime.handle().clone(), self.config.actors, Arc::clone(&entropy));
        let process = runtime
            .wait(async move { Process::start(backend, clock, bits, handle, config).await })
            .ok_or_else(|| OpenError::Actor("the runtime has stopped".into()))??;
        Ok(Clawstore::new(process, embedded, runtime, entropy))
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

fn open_database(database: Database) -> Result<Opened, OpenError> {
    let embedded = match database {
        Database::Custom(backend) => return Ok((backend, None)),
        Database::Directory(path) => SqliteBackend::open(&path, &SqliteOptions::default())?,
        Database::Memory => SqliteBackend::open_in_memory()?,
    };
    let embedded = Arc::new(embedded);
    Ok((Arc::clone(&embedded) as Arc<dyn Backend>, Some(embedded)))
}

/// The machine's random generator.
#[derive(Debug)]
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn bits(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128()
    }
}
