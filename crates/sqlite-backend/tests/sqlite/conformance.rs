//! The suite of every backend, on a file and in memory.

use std::path::PathBuf;
use std::sync::Arc;

use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, StoreKind, Value};
use clawstore_sqlite::{DATABASE_FILE, SqliteBackend};
use clawstore_testkit::InspectVersions;
use clawstore_testkit::conformance::Subject;
use rusqlite::{Connection, OpenFlags};

use crate::support::open;

/// Reads versions through a connection of its own, as an operator would.
struct Inspector {
    _dir: tempfile::TempDir,
    file: PathBuf,
}

impl InspectVersions for Inspector {
    fn versions(&self, key: &EntryKey) -> Vec<Entry> {
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
        let sql = "SELECT version.revision, version.created, version.updated, version.user_ids, version.metadata, \
                   version.value, version.superseded FROM version JOIN store ON store.id = version.store \
                   JOIN game ON game.id = store.game WHERE game.external_id = ?1 AND store.name = ?2 \
                   AND version.scope = ?3 AND version.key = ?4 AND (store.kind = 'ordered') = ?5 ORDER BY version.revision";
        let mut statement = connection.prepare(sql).expect("the version table");
        let (game, is_ordered) = (key.store.game.to_string(), key.store.kind == StoreKind::Ordered);
        let rows = statement.query_map((game, &*key.store.name, &*key.store.scope, &*key.key, is_ordered), |row| {
            let ticks = |index| row.get::<_, i64>(index).map(|ticks| Timestamp::from_ticks(ticks as u64));
            let text = |index| row.get::<_, Option<String>>(index);
            let user_ids = text(3)?.unwrap_or_else(|| "[]".to_owned());
            assert!(ticks(6)? > ticks(2)?, "superseded after it was written");
            Ok(Entry {
                revision: row.get::<_, i64>(0)? as u64,
                created: ticks(1)?,
                updated: ticks(2)?,
                value: text(5)?.map(|json| Value::new(json).expect("was accepted")),
                attributes: Attributes {
                    user_ids: serde_json::from_str(&user_ids).expect("a JSON array"),
                    metadata: text(4)?.unwrap_or_default().into(),
                },
            })
        });
        rows.expect("a query").map(|row| row.expect("a row")).collect()
    }
}

fn on_file() -> Subject {
    let dir = tempfile::tempdir().expect("a directory");
    let backend = open(dir.path());
    let file = dir.path().join(DATABASE_FILE);
    Subject::new(Arc::new(backend), Inspector { _dir: dir, file })
}

/// There is no second connection to a database in memory: cases that look at versions run on the file only.
struct Nobody;

impl InspectVersions for Nobody {
    fn versions(&self, _key: &EntryKey) -> Vec<Entry> {
        Vec::new()
    }
}

clawstore_testkit::backend_conformance!(on_file());

mod in_memory {
    use super::{Arc, Nobody, SqliteBackend, Subject};

    fn subject() -> Subject {
        Subject::new(Arc::new(SqliteBackend::open_in_memory().expect("opens")), Nobody)
    }

    clawstore_testkit::backend_conformance! { @cases subject();
        entries: unknown_keys_are_empty, the_largest_value_fits, games_kinds_stores_and_scopes_are_apart,
            many_keys_in_their_order;
        commits: a_full_batch_commits, a_refused_batch_leaves_nothing;
        fencing: a_moved_base_is_fenced_and_its_neighbours_commit;
        listing: stores_are_listed_with_their_scopes_in_order, keys_are_listed_in_pages;
    }
}
