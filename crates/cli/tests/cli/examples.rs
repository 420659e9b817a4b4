//! The examples of `examples/luau`: each does what the transcript beside it says.
//!
//! Owns: running the command in the first line of every `*.expected` there and comparing all that scripts print. With
//! `UPDATE_EXPECT=1` the transcripts are written anew: their difference is part of the review. Does not own: the tycoon,
//! whose output is another in every run (`tycoon`).

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Ended, Place};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/luau");

/// Files and folders in the folder of examples, in order.
fn examples() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(EXAMPLES).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension() == Some(OsStr::new(extension))
}

/// Runs a line such as `$ clawstore run data_stores.luau --clock sim`.
fn run(line: &str) -> Ended {
    let mut words = line.split_whitespace();
    assert_eq!((words.next(), words.next()), (Some("$"), Some("clawstore")), "{line}");
    let mut arguments: Vec<&str> = words.collect();
    // An example that never ended would hang the tests.
    arguments.extend(["--max-real", "60"]);
    Ended::of(Place::new().command(&arguments).current_dir(EXAMPLES).output().unwrap())
}

#[test]
fn examples_print_what_their_transcripts_say() {
    for path in examples().iter().filter(|path| has_extension(path, "expected")) {
        let transcript = fs::read_to_string(path).unwrap();
        let (command, expected) = transcript.split_once('\n').unwrap();
        let ended = run(command);
        ended.expect(0);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(path, format!("{command}\n{}", ended.out)).unwrap();
        } else {
            assert_eq!(ended.out, expected, "{}", path.display());
        }
    }
}

#[test]
fn every_example_has_a_transcript() {
    let is_example = |path: &&PathBuf| path.is_dir() || has_extension(path, "luau");
    let bare: Vec<PathBuf> = examples()
        .iter()
        .filter(is_example)
        .filter(|path| !path.ends_with("tycoon.luau") && !path.with_extension("expected").is_file())
        .cloned()
        .collect();
    assert!(bare.is_empty(), "no *.expected beside {bare:?}");
}
