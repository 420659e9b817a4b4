//! A database for one test.
//!
//! Owns: on which server it is made, its name and its end. Does not own: the server.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Result;

use super::programs::{output_of, psql_command};
use super::{Cluster, State};

/// The environment variable that names the server for tests, as the URL of a database in which a superuser may make
/// others. `cargo xtask test` sets it.
pub const SERVER_VARIABLE: &str = "CLAWSTORE_TEST_POSTGRES";

/// An empty database with a name of its own. It is dropped with this, whoever is still connected.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// On the server that [`SERVER_VARIABLE`] names, else on the one that `cargo xtask pg up` has started.
    ///
    /// # Panics
    /// If there is neither, or it makes no database: a test cannot go on without.
    #[must_use]
    pub fn create() -> Self {
        let named = std::env::var(SERVER_VARIABLE).ok();
        let Some(server) = named.or_else(|| State::of_this_build().map(|state| state.url)) else {
            panic!("this test needs Postgres: run `cargo xtask test`, or `cargo xtask pg up` before it");
        };
        Self::create_at(server)
    }

    /// On a server that the test holds.
    ///
    /// # Panics
    /// As [`create`](Self::create).
    #[must_use]
    pub fn create_on(cluster: &Cluster) -> Self {
        Self::create_at(cluster.url())
    }

    fn create_at(server: String) -> Self {
        let name = format!("test_{:016x}", RandomState::new().hash_one(0));
        if let Err(error) = psql(&server, &format!("CREATE DATABASE {name}")) {
            panic!("no database for this test on {server}: {error}");
        }
        Self { server, name }
    }

    /// The database, as the user that made it.
    pub fn url(&self) -> String {
        with_database(&self.server, &self.name)
    }

    /// Runs SQL in it and returns the bare values, a row per line and columns parted by `|`.
    ///
    /// # Errors
    /// If a statement fails; the text has the server's complaint.
    pub fn psql(&self, sql: &str) -> Result<String> {
        psql(&self.url(), sql)
    }
}

impl Drop for Database {
    /// Without a complaint: the server may be gone, and everything with it.
    fn drop(&mut self) {
        let _ = psql(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

pub(super) fn psql(url: &str, sql: &str) -> Result<String> {
    output_of(psql_command(url)?.arg("-c").arg(sql))
}

/// The same URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (path, parameters) = url.split_at(url.find('?').unwrap_or(url.len()));
    let authority = path.find("://").map_or(0, |at| at + 3);
    let server = path[authority..].find('/').map_or(path, |slash| &path[..authority + slash]);
    format!("{server}/{name}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_changes() {
        assert_eq!(with_database("postgres://a@h:1/postgres", "b"), "postgres://a@h:1/b");
        assert_eq!(with_database("postgres://a@h:1/x?host=/tmp", "b"), "postgres://a@h:1/b?host=/tmp");
        assert_eq!(with_database("postgres://a@h", "b"), "postgres://a@h/b");
    }
}
