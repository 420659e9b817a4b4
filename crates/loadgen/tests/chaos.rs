//! A few rounds of `clawstore-chaos`, honest and with a fault, and its scenarios in short.
//!
//! Owns: that an honest store passes on both backends, and that one that answers before it commits does not. Does not own:
//! the long runs (`cargo xtask chaos`), the single rules (`chaos::check`).
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
