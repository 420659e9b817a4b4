//! A few rounds of `clawstore-chaos`, honest and with a fault.
//!
//! Owns: that an honest store passes, and that one that answers before it commits does not. Does not own: the long run
//! (`cargo xtask chaos --rounds 200`), the single rules (`chaos::check`).
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::process::{Command, Output};

fn chaos(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_clawstore-chaos")).args(arguments).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

#[test]
fn chaos_finds_nothing_in_an_honest_store() {
    let (output, text) = chaos(&["--rounds", "5", "--seed", "11"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("5 kills") && text.contains(" 0 wrong"), "{text}");
}

#[test]
fn chaos_finds_what_a_store_lost_that_answers_before_it_commits() {
    let (output, text) = chaos(&["--rounds", "3", "--seed", "12", "--mutant", "ack-before-commit"]);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("LOST"), "{text}");
}
