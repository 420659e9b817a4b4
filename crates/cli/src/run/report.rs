//! The report of a run: what was printed, what was called, how it ended.
//!
//! Owns: its form, which has no real time in it: the same seed gives the same report. Does not own: collecting it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use clawstore_luau::Level;
use serde::Serialize;

/// One piece of output: a line, or an error with its traceback.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) server: String,
    /// Seconds of the game.
    pub(crate) time: f64,
    pub(crate) level: &'static str,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn new(server: &str, at: Duration, level: Level, text: &str) -> Self {
        let level = match level {
            Level::Print => "print",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        Self { server: server.to_owned(), time: at.as_secs_f64(), level, text: text.to_owned() }
    }
}

/// What is told of one server.
#[derive(Debug, Serialize)]
pub(crate) struct ServerReport {
    pub(crate) name: String,
    /// `closed`, `killed`, `close took too long` or `never started`.
    pub(crate) end: &'static str,
    /// Errors of scripts, handlers and spawned threads.
    pub(crate) errors: u64,
    /// Calls by service and method.
    pub(crate) calls: BTreeMap<String, u64>,
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) clock: &'static str,
    pub(crate) seed: u64,
    /// Time of the game at the end, in seconds.
    pub(crate) seconds: f64,
    pub(crate) ended_by: String,
    pub(crate) exit_code: u8,
    /// Faults injected.
    pub(crate) faults: u64,
    pub(crate) servers: Vec<ServerReport>,
    pub(crate) lines: Vec<Line>,
}

impl Report {
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        Ok(file.flush()?)
    }
}
