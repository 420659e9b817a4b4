//! The suite of every backend, and that of leases.

use std::sync::Arc;

use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, Value};
use clawstore_testkit::InspectVersions;
use clawstore_testkit::conformance::Subject;
use clawstore_testkit::conformance::leases::Shared;
use clawstore_testkit::postgres::Database;

use crate::support::open;

/// Reads versions through a connection of its own, as an operator would.
struct Inspector(Database);

/// Bytes of a column that `psql` shows in hexadecimal digits.
fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

impl InspectVersions for Inspector {
    fn versions(&self, key: &EntryKey) -> Vec<Entry> {
        let (game, store, scope, key) = (key.store.game, &key.store.name, &key.store.scope, &key.key);
        let sql = format!(
            "SELECT version.revision, version.created, version.updated, version.superseded, \
             array_to_string(version.user_ids, ','), encode(convert_to(coalesce(version.metadata, ''), 'UTF8'), 'hex'), \
             version.value IS NOT NULL, encode(convert_to(coalesce(version.value, ''), 'UTF8'), 'hex') \
             FROM clawstore.version JOIN clawstore.store ON store.id = version.store \
             JOIN clawstore.game ON game.id = store.game WHERE game.external_id = '{game}' AND store.name = '{store}' \
             AND version.scope = '{scope}' AND version.key = '{key}' ORDER BY version.revision"
        );
        let lines = self.0.psql(&sql).unwrap();
        let entry = |line: &str| {
            let columns: Vec<_> = line.split('|').collect();
            let ticks = |index: usize| Timestamp::from_ticks(columns[index].parse().unwrap());
            assert!(ticks(3) > ticks(2), "superseded after it was written");
            Entry {
                revision: columns[0].parse().unwrap(),
                created: ticks(1),
                updated: ticks(2),
                value: (columns[6] == "t").then(|| Value::new(bytes(columns[7])).unwrap()),
                attributes: Attributes {
                    user_ids: columns[4].split(',').filter(|id| !id.is_empty()).map(|id| id.parse().unwrap()).collect(),
                    metadata: bytes(columns[5]).into(),
                },
            }
        };
        lines.lines().map(entry).collect()
    }
}

fn subject() -> Subject {
    let database = Database::create();
    Subject::new(Arc::new(open(&database)), Inspector(database))
}

fn of_two_processes() -> Shared {
    let database = Database::create();
    Shared::new([Arc::new(open(&database)), Arc::new(open(&database))], database)
}

clawstore_testkit::backend_conformance!(subject());

mod leases {
    clawstore_testkit::lease_conformance!(super::of_two_processes());
}
