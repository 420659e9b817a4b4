//! A few rounds of `clawstore-chaos`, honest and with a fault, and its scenarios in short.
//!
//! Owns: that an honest store passes on both backends, with one process and with several, and that one that answers before it
//! commits, or compares nothing, does not. Does not own: the long runs (`cargo xtask chaos`, `cargo xtask proof`), the single rules
//! (`chaos::check`).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::process::{Command, Output};

fn chaos(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_clawstore-chaos")).args(arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

#[track_caller]
fn passes(arguments: &[&str]) -> String {
    let (output, text) = chaos(arguments);
    assert!(output.status.success(), "{text}");
    text
}

#[track_caller]
fn loses(arguments: &[&str]) {
    let (output, text) = chaos(arguments);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("LOST"), "{text}");
}

#[test]
fn chaos_finds_nothing_in_an_honest_store() {
    let text = passes(&["--rounds", "5", "--seed", "11"]);
    assert!(text.contains("5 kills") && text.contains(" 0 wrong"), "{text}");
}

#[test]
fn chaos_finds_what_a_store_lost_that_answers_before_it_commits() {
    loses(&["--rounds", "3", "--seed", "12", "--mutant", "ack-before-commit"]);
}

#[test]
fn chaos_on_postgres_finds_nothing_after_kills_of_the_process() {
    let text = passes(&["--db", "postgres", "--rounds", "2", "--seed", "13"]);
    assert!(text.contains("2 kills") && text.contains(" 0 wrong"), "{text}");
}

#[test]
fn chaos_on_postgres_finds_what_a_store_lost_that_answers_before_it_commits() {
    loses(&["--db", "postgres", "--rounds", "1", "--seed", "14", "--mutant", "ack-before-commit"]);
}

#[test]
fn chaos_on_postgres_finds_nothing_after_kills_of_the_server() {
    let text = passes(&["--db", "postgres", "--fault", "postmaster", "--rounds", "2", "--seed", "15"]);
    assert!(text.contains("2 rounds") && text.contains(" 0 wrong"), "{text}");
}

#[test]
fn chaos_on_postgres_finds_nothing_after_cuts_at_each_point_of_a_commit() {
    let text = passes(&["--db", "postgres", "--fault", "connection", "--rounds", "2", "--seed", "16"]);
    assert!(text.contains("2 rounds") && text.contains(" 0 wrong"), "{text}");
}

#[test]
fn chaos_with_three_servers_finds_nothing_after_a_kill_and_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().to_str().unwrap();
    let servers = ["--db", "postgres", "--servers", "3", "--seconds", "1", "--rounds", "1", "--seed", "21"];
    let text = passes(&[&servers[..], &["--fault", "process,freeze", "--report", report]].concat());
    assert!(text.contains("\n0 wrong"), "{text}");
    let json = std::fs::read(dir.path().join("chaos.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    for fault in ["process", "freeze"] {
        let sum = &json["faults"][fault];
        assert_eq!((&sum["rounds"], &sum["wrong"]), (&1.into(), &0.into()), "{json:#}");
        assert!(sum["acked"].as_u64() > Some(1_000) && sum["taken_over_keys"].as_u64() > Some(0), "{json:#}");
    }
}

#[test]
fn chaos_with_three_servers_finds_what_a_database_lost_that_compares_nothing() {
    loses(&["--db", "postgres", "--servers", "3", "--seconds", "1", "--rounds", "5", "--mutant", "unfenced"]);
}

#[test]
fn chaos_with_several_servers_needs_a_database_that_they_share() {
    let (output, text) = chaos(&["--servers", "3"]);
    assert!(!output.status.success() && text.contains("--db postgres"), "{text}");
    let (output, text) = chaos(&["--db", "postgres", "--servers", "3", "--fault", "promotion,loss"]);
    assert!(!output.status.success() && text.contains("one at a time"), "{text}");
}

#[test]
fn chaos_scenario_three_processes_increment_one_counter() {
    let (_, text) = chaos(&["scenario", "counter", "--seconds", "2"]);
    // Its rate is of a busy machine, and of a build for tests.
    assert!(text.contains("durable increments/s in total"), "{text}");
    assert!(!text.contains("twice") && !text.contains("increments were answered"), "{text}");
}

#[test]
fn chaos_scenario_two_writers_share_a_key() {
    passes(&["scenario", "two-writers", "--count", "500"]);
}

#[test]
fn chaos_scenario_takeover_of_keys_of_a_killed_process() {
    passes(&["scenario", "takeover", "--count", "100"]);
}

#[test]
fn chaos_scenario_a_frozen_process_overwrites_nothing() {
    passes(&["scenario", "zombie"]);
}

#[test]
fn chaos_scenario_of_processes_that_come_and_are_killed() {
    passes(&["scenario", "crowd", "--count", "2", "--seconds", "2"]);
}

#[test]
fn chaos_scenario_of_a_server_that_is_away_for_a_while() {
    passes(&["scenario", "outage", "--seconds", "15", "--count", "8000"]);
}

#[test]
fn chaos_scenario_of_a_newer_migration_under_load() {
    passes(&["scenario", "upgrade", "--seconds", "4"]);
}

#[test]
fn chaos_scenario_of_many_processes_on_stock_settings() {
    passes(&["scenario", "twenty", "--seconds", "3"]);
}

#[test]
fn chaos_faults_of_a_server_need_one() {
    let (output, text) = chaos(&["--fault", "postmaster"]);
    assert!(!output.status.success() && text.contains("no server"), "{text}");
}
