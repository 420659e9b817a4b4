//! Where a store of a test keeps its data: the same test runs on each.

#![allow(dead_code, unused_macros, unused_imports, reason = "each test file uses a part of it")]

use std::sync::Arc;

use clawstore_core::backend::Backend;
use clawstore_postgres::{PgBackend, PgSettings};
use clawstore_sqlite::{SqliteBackend, SqliteOptions};
use clawstore_testkit::MemoryBackend;
use clawstore_testkit::postgres::Database;

/// Its data goes when it is dropped.
#[derive(Debug)]
pub(crate) enum Place {
    Memory(MemoryBackend),
    Sqlite(tempfile::TempDir),
    Postgres(Database),
}

impl Place {
    pub(crate) fn memory() -> Self {
        Self::Memory(MemoryBackend::new())
    }

    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) fn postgres() -> Self {
        Self::Postgres(Database::create())
    }

    /// One at a time. Each finds what those before it have written.
    pub(crate) async fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Memory(backend) => Arc::new(backend.reopened()),
            Self::Sqlite(directory) => {
                Arc::new(SqliteBackend::open(directory.path(), &SqliteOptions::default()).unwrap())
            }
            Self::Postgres(database) => {
                let options = database.url().parse().unwrap();
                Arc::new(PgBackend::open(options, PgSettings::default()).await.unwrap())
            }
        }
    }
}

/// Tests of one body, which gets a [`Place`]: one test per place, so that a failure names it.
macro_rules! on_each_place {
    ($($name:ident: $body:expr;)*) => {
        on_each_place! { @memory $($name: $body;)* }
        on_each_place! { @sqlite $($name: $body;)* }
        on_each_place! { @postgres $($name: $body;)* }
    };
    (@$place:ident $($name:ident: $body:expr;)*) => {
        mod $place {
            use super::*;

            $(#[test]
            fn $name() {
                $body(&Place::$place());
            })*
        }
    };
}
pub(crate) use on_each_place;
