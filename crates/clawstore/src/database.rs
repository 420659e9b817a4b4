//! Which database.
//!
//! Owns: naming a database, in code, by an argument or by the environment. Does not own: opening one (`opened`), looking
//! into one (`read_only`).

use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::PathBuf;
use std::sync::Arc;

use clawstore_core::backend::Backend;
#[cfg(feature = "postgres")]
use clawstore_postgres::PgConnectOptions;

use crate::builder::OpenError;

/// Where data is kept.
#[derive(Clone)]
pub enum Database {
    /// The embedded store in this directory. One process writes; tools may read beside it.
    #[cfg(feature = "sqlite")]
    Directory(PathBuf),
    /// The embedded store in memory: gone with the process. For tests.
    #[cfg(feature = "sqlite")]
    Memory,
    /// A Postgres database, which many processes may use at once. Everything is in its schema `clawstore`.
    #[cfg(feature = "postgres")]
    Postgres(Box<PgConnectOptions>),
    /// A backend of the caller's own.
    Custom(Arc<dyn Backend>),
}

impl Database {
    /// The embedded store in a directory, made if it is not there.
    #[cfg(feature = "sqlite")]
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::Directory(path.into())
    }

    /// A Postgres database.
    #[cfg(feature = "postgres")]
    pub fn postgres(options: PgConnectOptions) -> Self {
        Self::Postgres(Box::new(options))
    }

    /// What is used when nothing is said.
    pub(crate) fn usual() -> Self {
        #[cfg(feature = "sqlite")]
        return Self::directory("./clawstore-data");
        #[cfg(all(feature = "postgres", not(feature = "sqlite")))]
        return Self::postgres(PgConnectOptions::new());
        #[cfg(not(any(feature = "postgres", feature = "sqlite")))]
        compile_error!("turn on the feature `sqlite` or `postgres`");
    }

    /// What `CLAWSTORE_DB` names; else what `DATABASE_URL` names, if that is a Postgres URL; else the embedded store in
    /// `directory`. See [`Database::parse`].
    ///
    /// # Errors
    /// As [`Database::parse`].
    #[cfg(feature = "sqlite")]
    pub fn from_env_or(directory: impl Into<PathBuf>) -> Result<Self, OpenError> {
        match named_by_environment(|name| std::env::var(name).ok()) {
            Some(name) => Self::parse(&name),
            None => Ok(Self::directory(directory)),
        }
    }

    /// `postgres://…`, `:memory:` or a directory. Of several hosts, `postgres://user@a:5432,b:5432/games`, the first that takes
    /// writes is used, whenever a connection is opened.
    ///
    /// # Errors
    /// For a URL that is not one of Postgres, or not a valid one: a directory of that name is not what was meant.
    pub fn parse(name: &str) -> Result<Self, OpenError> {
        match name.split_once("://") {
            Some(("postgres" | "postgresql", _)) => parse_postgres(name),
            Some((kind, _)) => {
                let reason = format!("there is no `{kind}`; give postgres://…, a directory, or :memory:");
                Err(OpenError::Url { url: without_password(name), reason })
            }
            None => parse_path(name),
        }
    }
}

/// The database that the environment names.
#[cfg(any(feature = "sqlite", test))]
fn named_by_environment(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let is_postgres = |url: &String| url.starts_with("postgres://") || url.starts_with("postgresql://");
    variable("CLAWSTORE_DB").or_else(|| variable("DATABASE_URL").filter(is_postgres))
}

#[cfg(feature = "postgres")]
fn parse_postgres(url: &str) -> Result<Database, OpenError> {
    let options = clawstore_postgres::parse_url(url);
    options
        .map(Database::postgres)
        .map_err(|error| OpenError::Url { url: without_password(url), reason: error.to_string() })
}

#[cfg(not(feature = "postgres"))]
fn parse_postgres(url: &str) -> Result<Database, OpenError> {
    let reason = "this build has no Postgres (feature `postgres`)".to_owned();
    Err(OpenError::Url { url: without_password(url), reason })
}

#[cfg(feature = "sqlite")]
fn parse_path(name: &str) -> Result<Database, OpenError> {
    Ok(if name == ":memory:" { Database::Memory } else { Database::directory(name) })
}

