//! Every call with how it ended.
//!
//! Owns: what is known of a call outside of the system. Does not own: whether it is right (`checks`).

use std::sync::Arc;

use clawstore_core::clock::Moment;
use clawstore_core::ops::{CallResult, Reply};
use clawstore_core::{Entry, Outcome};

use super::context::Me;
use super::workload::What;

/// How a call has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It has not.
    Open,
    /// OK: this was shown.
    Ok(Arc<Entry>),
    /// OK, without a write: the transform returned nil.
    Cancelled,
    /// FAIL.
    Failed,
    /// UNKNOWN.
    Unknown,
    /// Its VM or its process is gone: nobody was told anything.
    Lost,
    /// Its transform raised.
    Raised,
}

impl End {
    /// A line of the log.
    pub const fn note(&self) -> &'static str {
        match self {
            Self::Open => "call {a} is open",
            Self::Ok(_) => "call {a} is OK",
            Self::Cancelled => "call {a} is cancelled",
            Self::Failed => "call {a} is FAIL",
            Self::Unknown => "call {a} is UNKNOWN",
            Self::Lost => "call {a} is lost",
            Self::Raised => "call {a} ends in its transform",
        }
    }
}

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose.
    pub me: Me,
    /// On which key, by number.
    pub key: usize,
    /// What.
    pub what: What,
    /// When it was called.
    pub invoked: Moment,
    /// When it must have ended.
    pub deadline: Moment,
    /// When it ended.
    pub ended: Moment,
    /// How.
    pub end: End,
    /// It was made to see whether all is well again, and must succeed.
    pub is_probe: bool,
}

/// All calls of a run, by number.
#[derive(Debug, Default)]
pub struct History {
    /// In the order in which they were made.
    pub calls: Vec<Call>,
    /// How many are open.
    pub open: usize,
}

impl History {
    /// A call is made. Gives its number.
    pub fn begin(&mut self, call: Call) -> usize {
        self.calls.push(call);
        self.open += 1;
        self.calls.len() - 1
    }

    /// It ends, unless it has ended.
    pub fn end(&mut self, number: usize, at: Moment, end: End) {
        let call = &mut self.calls[number];
        if call.end == End::Open {
            (call.ended, call.end) = (at, end);
            self.open -= 1;
        }
    }

    /// How many have ended so.
    pub fn count(&self, is: impl Fn(&End) -> bool) -> usize {
        self.calls.iter().filter(|call| is(&call.end)).count()
    }
}

impl From<CallResult> for End {
    fn from(result: CallResult) -> Self {
        match result {
            Ok(Reply::Entry(entry)) => Self::Ok(entry),
            Ok(_) => Self::Cancelled,
            Err(error) if error.outcome == Outcome::Unknown => Self::Unknown,
            Err(_) => Self::Failed,
        }
    }
}
