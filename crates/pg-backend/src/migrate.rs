//! Bringing a database to the schema of this binary, one step at a time.
//!
//! Owns: running the migrations of `migrations/` under an advisory lock, what was applied, and whether this binary can run
//! on it. Does not own: what the tables mean (`migrations/*.sql` says that).
//!
//! A run-time role needs no right to create anything. `up` grants what servers need to the role `clawstore_runtime`, if there is
//! one: create it (`CREATE ROLE clawstore_runtime`), run `up`, and make the servers' users members of it.

use sqlx::Connection as _;
use sqlx::migrate::{Migrate as _, MigrateError, Migration, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::open_error::OpenError;
use crate::session::{self, Purpose, open_error};

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Migrations that may be applied beyond those that this binary knows: servers are replaced one after the other.
const STEPS_AHEAD_MAX: usize = 1;

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number: the time at which it was written.
    pub version: i64,
    /// What it is about.
    pub description: String,
    /// Whether the database has it.
    pub applied: bool,
    /// Whether this binary has it.
    pub known: bool,
}

/// All migrations that the database or this binary has, oldest first.
///
/// # Errors
/// If the database cannot be reached or read.
pub async fn status(options: &PgConnectOptions) -> Result<Vec<Step>, OpenError> {
    let mut session = connect(options).await?;
    let result = steps(&mut session, options).await;
    close(session).await;
    result
}

/// Applies what is missing, and grants to the run-time role. Returns what it applied.
///
/// # Errors
/// See [`OpenError`]; [`OpenError::NoRights`] if the role may not create tables.
pub async fn up(options: &PgConnectOptions) -> Result<Vec<Step>, OpenError> {
    let mut session = connect(options).await?;
    let result = up_on(&mut session, options).await;
    close(session).await;
    result
}

/// Reverts the migration that was applied last, and all that is stored in what it removes. Returns it; none if there is
/// nothing to revert. No server may run meanwhile.
///
/// # Errors
/// See [`OpenError`]; [`OpenError::SchemaNewer`] if this binary does not know the last one.
pub async fn down(options: &PgConnectOptions) -> Result<Option<Step>, OpenError> {
    let mut session = connect(options).await?;
    let result = down_on(&mut session, options).await;
    close(session).await;
    result
}

/// Makes sure that the schema suits this binary, and applies what is missing if `migrate` says so.
pub(crate) async fn ensure(options: &PgConnectOptions, migrate: bool) -> Result<(), OpenError> {
    let mut session = connect(options).await?;
    let result = ensure_on(&mut session, options, migrate).await;
    close(session).await;
    result
}

async fn ensure_on(session: &mut PgConnection, options: &PgConnectOptions, migrate: bool) -> Result<(), OpenError> {
    let steps = steps(session, options).await?;
    let missing = steps.iter().filter(|step| !step.applied).count();
    if missing > 0 && !migrate {
        return Err(OpenError::SchemaOlder { missing, known: known().count() });
    }
    if missing > 0 {
        up_on(session, options).await?;
    }
    Ok(())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    session::open(options, Purpose::Migrations, false).await.map(|(session, _)| session)
}

async fn close(session: PgConnection) {
    // The advisory lock ends with the session in any case.
    let _ = session.close().await;
}

fn known() -> impl Iterator<Item = &'static Migration> {
    MIGRATOR.iter().filter(|migration| migration.migration_type.is_up_migration())
}

async fn up_on(session: &mut PgConnection, options: &PgConnectOptions) -> Result<Vec<Step>, OpenError> {
    // Taken beside the one that the migrator takes and gives back: granting must not meet another's granting. It ends
    // with the session.
    session.lock().await.map_err(|error| migrate_error(options, error))?;
    let before = steps(session, options).await?;
    MIGRATOR.run_direct(None, session, false).await.map_err(|error| migrate_error(options, error))?;
    let granted = sqlx::raw_sql(include_str!("../queries/grant_runtime.sql")).execute(session).await;
    granted.map_err(|error| open_error(options, error))?;
    Ok(before.into_iter().filter(|step| !step.applied).map(|step| Step { applied: true, ..step }).collect())
}

async fn down_on(session: &mut PgConnection, options: &PgConnectOptions) -> Result<Option<Step>, OpenError> {
    let mut applied: Vec<_> = steps(session, options).await?.into_iter().filter(|step| step.applied).collect();
    let Some(last) = applied.pop() else { return Ok(None) };
    if !last.known {
        return Err(OpenError::SchemaNewer { ahead: 1 });
    }
    let target = applied.last().map_or(0, |step| step.version);
    MIGRATOR.undo(&mut *session, target).await.map_err(|error| migrate_error(options, error))?;
    Ok(Some(Step { applied: false, ..last }))
}

/// What is applied and what is known. Refuses a schema that this binary cannot run on.
async fn steps(session: &mut PgConnection, options: &PgConnectOptions) -> Result<Vec<Step>, OpenError> {
    let failed = |error| open_error(options, error);
    let found = sqlx::query_file!("queries/find_migrations.sql").fetch_one(&mut *session).await.map_err(failed)?;
    let mut steps: Vec<_> = known().map(|migration| step(migration.version, &migration.description)).collect();
    if !found.exists {
        return Ok(steps);
    }
    let applied = sqlx::query_file!("queries/list_migrations.sql").fetch_all(session).await.map_err(failed)?;
    for row in applied {
        let ours = known().find(|migration| migration.version == row.version);
        if ours.is_some_and(|migration| *migration.checksum != *row.checksum) {
            return Err(OpenError::SchemaOther { version: row.version });
        }
        match steps.iter_mut().find(|step| step.version == row.version) {
            Some(step) => step.applied = true,
            None => steps.push(Step { known: false, applied: true, ..step(row.version, &row.description) }),
        }
    }
    steps.sort_by_key(|step| step.version);
    let ahead = steps.iter().filter(|step| !step.known).count();
    if ahead > STEPS_AHEAD_MAX {
        return Err(OpenError::SchemaNewer { ahead });
    }
    Ok(steps)
}

fn step(version: i64, description: &str) -> Step {
    Step { version, description: description.to_owned(), applied: false, known: true }
}

fn migrate_error(options: &PgConnectOptions, error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMismatch(version) => OpenError::SchemaOther { version },
        MigrateError::VersionMissing(_) => OpenError::SchemaNewer { ahead: 1 },
        MigrateError::Execute(error) => open_error(options, error),
        MigrateError::ExecuteMigration(error, version) => match open_error(options, error) {
            OpenError::Other { detail } => OpenError::Migration { version, detail },
            other => other,
        },
        other => OpenError::Other { detail: other.to_string() },
    }
}
