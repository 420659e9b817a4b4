//! How a database finds what the pages ask for.
//!
//! Owns: asking it, with the statements as they are in the backends. Does not own: the statements, nor the tests that every one of
//! them goes through its index.

use std::path::Path;

use clawstore_sqlite::DATABASE_FILE;
use clawstore_testkit::postgres::Database;
use rusqlite::{Connection, OpenFlags, params_from_iter, types::Null};

use crate::vm::LocalResult;

macro_rules! statements {
    ($backend:literal: $($name:literal),*) => {
        [$(($name, include_str!(concat!("../../../../", $backend, "/queries/", $name, ".sql")))),*]
    };
}

const EMBEDDED: [(&str, &str); 5] = statements!(
    "sqlite-backend": "list_keys", "list_sorted_ascending", "list_sorted_descending", "read_version_at", "list_game_stores"
);
const POSTGRES: [(&str, &str); 5] = statements!(
    "pg-backend": "list_keys", "list_sorted_ascending", "list_sorted_descending", "read_version_at", "list_game_stores"
);

/// As in our sessions: no plan depends on the values of the first calls.
const SESSION: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off;
    SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;";

/// A line per statement. Fails if a table is read from one end to the other.
pub(super) fn embedded(dir: &Path) -> LocalResult<String> {
    let connection = Connection::open_with_flags(dir.join(DATABASE_FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let plan_of = |sql: &str| {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let nulls = vec![Null; statement.parameter_count()];
        let steps = statement.query_map(params_from_iter(nulls), |row| row.get::<_, String>(3))?;
        LocalResult::Ok(steps.collect::<Result<Vec<_>, _>>()?)
    };
    let plans = EMBEDDED.map(|(name, sql)| Ok((name, plan_of(sql)?)));
    told(plans, |step| step.contains("SEARCH") || step.contains("SCAN"), |step| step.starts_with("SCAN"))
}

/// The same.
pub(super) fn postgres(database: &Database) -> LocalResult<String> {
    let plan_of = |sql: &str| {
        let count = (1..).take_while(|number| sql.contains(&format!("${number}"))).count();
        let nulls = vec!["NULL"; count].join(", ");
        let explain = format!("{SESSION} PREPARE q AS {sql}; EXPLAIN (COSTS OFF) EXECUTE q ({nulls})");
        LocalResult::Ok(database.psql(&explain)?.lines().map(|line| line.trim().replace("->  ", "")).collect())
    };
    let plans = POSTGRES.map(|(name, sql)| Ok((name, plan_of(sql)?)));
    told(plans, |step| step.contains(" Scan "), |step| step.starts_with("Seq Scan"))
}

fn told<const N: usize>(
    plans: [LocalResult<(&str, Vec<String>)>; N],
    finds: impl Fn(&str) -> bool,
    reads_all: impl Fn(&str) -> bool,
) -> LocalResult<String> {
    let mut lines = Vec::new();
    for plan in plans {
        let (name, steps) = plan?;
        let mut steps: Vec<_> = steps.iter().map(|step| without_day(step)).filter(|step| finds(step)).collect();
        if let Some(step) = steps.iter().find(|step| reads_all(step)) {
            return Err(format!("{name} reads a whole table: {step}").into());
        }
        steps.dedup();
        lines.push(format!("{name}: {}", steps.join("; ")));
    }
    Ok(lines.join("\n"))
}

/// Partitions are alike but for their day.
fn without_day(step: &str) -> String {
    let words = step.split(' ').filter(|word| !word.starts_with("version_2"));
    words
        .map(|word| word.trim_end_matches(|last: char| last == '_' || last.is_ascii_digit()))
        .collect::<Vec<_>>()
        .join(" ")
}
