//! A database that is open: the backend, what it promises, and how it is closed.
//!
//! Owns: the one place where concrete backends are opened, by the kind of database. Does not own: naming one (`database`).

use std::sync::Arc;

use clawstore_core::backend::Backend;
#[cfg(feature = "postgres")]
use clawstore_postgres::{PgBackend, PgSettings};
#[cfg(feature = "sqlite")]
use clawstore_sqlite::{SqliteBackend, SqliteOptions};

use crate::builder::OpenError;
use crate::database::Database;
use crate::runtime::Running;

/// What is told of an embedded database.
#[cfg(feature = "sqlite")]
const EMBEDDED: &str = "acknowledged writes survive kill -9, a crash of the system and a power cut with an honest disk; \
                        they do not survive the loss of the disk";
#[cfg(feature = "sqlite")]
const IN_MEMORY: &str = "NOT DURABLE: everything is gone with the process";
const CUSTOM: &str = "acknowledged writes survive what the backend of the caller's own survives";

/// How a database is closed.
#[derive(Debug)]
enum Kind {
    #[cfg(feature = "sqlite")]
    Embedded(Arc<SqliteBackend>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<PgBackend>),
    /// It is the caller's.
    Custom,
}

/// An open database.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) backend: Arc<dyn Backend>,
    /// What acknowledged writes survive.
    pub(crate) durability: String,
    kind: Kind,
}

impl Opened {
    /// Opens for writing. Blocks; `migrate`: the schema is brought up to date.
    #[cfg_attr(not(feature = "postgres"), allow(unused_variables, reason = "an embedded database needs neither"))]
    pub(crate) fn open(database: Database, runtime: &Running, migrate: bool) -> Result<Self, OpenError> {
        match database {
            Database::Custom(backend) => Ok(Self { backend, durability: CUSTOM.into(), kind: Kind::Custom }),
            #[cfg(feature = "sqlite")]
            Database::Directory(path) => {
                Ok(Self::embedded(SqliteBackend::open(&path, &SqliteOptions::default())?, EMBEDDED))
            }
            #[cfg(feature = "sqlite")]
            Database::Memory => Ok(Self::embedded(SqliteBackend::open_in_memory()?, IN_MEMORY)),
            #[cfg(feature = "postgres")]
            Database::Postgres(options) => {
                let mut settings = PgSettings::default();
                settings.migrate = migrate;
                let backend = runtime.wait_for(async move { PgBackend::open(*options, settings).await })??;
                let backend = Arc::new(backend);
                let durability = backend.durability().to_string();
                Ok(Self { backend: Arc::clone(&backend) as _, durability, kind: Kind::Postgres(backend) })
            }
        }
    }

    #[cfg(feature = "sqlite")]
    fn embedded(backend: SqliteBackend, durability: &str) -> Self {
        let backend = Arc::new(backend);
        Self { backend: Arc::clone(&backend) as _, durability: durability.into(), kind: Kind::Embedded(backend) }
    }

    /// Closes; waits for what is being written.
    pub(crate) async fn close(&self) {
        match &self.kind {
            #[cfg(feature = "sqlite")]
            Kind::Embedded(backend) => {
                let backend = Arc::clone(backend);
                // Closing waits for the writer's thread; a task must not.
                let _ = tokio::task::spawn_blocking(move || backend.close()).await;
            }
            #[cfg(feature = "postgres")]
            Kind::Postgres(backend) => backend.close().await,
            Kind::Custom => {}
        }
    }
}
