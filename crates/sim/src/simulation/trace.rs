//! What happened in a run, for people and for comparing two runs.
//!
//! Owns: the log's lines, in the form in which they cost little, and their digest. Does not own: what is worth a line.

use std::fmt;
use std::time::Duration;

use clawstore_core::clock::Moment;

/// Who a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The world: faults, the end.
    World,
    /// The database.
    Store,
    /// The server of this number.
    Server(usize),
}

/// One line: `{a}` and `{b}` stand for the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    at: Moment,
    who: Who,
    what: &'static str,
    a: u64,
    b: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.since(Moment::default()).as_secs_f64();
        let text = self.what.replace("{a}", &self.a.to_string()).replace("{b}", &self.b.to_string());
        match self.who {
            Who::World => write!(f, "{seconds:>10.6} world     {text}"),
            Who::Store => write!(f, "{seconds:>10.6} store     {text}"),
            Who::Server(server) => write!(f, "{seconds:>10.6} server {server}  {text}"),
        }
    }
}

/// The log of a run.
#[derive(Debug, Default)]
pub struct Trace {
    /// `None`: only the digest is made.
    lines: Option<Vec<Line>>,
    digest: u64,
    count: u64,
}

impl Trace {
    /// With or without the lines themselves.
    pub fn new(keeps_lines: bool) -> Self {
        Self { lines: keeps_lines.then(Vec::new), ..Self::default() }
    }

    /// Something happened.
    pub fn note(&mut self, at: Moment, who: Who, what: &'static str, a: u64, b: u64) {
        let who_number = match who {
            Who::World => u64::MAX,
            Who::Store => u64::MAX - 1,
            Who::Server(server) => server as u64,
        };
        let time = micros(at.since(Moment::default()));
        for part in [time, who_number, what.len() as u64, a, b] {
            self.digest = (self.digest ^ part).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        self.count += 1;
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at, who, what, a, b });
        }
    }

    /// Equal logs have equal digests.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Lines so far, kept or not.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lines, if they were kept.
    pub fn into_lines(self) -> Vec<Line> {
        self.lines.unwrap_or_default()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
