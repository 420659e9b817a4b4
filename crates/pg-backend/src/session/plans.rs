//! The plan of every statement, as our sessions make it, on tables with rows: a lost index, or a condition that an index
//! does not know any more, shows as a difference from `plans.txt`. `UPDATE_EXPECT=1` writes it anew. Other releases of
//! Postgres plan a little differently, so only those of 15 are looked at.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use clawstore_testkit::postgres::{Database, server_program};
use serde_json::Value;

use super::{Purpose, SETTINGS};

/// Enough rows that no index is left aside for want of rows, and few enough that ANALYZE reads them all: the same plan every
/// time.
const ROWS: &str = "
    INSERT INTO clawstore.game (external_id) SELECT n::text FROM generate_series(1, 20) AS n;
    INSERT INTO clawstore.store (game, kind, name)
        SELECT game.id, CASE WHEN n % 2 = 0 THEN 'ordered' ELSE 'standard' END, 'S' || n
        FROM clawstore.game, generate_series(1, 50) AS n;
    UPDATE clawstore.game SET snapshot = CASE WHEN id % 10 = 1 THEN 1 END, deleted = CASE WHEN id % 10 = 2 THEN 1 END;
    INSERT INTO clawstore.incarnation (id, server, state)
        SELECT n, 's', CASE WHEN n % 100 = 0 THEN 'alive' ELSE 'dead' END FROM generate_series(1, 2000) AS n;
    INSERT INTO clawstore.lane (incarnation, lane) SELECT id, lane FROM clawstore.incarnation, generate_series(0, 1) AS lane;
    INSERT INTO clawstore.entry (store, scope, key, revision, owner, fence, num, value, wanted, wanted_of)
        SELECT 1 + n % 1000, 's', 'k' || n, 1, 100, n, n, n::text, CASE WHEN n % 500 = 0 THEN 200 END,
               CASE WHEN n % 500 = 0 THEN 100 END
        FROM generate_series(1, 20000) AS n;
    UPDATE clawstore.entry SET value = NULL, num = NULL, removed = fence WHERE fence % 50 = 0;
    UPDATE clawstore.entry SET mode = 1, owner = NULL, value = '1' WHERE key = 'k3000';
    INSERT INTO clawstore.version (store, scope, key, revision, created, updated, superseded, day)
        SELECT 1 + n % 1000, 's', 'k' || n, 1, 0, -n, n, now() FROM generate_series(1, 20000) AS n;
";

/// Batches whose statements are planned inside the function: one without versions but for those of a snapshot, one with each kind
/// of them, that one again, one whose number is wrong, and one with a sum.
const BATCHES: &str = "
    LOAD 'auto_explain';
    SET auto_explain.log_min_duration = 0;
    SET auto_explain.log_nested_statements = on;
    SET auto_explain.log_level = notice;
    SET auto_explain.log_format = json;
    SELECT clawstore.commit_batch_v2(100, 0::smallint, 1, 1, '{1,1}', '{s,s}', '{k1000,k2000}', '{1000,0}', '{1,1}', '{2,2}',
        '{1,1}', '{1,1}', '{1,1}', '{1,1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    SELECT clawstore.commit_batch_v2(100, 0::smallint, 2, 2, '{1}', '{s}', '{k1000}', '{1000}', '{2}', '{4}',
        '{1}', '{3}', '{1}', '{1}', NULL, NULL, '{2}', '{1}', '{3}', '{1}', '{2}', '{3}', '{1}', '{NULL}', '{NULL}', NULL, NULL);
    SELECT clawstore.commit_batch_v2(100, 0::smallint, 2, 2, '{}', '{}', '{}', '{}', '{}', '{}',
        '{}', '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    SELECT clawstore.commit_batch_v2(100, 0::smallint, 9, 9, '{}', '{}', '{}', '{}', '{}', '{}',
        '{}', '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    SELECT clawstore.commit_batch_v2(100, 0::smallint, 3, 3, '{1,1}', '{s,s}', '{k3000,k4000}', '{3000,4000}', '{0,1}', '{1,2}',
        '{1,1}', '{1,1}', '{1,1}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{0,NULL}',
        '{9999,NULL}');
";

