//! `.sqlx/` says of every statement what a server says of it now.
//!
//! The macros read it wherever no database is at hand, so one that is stale lets a wrong statement compile. To make it
//! anew, with a database that `clawstore migrate up` has run on:
//! `rm .sqlx/*; touch src/lib.rs; CLAWSTORE_SQLX_URL=postgres://… SQLX_OFFLINE_DIR=$PWD/.sqlx cargo check` in this crate.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clawstore_testkit::postgres::Database;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use crate::support::{block_on, connect, open_here};

/// Read as a whole by the driver, not prepared.
const NOT_PREPARED: &str = "grant_runtime.sql";

fn files(directory: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let files = fs::read_dir(path).unwrap().map(|file| file.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())).collect()
}

#[test]
fn query_data_is_fresh() {
    let committed: BTreeMap<String, Value> = files(".sqlx")
        .into_iter()
        .map(|(_, text)| {
            let data: Value = serde_json::from_str(&text).unwrap();
            (data["query"].as_str().unwrap().to_owned(), data["describe"].clone())
        })
        .collect();
    let database = Database::create();
    let described: BTreeMap<String, Value> = block_on(async {
        open_here(&database).await;
        let mut session = connect(&database).await;
        let mut described = BTreeMap::new();
        for (_, sql) in files("queries").into_iter().filter(|(name, _)| name != NOT_PREPARED) {
            let description = session.describe(AssertSqlSafe(sql.clone()).into_sql_str()).await.unwrap();
            described.insert(sql, json!(description));
        }
        described
    });
    for (sql, description) in &described {
        assert_eq!(committed.get(sql), Some(description), "stale or missing in .sqlx/:\n{sql}");
    }
    assert_eq!(committed.len(), described.len(), "left in .sqlx/ without a statement");
}
