//! Processes under test.
//!
//! Owns: a directory per test, starting the program in it, waiting for a line of its output. Does not own any expectation.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const TYCOON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/luau/tycoon.luau");

/// A directory with scripts, and `db` in it.
pub(crate) struct Place(TempDir);

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn script(&self, name: &str, source: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, source).unwrap();
        path
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clawstore"));
        command.args(arguments).current_dir(self.0.path());
        command.env_remove("CLAWSTORE_DB").env_remove("DATABASE_URL").env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Starts the program here and waits for its end.
    pub(crate) fn ended(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }

    /// Runs a script on the directory `db` until it has ended.
    pub(crate) fn run(&self, source: &str, options: &[&str]) -> Ended {
        self.script("script.luau", source);
        self.ended(&arguments("script.luau", options))
    }

    /// Starts a script on the directory `db`.
    pub(crate) fn start(&self, source: &str, options: &[&str]) -> Running {
        self.script("server.luau", source);
        self.start_command(&arguments("server.luau", options))
    }

    /// Starts the program here.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Running { child, out, seen: String::new() }
    }

    pub(crate) fn get(&self, store: &str, key: &str) -> Ended {
        self.ended(&["get", "--db", "db", store, key])
    }
}

fn arguments<'a>(script: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", script, "--db", "db"];
    arguments.extend(options);
    if !options.contains(&"--max-real") {
        // A run that never ended would hang its test.
        arguments.extend(["--max-real", "60"]);
    }
    arguments
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "not in stderr: {text}\n{}", self.err);
        self
    }
}

/// A server that is running.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    seen: String,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it ended without {text:?}:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(text) {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn end(mut self) -> Ended {
        let (mut rest, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let mut out = std::mem::take(&mut self.seen);
        out.write_str(&rest).unwrap();
        Ended { code: self.child.wait().unwrap().code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves its server running; one that has ended is not hurt.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
