//! Results of tests, for people and for programs.
//!
//! Owns: the lines that are shown, the JSON file, and what a failure tells. Does not own: running tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clawstore_luau::Level;
use parking_lot::Mutex;
use serde::Serialize;

use crate::console::Console;
use crate::exit::Exit;
use crate::run::report::Line;

/// Lines of output that are shown of a test that failed; the file has all.
const LINES_SHOWN: usize = 20;

/// Why a test failed.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    error: String,
    /// What all its servers printed.
    output: Vec<Line>,
}

impl Failure {
    pub(super) fn new(error: String, output: Vec<Line>) -> Self {
        Self { error, output }
    }
}

/// One test with one seed.
#[derive(Debug, Serialize)]
pub(super) struct TestResult {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) seed: u64,
    /// Simulated.
    pub(super) seconds: f64,
    /// Faults injected.
    pub(super) faults: u64,
    pub(super) failure: Option<Failure>,
}

impl TestResult {
    /// A file whose tests are not known.
    pub(super) fn unloadable(file: &str, failure: Failure) -> Self {
        let name = "(the file itself)".to_owned();
        Self { file: file.to_owned(), name, seed: 0, seconds: 0.0, faults: 0, failure: Some(failure) }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Results {
    path: PathBuf,
    console: Arc<Mutex<Console>>,
    all: Vec<TestResult>,
}

impl Results {
    pub(super) fn new(path: &Path, console: &Arc<Mutex<Console>>) -> Self {
        Self { path: path.to_owned(), console: Arc::clone(console), all: Vec::new() }
    }

    pub(super) fn add(&mut self, result: TestResult) {
        if self.all.last().is_none_or(|last| last.file != result.file) {
            self.say(&result.file);
        }
        let mark = if result.failure.is_some() { "✗" } else { "✓" };
        let faults = match result.faults {
            0 => String::new(),
            1 => ", 1 fault".to_owned(),
            many => format!(", {many} faults"),
        };
        self.say(&format!(
            "  {mark} {} ({:.1} s simulated{faults}, seed {})",
            result.name, result.seconds, result.seed
        ));
        if let Some(failure) = &result.failure {
            self.show(failure, &result);
        }
        self.all.push(result);
        self.console.lock().flush();
    }

    fn show(&self, failure: &Failure, result: &TestResult) {
        for line in failure.error.lines().filter(|line| !line.trim().is_empty()) {
            self.say(&format!("      {line}"));
        }
        let skipped = failure.output.len().saturating_sub(LINES_SHOWN);
        if !failure.output.is_empty() {
            let note = if skipped > 0 {
                format!(" (the last {LINES_SHOWN} of {})", failure.output.len())
            } else {
                String::new()
            };
            self.say(&format!("      output{note}:"));
        }
        for line in failure.output.iter().skip(skipped) {
            let text = line.text.replace('\n', "\n          ");
            self.say(&format!("        {:9.3} [{}] {text}", line.time, line.server));
        }
        let name = regex::escape(&result.name).replace('\'', "'\\''");
        let path = self.path.display();
        self.say(&format!("      again: clawstore test {path} --seed {} --only '^{name}$'", result.seed));
    }

    fn say(&self, text: &str) {
        self.console.lock().script(Level::Print, text);
    }

    /// # Errors
    /// If the file cannot be written.
    pub(super) fn finish(self, report: Option<&Path>) -> anyhow::Result<Exit> {
        let failed = self.all.iter().filter(|result| result.failure.is_some()).count();
        let passed = self.all.len() - failed;
        self.say(&format!("{passed} passed, {failed} failed"));
        if self.all.is_empty() {
            self.say("no test was found");
        }
        if let Some(path) = report {
            let json = serde_json::to_vec_pretty(&self.all)?;
            std::fs::write(path, json).with_context(|| format!("the report {} cannot be written", path.display()))?;
        }
        Ok(if failed == 0 && passed > 0 { Exit::Success } else { Exit::Failed })
    }
}
