//! Where the lines of scripts go, and which lines are waited for.
//!
//! Owns: matching each line against `--until`, `--expect` and `--forbid`. Does not own: showing it (`console`).

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use clawstore_luau::Level;
use parking_lot::Mutex;
use regex::Regex;

use crate::args::RunArguments;
use crate::console::Console;

#[derive(Debug)]
struct Awaited {
    pattern: Regex,
    seen: Cell<bool>,
}

impl Awaited {
    fn new(pattern: &Regex) -> Self {
        Self { pattern: pattern.clone(), seen: Cell::new(false) }
    }

    fn look(&self, line: &str) {
        if !self.seen.get() && self.pattern.is_match(line) {
            self.seen.set(true);
        }
    }
}

/// The scripts' output. On the server's thread only.
#[derive(Debug)]
pub(super) struct Output {
    console: Arc<Mutex<Console>>,
    until: Option<Awaited>,
    expect: Vec<Awaited>,
    forbid: Vec<Regex>,
    /// The first line that was forbidden.
    forbidden: RefCell<Option<String>>,
}

impl Output {
    pub(super) fn new(arguments: &RunArguments, console: &Arc<Mutex<Console>>) -> Self {
        Self {
            console: Arc::clone(console),
            until: arguments.until.as_ref().map(Awaited::new),
            expect: arguments.expect.iter().map(Awaited::new).collect(),
            forbid: arguments.forbid.clone(),
            forbidden: RefCell::new(None),
        }
    }

    pub(super) fn write(&self, level: Level, text: &str) {
        self.console.lock().script(level, text);
        for line in text.lines() {
            self.until.iter().chain(&self.expect).for_each(|awaited| awaited.look(line));
            if self.forbid.iter().any(|pattern| pattern.is_match(line)) {
                self.forbidden.borrow_mut().get_or_insert_with(|| line.to_owned());
            }
        }
    }

    /// The line of `--until` has been seen.
    pub(super) fn until_is_seen(&self) -> bool {
        self.until.as_ref().is_some_and(|until| until.seen.get())
    }

    pub(super) fn forbidden(&self) -> Option<String> {
        self.forbidden.borrow().clone()
    }

    /// What was to be seen and was not.
    pub(super) fn unseen(&self) -> Vec<String> {
        let open = self.until.iter().chain(&self.expect).filter(|awaited| !awaited.seen.get());
        open.map(|awaited| awaited.pattern.as_str().to_owned()).collect()
    }
}
