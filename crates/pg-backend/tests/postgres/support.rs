//! Opening backends, and looking past them.

use std::future::Future;

use clawstore_postgres::{PgBackend, PgConnectOptions, PgSettings};
use clawstore_testkit::postgres::Database;

/// Runs to the end on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub fn options(database: &Database) -> PgConnectOptions {
    database.url().parse().unwrap()
}

/// A backend that any runtime can use: its connections are opened by its next calls.
pub fn open(database: &Database) -> PgBackend {
    block_on(async {
        let backend = PgBackend::open(options(database), PgSettings::default()).await.unwrap();
        backend.close().await;
        backend
    })
}
