//! `cargo xtask pg`: a private Postgres server, and the one that `cargo xtask test` takes for its run.
//!
//! Owns: the options, and how long the server of a test run lives. Does not own: starting and finding servers; the
//! program `clawstore-test-postgres` of the test kit does.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::shell::{cargo, run as run_command, target_dir};

const PROGRAM: &str = "clawstore-test-postgres";

/// The environment variable under which tests look for a server.
pub(crate) const VARIABLE: &str = "CLAWSTORE_TEST_POSTGRES";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Start a server that stays, and print its URL: tests find it, also without `cargo xtask test`.
    Up,
    /// End it and remove its data.
    Down,
    /// Open `psql` on it.
    Psql {
        /// What `psql` is given; its own `--help` comes after `--`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

pub(crate) fn run(action: &Action) -> Result<()> {
    let (word, arguments) = match action {
        Action::Up => ("up", &[][..]),
        Action::Down => ("down", &[][..]),
        Action::Psql { arguments } => ("psql", &arguments[..]),
    };
    // `psql` reads and writes files where the caller is: no change of directory.
    run_command(program()?.arg(word).arg(target_dir()?).args(arguments))
}

fn program() -> Result<Command> {
    let build = ["build", "--quiet", "--package", "clawstore-testkit", "--bin", PROGRAM];
    run_command(&mut cargo(&build))?;
    Ok(Command::new(target_dir()?.join("debug").join(PROGRAM)))
}

/// A server that goes with this, and also when `cargo xtask` is killed: its input ends.
#[derive(Debug)]
pub(crate) struct Server {
    holder: Child,
    url: String,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        Self::held_by(program()?.arg("hold"))
    }

    fn held_by(command: &mut Command) -> Result<Self> {
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(holder.stdout.take().context("has no output")?).read_line(&mut url)?;
        let server = Self { holder, url: url.trim().to_owned() };
        ensure!(!server.url.is_empty(), "the Postgres server for the tests did not start");
        Ok(server)
    }

    /// The database that it came with, as the superuser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_goes_when_nobody_holds_it() {
        let marker = std::env::temp_dir().join(format!("clawstore-xtask-pg-{}", std::process::id()));
        let script = "echo postgres://here; cat; echo gone > \"$0\"";
        let server = Server::held_by(Command::new("sh").args(["-c", script]).arg(&marker)).expect("starts");
        assert_eq!(server.url(), "postgres://here");
        assert!(!marker.exists());
        drop(server);
        assert!(std::fs::remove_file(&marker).is_ok(), "we waited until it was gone");
    }

    #[test]
    fn a_server_that_does_not_start_is_an_error() {
        let error = Server::held_by(Command::new("sh").args(["-c", "exit 3"])).expect_err("no URL");
        assert!(error.to_string().contains("did not start"), "{error}");
    }
}
