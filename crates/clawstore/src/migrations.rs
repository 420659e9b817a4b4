//! The steps of a Postgres schema, for tools.
//!
//! Owns: applying and taking back steps without opening a store. Does not own: the steps (`migrations/` of the project). The
//! embedded store brings its own schema up to date whenever it is opened.

use clawstore_postgres::PgConnectOptions;
pub use clawstore_postgres::migrate::Step;
use clawstore_postgres::migrate::{down, status, up};

use crate::builder::OpenError;
use crate::database::Database;

/// The schema of one database. Every call blocks until the database has answered; from inside and outside of a tokio
/// context.
pub struct Migrations {
    options: PgConnectOptions,
}

/// Without what it connects with: passwords are not logged.
impl std::fmt::Debug for Migrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Migrations").finish_non_exhaustive()
    }
}

impl Migrations {
    /// Of a Postgres database. Nothing is asked yet.
    ///
    /// # Errors
    /// For any other database.
    pub fn of(database: Database) -> Result<Self, OpenError> {
        match database {
            Database::Postgres(options) => Ok(Self { options: *options }),
            other => {
                let reason = "only a Postgres database is migrated by hand".to_owned();
                Err(OpenError::Url { url: other.to_string(), reason })
            }
        }
    }

    /// All steps that the database or this build has, oldest first.
    ///
    /// # Errors
    /// If the database cannot be reached or read.
    pub fn status(&self) -> Result<Vec<Step>, OpenError> {
        on_a_thread(async || status(&self.options).await)
    }

    /// Applies what is missing; returns what was applied.
    ///
    /// # Errors
    /// If the role may not create tables, or a step fails; those before it stay applied.
    pub fn up(&self) -> Result<Vec<Step>, OpenError> {
        on_a_thread(async || up(&self.options).await)
    }

    /// Takes the last step back, with all that is stored in what it removes; returns it. No server may run meanwhile.
    ///
    /// # Errors
    /// If this build does not know the last step, or it fails; then it stays applied.
    pub fn down(&self) -> Result<Option<Step>, OpenError> {
        on_a_thread(async || down(&self.options).await)
    }
}

/// Runs a call to its end on a thread of its own, whatever runs on the caller's.
fn on_a_thread<T: Send>(
    call: impl AsyncFnOnce() -> Result<T, clawstore_postgres::OpenError> + Send,
) -> Result<T, OpenError> {
    let run = || -> Result<T, OpenError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(call())?)
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|_| Err(OpenError::Actor("the call panicked".into())))
}
