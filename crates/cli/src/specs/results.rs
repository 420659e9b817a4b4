//! Results of tests, for people and for programs.
//!
//! Owns: the lines that are shown, the JSON file, and what a failure tells. Does not own: running tests.

use std::path::Path;
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
    /// Its file could not be loaded.
    #[serde(skip)]
    pub(super) is_unloadable: bool,
}

impl TestResult {
    /// A file whose tests are not known.
    pub(super) fn unloadable(file: &str, failure: Failure) -> Self {
        Self { is_unloadable: true, ..Self::failed(file, "(the file itself)", 0, failure) }
    }

    /// One that came to nothing.
    pub(super) fn failed(file: &str, name: &str, seed: u64, failure: Failure) -> Self {
        let (file, name) = (file.to_owned(), name.to_owned());
        Self { file, name, seed, seconds: 0.0, faults: 0, failure: Some(failure), is_unloadable: false }
    }
}

/// The command line that runs one test again: this one, but for which test and which seed.
fn repeating(arguments: impl Iterator<Item = String>, seed: u64, name: &str) -> String {
    const REPLACED: [&str; 3] = ["--seed", "--runs", "--only"];
    let mut words = vec!["clawstore".to_owned()];
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if REPLACED.contains(&argument.as_str()) {
            arguments.next();
        } else if !REPLACED.iter().any(|option| argument.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
        {
            words.push(quoted(&argument));
        }
    }
    words.extend(["--seed".to_owned(), seed.to_string(), "--only".to_owned()]);
    words.push(quoted(&format!("^{}$", regex::escape(name))));
    words.join(" ")
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Results {
    console: Arc<Mutex<Console>>,
    all: Vec<TestResult>,
}

impl Results {
    pub(super) fn new(console: &Arc<Mutex<Console>>) -> Self {
        Self { console: Arc::clone(console), all: Vec::new() }
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
        self.say(&format!("      again: {}", repeating(std::env::args().skip(1), result.seed, &result.name)));
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
        if self.all.iter().any(|result| result.is_unloadable) {
            return Ok(Exit::Load);
        }
        Ok(if failed == 0 && passed > 0 { Exit::Success } else { Exit::Failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_repeated_with_what_it_was_run_with() {
        let given = [
            "test",
            "my specs",
            "--runs",
            "8",
            "--fault",
            "UpdateAsync:p=0.1:502",
            "--seed=3",
            "--profile",
            "clawblox",
        ];
        let again = repeating(given.iter().map(|word| (*word).to_owned()), 6, "it's (a) test");
        let expected = "clawstore test 'my specs' --fault UpdateAsync:p=0.1:502 --profile clawblox --seed 6 --only \
                        '^it'\\''s \\(a\\) test$'";
        assert_eq!(again, expected);
    }
}