#[cfg(not(feature = "sqlite"))]
fn parse_path(name: &str) -> Result<Database, OpenError> {
    let reason = "this build has no embedded store (feature `sqlite`)".to_owned();
    Err(OpenError::Url { url: name.to_owned(), reason })
}

impl Database {
    /// May other processes use it at the same time?
    pub fn is_shared(&self) -> bool {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
            _ => false,
        }
    }

    /// Is everything gone with the process?
    pub fn is_in_memory(&self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Memory => true,
            _ => false,
        }
    }
}

/// A URL as it may be shown: passwords are nobody's business.
fn without_password(name: &str) -> String {
    let Some((kind, rest)) = name.split_once("://") else { return name.to_owned() };
    let (login, server) = match rest.rsplit_once('@') {
        Some((login, server)) => (format!("{}@", login.split(':').next().unwrap_or_default()), server),
        None => (String::new(), rest),
    };
    let server = server.split_once('?').map_or(server, |(server, _)| server);
    format!("{kind}://{login}{server}")
}

/// As [`fmt::Display`]: what is debugged is logged, and passwords are not.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}

/// As people know it, without passwords.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Directory(path) => write!(f, "{}", path.display()),
            #[cfg(feature = "sqlite")]
            Self::Memory => f.write_str(":memory:"),
            #[cfg(feature = "postgres")]
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or_else(|| options.get_username());
                let (user, host) = (options.get_username(), options.get_host());
                // A list of hosts has their ports in it.
                let port = if host.contains(',') { String::new() } else { format!(":{}", options.get_port()) };
                write!(f, "postgres://{user}@{host}{port}/{database}")
            }
            Self::Custom(_) => f.write_str("a backend of the host's own"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_database() {
        let named = |variables: &[(&str, &str)]| {
            named_by_environment(|name| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned()))
        };
        let (ours, theirs) = (("CLAWSTORE_DB", "./here"), ("DATABASE_URL", "postgres://h/d"));
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[theirs]).as_deref(), Some("postgres://h/d"));
        assert_eq!(named(&[theirs, ours]).as_deref(), Some("./here"), "ours is said on purpose");
        assert_eq!(named(&[("DATABASE_URL", "mysql://h/d")]), None, "somebody else's");
    }

    #[test]
    fn passwords_are_not_shown() {
        let cases = [
            ("postgres://me:secret@host:1/db?password=x", "postgres://me@host:1/db"),
            ("postgres://me:se@cret@host/db", "postgres://me@host/db"),
            ("postgres://host/db", "postgres://host/db"),
            ("./clawstore-data", "./clawstore-data"),
        ];
        for (name, shown) in cases {
            assert_eq!(without_password(name), shown);
        }
    }

    #[test]
    fn a_database_is_shown_without_its_password() {
        let shown = Database::parse("postgres://me:secret@somewhere:7/games").map(|database| database.to_string());
        assert_eq!(shown.ok().as_deref(), Some("postgres://me@somewhere:7/games"));
        let shown = Database::parse("postgres://me:secret@a:7,b/games").map(|database| database.to_string());
        assert_eq!(shown.ok().as_deref(), Some("postgres://me@a:7,b/games"));
        let debugged = format!("{:?}", Database::parse("postgres://me:secret@somewhere/games"));
        assert!(!debugged.contains("secret"), "{debugged}");
    }

    #[test]
    fn names_are_databases() {
        let kind = |name: &str| match Database::parse(name) {
            Ok(Database::Postgres(options)) => format!("postgres {}", options.get_host()),
            Ok(Database::Directory(path)) => format!("directory {}", path.display()),
            Ok(Database::Memory) => "memory".to_owned(),
            Ok(Database::Custom(_)) => "custom".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(kind("postgresql://somewhere/games"), "postgres somewhere");
        assert_eq!(kind("postgres://me@a:1,b:2/games"), "postgres a:1,b:2");
        assert_eq!(kind("./data"), "directory ./data");
        assert_eq!(kind(":memory:"), "memory");
        let text = kind("mysql://me:secret@h/d");
        assert!(text.contains("`mysql://me@h/d`") && text.contains("nothing was opened"), "{text}");
        let text = kind("postgres://me:secret@h:port/d");
        assert!(text.contains("postgres://me@h:port/d") && !text.contains("secret"), "{text}");
    }
}
