//! Why a database could not be opened, and what to do about it.
//!
//! Owns: the error of opening and of migrating, and its texts. Does not own: errors of calls on an open database
//! (`failure`).

/// Why a database was not opened or not migrated. Nothing was written to it, unless `Migration` says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No answer, or the server takes no connections now.
    #[error(
        "the database was not opened: {server} cannot be reached ({detail}); check that the server runs and the URL is right"
    )]
    Unreachable {
        /// Host, port and database.
        server: String,
        /// What the system or the server said.
        detail: String,
    },
    /// The server refuses this user, password or database name.
    #[error(
        "the database was not opened: {server} refuses the connection ({detail}); check user, password and database of the URL"
    )]
    Refused {
        /// Host, port and database.
        server: String,
        /// What the server said.
        detail: String,
    },
    /// The server is older than Postgres 15, or not Postgres.
    #[error(
        "the database was not opened: the server has version {found} where Postgres 15 or later is needed; upgrade the server"
    )]
    ServerTooOld {
        /// As `server_version_num`: 140011 is 14.11.
        found: i32,
    },
    /// The server follows another, which is the one to be named.
    #[error("the database was not opened: {server} is a standby, which takes no writes; name the primary")]
    Standby {
        /// Host, port and database.
        server: String,
    },
    /// Names and values are UTF-8.
    #[error(
        "the database was not opened: its encoding is {found} where UTF8 is needed; create another one with ENCODING 'UTF8'"
    )]
    Encoding {
        /// The encoding of the database.
        found: String,
    },
    /// Acknowledged writes could be lost.
    #[error(
        "the database was not opened: {setting}={found} does not keep acknowledged writes; set it to {wanted}, or open it as not durable"
    )]
    Unsafe {
        /// Name of the server's setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What is safe.
        wanted: &'static str,
    },
    /// Something is to be migrated and `migrate` is off.
    #[error(
        "the database was not opened: its schema lacks {missing} of {known} migrations; run `clawstore migrate up` with a role that may create tables"
    )]
    SchemaOlder {
        /// Migrations that were not applied.
        missing: usize,
        /// Migrations that this binary knows.
        known: usize,
    },
    /// More than one step ahead of this binary.
    #[error(
        "the database was not opened: its schema is {ahead} migrations ahead of this binary, which runs with at most one; run a newer release"
    )]
    SchemaNewer {
        /// Migrations that this binary does not know.
        ahead: usize,
    },
    /// An applied migration is not what this binary knows under its number.
    #[error(
        "the database was not opened: migration {version} was applied with another text; run the release that applied it"
    )]
    SchemaOther {
        /// The number of the migration.
        version: i64,
    },
    /// The role may not do what is needed.
    #[error(
        "the database was not opened: the role {role} lacks rights ({detail}); run `clawstore migrate up` with a role that may create tables, which grants what servers need to the role clawstore_runtime"
    )]
    NoRights {
        /// The user of the URL.
        role: String,
        /// What the server said.
        detail: String,
    },
    /// A migration failed. Those before it are applied, of itself nothing is.
    #[error("the database was not migrated: migration {version} failed ({detail}); nothing of it was kept")]
    Migration {
        /// The number of the migration.
        version: i64,
        /// What the server said.
        detail: String,
    },
    /// Anything else.
    #[error("the database was not opened: {detail}")]
    Other {
        /// What the server or the driver said.
        detail: String,
    },
}