/// Standard output and standard error of `psql` in a session like ours.
fn psql(database: &Database, purpose: Purpose, sql: &str) -> [String; 2] {
    let settings = SETTINGS.iter().chain(purpose.settings());
    let options: String = settings.map(|(name, value)| format!("-c {name}={value} ")).collect();
    let mut command = Command::new(server_program("psql").unwrap());
    command.args([
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
        "-d",
        &database.url(),
    ]);
    let output = command.args(["-c", sql]).env("PGOPTIONS", options).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{sql}\n{err}");
    [out, err]
}

/// One line per step of a plan: what it is, on what, and by which condition of an index. Steps that are alike but for the
/// day of their partition are one line.
fn render(plan: &Value, depth: usize, into: &mut String) {
    let text = |field: &str| plan[field].as_str().map(without_day);
    let on = ["Index Name", "Relation Name", "CTE Name", "Function Name", "Subplan Name", "Operation"];
    let on: Vec<_> = on.into_iter().filter_map(text).collect();
    let condition = text("Index Cond").map(|condition| format!(" by {condition}")).unwrap_or_default();
    let _ =
        writeln!(into, "{:depth$}{} {}{condition}", "", text("Node Type").unwrap(), on.join(" "), depth = depth * 2);
    let mut last = String::new();
    for child in plan["Plans"].as_array().into_iter().flatten() {
        let mut rendered = String::new();
        render(child, depth + 1, &mut rendered);
        if rendered != last {
            into.push_str(&rendered);
        }
        last = rendered;
    }
}

/// The name of a partition without its day.
fn without_day(name: &str) -> String {
    match name.strip_prefix("version_").and_then(|rest| rest.split_at_checked(8)) {
        Some((day, rest)) if day.bytes().all(|byte| byte.is_ascii_digit()) => format!("version_DAY{rest}"),
        _ => name.to_owned(),
    }
}

fn plan_of(database: &Database, sql: &str) -> String {
    let count = (1..).take_while(|n| sql.contains(&format!("${n}"))).count();
    let nulls = vec!["NULL"; count].join(", ");
    let arguments = if count == 0 { String::new() } else { format!("({nulls})") };
    let explain = format!("PREPARE q AS {sql}; EXPLAIN (COSTS OFF, FORMAT JSON) EXECUTE q {arguments}");
    let [out, _] = psql(database, Purpose::Calls, &explain);
    let explained: Value = serde_json::from_str(&out).unwrap();
    let mut plan = String::new();
    render(&explained[0]["Plan"], 1, &mut plan);
    plan
}

/// The statements that `BATCHES` runs, each once.
fn plans_inside(database: &Database) -> Vec<String> {
    let [_, notices] = psql(database, Purpose::Commits, BATCHES);
    let mut plans = Vec::new();
    for notice in notices.split("  plan:\n").skip(1) {
        let logged: Value = serde_json::Deserializer::from_str(notice).into_iter().next().unwrap().unwrap();
        let query = logged["Query Text"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        let mut plan = format!("{}\n", query.chars().take(90).collect::<String>());
        render(&logged["Plan"], 1, &mut plan);
        let is_inside = query.contains("clawstore.") && !query.contains("clawstore.commit_batch_v2(");
        if is_inside && !plans.contains(&plan) {
            plans.push(plan);
        }
    }
    plans
}

#[test]
fn every_statement_goes_through_its_index() {
    let database = Database::create();
    if !database.psql("SHOW server_version_num").unwrap().starts_with("15") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(crate::migrate::up(&database.url().parse().unwrap())).unwrap();
    database.psql(ROWS).unwrap();
    database.psql("VACUUM ANALYZE").unwrap();

    let mut plans = String::new();
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    let mut files: Vec<_> = std::fs::read_dir(queries).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files {
        // Granting has no plan, and that of calling a function is in the function.
        let name = file.file_stem().unwrap().to_str().unwrap();
        if !["grant_runtime", "commit_batch", "maintain_versions"].contains(&name) {
            let plan = plan_of(&database, &std::fs::read_to_string(&file).unwrap());
            let _ = writeln!(plans, "{name}\n{plan}");
        }
    }
    for plan in plans_inside(&database) {
        let _ = writeln!(plans, "commit_batch: {plan}");
    }
    let without_index = |line: &&str| line.contains("Seq Scan entry") || line.contains("Seq Scan version");
    assert_eq!(plans.lines().find(without_index), None);
    // By its whole path: the library would look for the workspace above the outermost Cargo.toml on the way up.
    expect_test::expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/src/session/plans.txt")].assert_eq(&plans);
}
