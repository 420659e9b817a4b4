//! Every Luau spec, in both kinds of host, on the memory backend and on SQLite.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;

use std::sync::Arc;

use clawstore_sqlite::{SqliteBackend, SqliteOptions};
use clawstore_testkit::MemoryBackend;
use host::{Host, Kind, Store};

fn run(name: &str, source: &str) {
    for kind in [Kind::Polling, Kind::Scheduler] {
        let directory = tempfile::tempdir().unwrap();
        let sqlite = SqliteBackend::open(directory.path(), &SqliteOptions::default()).unwrap();
        for store in [Store::open(Arc::new(MemoryBackend::new())), Store::open(Arc::new(sqlite))] {
            let host = Host::new(&store.game(1), kind);
            host.start(name, source);
            host.run();
            store.drain();
        }
    }
}

macro_rules! specs {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name), include_str!(concat!("luau/", stringify!($name), ".luau")));
        }
    )*};
}

specs! { data_store_service get_async set_async update_async increment_async remove_async values }
