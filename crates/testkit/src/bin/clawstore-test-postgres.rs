//! `clawstore-test-postgres`: Postgres servers for `cargo xtask`, which imports nothing of ours.
//!
//! Owns: its command line. Does not own: the servers; `clawstore_testkit::postgres` does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command: printing is its work")]

use std::io::{Error, Read as _, Result};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use clawstore_testkit::postgres::{State, server_program};

const USAGE: &str = "usage: clawstore-test-postgres hold | up DIR | url DIR | psql DIR [ARGUMENT]... | down DIR
DIR is cargo's target directory: it remembers the server that was started.
hold prints the URL of a server that goes when standard input ends.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["hold"] => hold(),
        ["up", target] => {
            println!("{}", State::up(Path::new(target))?.url);
            Ok(())
        }
        ["url", target] => {
            println!("{}", started(target)?.url);
            Ok(())
        }
        ["psql", target, arguments @ ..] => {
            let url = started(target)?.url;
            Err(Command::new(server_program("psql")?).arg(url).args(arguments).exec())
        }
        ["down", target] => {
            started(target)?;
            State::down(Path::new(target))
        }
        _ => Err(Error::other(USAGE)),
    }
}

fn started(target: &str) -> Result<State> {
    let advice = |error| Error::other(format!("no server of ours in {target} (`cargo xtask pg up`): {error}"));
    State::read(Path::new(target)).map_err(advice)
}

fn hold() -> Result<()> {
    let cluster = State::cluster()?;
    println!("{}", cluster.url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(cluster);
    Ok(())
}
