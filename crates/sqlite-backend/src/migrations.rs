//! Bringing a database to the schema of this binary.
//!
//! Owns: the ordered list of migrations, one transaction each, counted in `user_version`. Does not own: what the tables
//! mean (`migrations/*.sql` says that).

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::open_error::OpenError;

/// In order; the n-th brings a database from schema n - 1 to n. Only ever appended to.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_ordered.sql"),
    include_str!("../migrations/0003_history.sql"),
];

/// Applies what is missing.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let found = check_version(connection, path)?;
    for (done, sql) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        apply(connection, sql, done + 1).map_err(|e| OpenError::from_sqlite(path, &e))?;
    }
    Ok(())
}

/// The schema number of the file, refused if this binary does not know it.
pub(crate) fn check_version(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let found = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
        .map_err(|e| OpenError::from_sqlite(path, &e))?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(OpenError::SchemaNewer { path: path.to_owned(), found, known });
    }
    Ok(found)
}

/// A reader cannot bring the schema up to date, so an older one is refused with what to do.
pub(crate) fn check_current(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let (found, known) = (check_version(connection, path)?, MIGRATIONS.len() as u32);
    if found == known {
        return Ok(());
    }
    let detail = format!("it has schema {found} and {known} is needed: start the server once to bring it up to date");
    Err(OpenError::Other { path: path.to_owned(), detail })
}

fn apply(connection: &mut Connection, sql: &str, number: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    transaction.pragma_update(None, "user_version", number as i64)?;
    transaction.commit()
}
