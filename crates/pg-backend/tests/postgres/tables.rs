//! The tables as an operator sees them, and what keeps them fast.

use std::sync::Arc;

use clawstore_core::Entry;
use clawstore_core::backend::{CommitBatches, Previous, RowOutcome};
use clawstore_testkit::postgres::Database;

use crate::support::{ask, batch, block_on, connect, first, key, next, open_here, own, row, run, value, write_new};

/// An update of any other column stays on its page and touches no index (HOT).
#[test]
fn indexes_know_only_columns_that_seldom_change() {
    let database = Database::create();
    block_on(open_here(&database));
    let columns = "SELECT string_agg(DISTINCT attname, ' ' ORDER BY attname) \
                   FROM pg_index JOIN pg_depend ON pg_depend.objid = pg_index.indexrelid \
                   JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid \
                   WHERE indrelid = 'clawstore.entry'::regclass AND refobjid = indrelid";
    // The constraint of the primary key stands between the table and its index: store, scope and key.
    assert_eq!(database.psql(columns).unwrap().trim(), "key mode num removed scope store wanted_of");
}

#[test]
fn the_view_shows_what_is_stored() {
    let database = Database::create();
    block_on(async {
        let backend = open_here(&database).await;
        let keys = ["a", "b", "c", "gone"].map(key);
        own(&backend, &keys).await;
        own(&backend, &[key("acquired")]).await;
        let rows = [r#"{"coins":5}"#, r#""a\u0000b""#, "not json"].map(first);
        let mut rows: Vec<_> = keys.iter().zip(&rows).map(|(key, entry)| row(key, 0, entry)).collect();
        rows.push(row(&keys[3], 0, &Entry { value: None, ..first("1") }));
        assert_eq!(backend.commit_batch(batch(1, rows)).await, Ok(vec![RowOutcome::Committed; 4]));
    });
    let sql = "SELECT game, kind, store, scope, key, revision, created, removed, value_jsonb -> 'coins', \
               value_jsonb IS NULL, owner LIKE 'process %', owner_state FROM clawstore.entries ORDER BY key";
    expect_test::expect![[r#"
        1|standard|Coins|global|a|1|1970-01-01 00:00:01+00|f|5|f|t|alive
        1|standard|Coins|global|b|1|1970-01-01 00:00:01+00|f||t|t|alive
        1|standard|Coins|global|c|1|1970-01-01 00:00:01+00|f||t|t|alive
        1|standard|Coins|global|gone|1|1970-01-01 00:00:01+00|t||t|t|alive
    "#]]
    .assert_eq(&format!(
        "{}\n",
        database.psql(&format!("SET timezone = 'UTC'; {sql}")).unwrap().trim().trim_start_matches("SET\n")
    ));
}

/// Fourteen days ahead, thirty back; a lock that is not to be had puts it off.
#[test]
fn partitions_are_made_ahead_and_dropped_behind() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'clawstore.version'::regclass";
        assert_eq!(ask::<i64>(&mut other, partitions).await, 15);
        run(
            &mut other,
            "CREATE TABLE clawstore.version_20000101 PARTITION OF clawstore.version \
             FOR VALUES FROM ('2000-01-01') TO ('2000-01-02'); \
             DO 'BEGIN EXECUTE format(''DROP TABLE clawstore.version_%s'', \
             to_char((now() AT TIME ZONE ''UTC'')::date + 14, ''YYYYMMDD'')); END'",
        )
        .await;
        // A batch that keeps a version is on its way.
        write_new(&backend, &[key("k")], &first("1")).await;
        run(&mut other, "BEGIN; LOCK TABLE clawstore.version IN ROW EXCLUSIVE MODE").await;
        assert_eq!(database.psql("SELECT clawstore.maintain_versions()").unwrap().trim(), "f");
        assert_eq!(ask::<i64>(&mut other, partitions).await, 16, "the new one is there, the old one not gone yet");
        run(&mut other, "COMMIT").await;
        assert_eq!(database.psql("SELECT clawstore.maintain_versions()").unwrap().trim(), "t");
        assert_eq!(ask::<i64>(&mut other, partitions).await, 15);
    });
}

/// A batch with everything that a batch can have, seen from outside.
#[test]
fn versions_go_to_the_day_of_the_database() {
    let database = Database::create();
    block_on(async {
        let (backend, mut other) = (open_here(&database).await, connect(&database).await);
        write_new(&backend, &[key("k")], &first("1")).await;
        let second = next(&first("1"), value("2"));
        let mut keep = row(&key("k"), 1, &next(&second, value("3")));
        keep.previous = Previous::Kept;
        keep.kept = vec![Arc::new(second)];
        backend.commit_batch(batch(2, vec![keep])).await.unwrap();
        let days = "SELECT bool_and(day = (now() AT TIME ZONE 'UTC')::date) AND count(*) = 2 FROM clawstore.version";
        assert!(ask::<bool>(&mut other, days).await);
    });
}
