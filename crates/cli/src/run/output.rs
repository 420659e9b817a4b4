//! Where the lines of scripts go, and which lines are waited for.
//!
//! Owns: matching each line against `--until`, `--until-count`, `--expect` and `--forbid`; keeping lines for a report. Does
//! not own: showing them (`console`), the report (`report`).

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use clawstore_luau::Level;
use parking_lot::Mutex;
use regex::Regex;

use crate::args::run::Expectations;
use crate::console::Console;
use crate::run::report::Line;

#[derive(Debug)]
struct Awaited {
    pattern: Regex,
    times: u32,
    seen: Cell<u32>,
}

impl Awaited {
    fn new(pattern: &Regex, times: u32) -> Self {
        Self { pattern: pattern.clone(), times, seen: Cell::new(0) }
    }

    fn look(&self, line: &str) {
        if !self.is_seen() && self.pattern.is_match(line) {
            self.seen.set(self.seen.get() + 1);
        }
    }

    fn is_seen(&self) -> bool {
        self.seen.get() >= self.times
    }

    fn missing(&self) -> Option<String> {
        match (self.is_seen(), self.times) {
            (true, _) => None,
            (false, 1) => Some(self.pattern.as_str().to_owned()),
            (false, times) => Some(format!("{} ({} of {times} times)", self.pattern.as_str(), self.seen.get())),
        }
    }
}

/// The scripts' output. On the servers' thread only.
#[derive(Debug)]
pub(crate) struct Output {
    /// `None`: nothing is shown.
    console: Option<Arc<Mutex<Console>>>,
    until: Option<Awaited>,
    until_count: Vec<Awaited>,
    expect: Vec<Awaited>,
    forbid: Vec<Regex>,
    /// The first line that was forbidden.
    forbidden: RefCell<Option<String>>,
    /// `None`: no report is written.
    lines: RefCell<Option<Vec<Line>>>,
}

impl Output {
    pub(super) fn new(expectations: &Expectations, console: &Arc<Mutex<Console>>) -> Self {
        Self {
            console: Some(Arc::clone(console)),
            until: expectations.until.as_ref().map(|pattern| Awaited::new(pattern, 1)),
            until_count: expectations.until_count.iter().map(|c| Awaited::new(&c.pattern, c.times)).collect(),
            expect: expectations.expect.iter().map(|pattern| Awaited::new(pattern, 1)).collect(),
            forbid: expectations.forbid.clone(),
            forbidden: RefCell::new(None),
            lines: RefCell::new(expectations.report.as_ref().map(|_| Vec::new())),
        }
    }

    /// Shows nothing and waits for nothing, but keeps every line.
    pub(crate) fn kept() -> Self {
        Self {
            console: None,
            until: None,
            until_count: Vec::new(),
            expect: Vec::new(),
            forbid: Vec::new(),
            forbidden: RefCell::new(None),
            lines: RefCell::new(Some(Vec::new())),
        }
    }

    /// A line of a server, at this time of the game. `server` is empty if there is only one.
    pub(super) fn write(&self, server: &str, at: Duration, level: Level, text: &str) {
        if let Some(console) = &self.console {
            match server {
                "" => console.lock().script(level, text),
                server => console.lock().script(level, &format!("[{server}] {text}")),
            }
        }
        for line in text.lines() {
            let awaited = self.until.iter().chain(&self.until_count).chain(&self.expect);
            awaited.for_each(|awaited| awaited.look(line));
            if self.forbid.iter().any(|pattern| pattern.is_match(line)) {
                self.forbidden.borrow_mut().get_or_insert_with(|| line.to_owned());
            }
        }
        if let Some(lines) = self.lines.borrow_mut().as_mut() {
            lines.push(Line::new(server, at, level, text));
        }
    }

    /// What was to end the run has been seen.
    pub(super) fn until_is_seen(&self) -> bool {
        let counted = !self.until_count.is_empty() && self.until_count.iter().all(Awaited::is_seen);
        counted || self.until.as_ref().is_some_and(Awaited::is_seen)
    }

    pub(super) fn forbidden(&self) -> Option<String> {
        self.forbidden.borrow().clone()
    }

    /// What was to be seen and was not.
    pub(super) fn unseen(&self) -> Vec<String> {
        self.until.iter().chain(&self.until_count).chain(&self.expect).filter_map(Awaited::missing).collect()
    }

    pub(crate) fn take_lines(&self) -> Vec<Line> {
        self.lines.take().unwrap_or_default()
    }
}
