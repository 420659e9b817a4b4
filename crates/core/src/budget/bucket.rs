//! The budget of one request type: it fills with time and is taken from.
//!
//! Owns: exact arithmetic in parts of a request. Does not own: rates (`request_type`).

use std::time::Duration;

use crate::clock::Timestamp;
use crate::limits::BUDGET_MINUTES;

/// Parts of one request: ticks of 100 ns in a minute, so that one tick adds as many parts as there are requests in a minute.
const REQUEST: u64 = 600_000_000;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// In parts of a request.
    level: u64,
    /// Until when it is filled.
    filled: Timestamp,
}

impl Bucket {
    pub(super) const fn holding(requests: u64, now: Timestamp) -> Self {
        Self { level: requests * REQUEST, filled: now }
    }

    /// Fills it up to now, as far as it goes. A rate that has changed counts for all of the time since it was last looked at.
    pub(super) fn fill(&mut self, now: Timestamp, per_minute: u64) {
        let ticks = now.ticks().saturating_sub(self.filled.ticks()).min(BUDGET_MINUTES * REQUEST);
        self.level += ticks * per_minute;
        self.limit(per_minute);
        self.filled = self.filled.max(now);
    }

    /// Lets go of what is more than is kept at this rate.
    pub(super) fn limit(&mut self, per_minute: u64) {
        self.level = self.level.min(BUDGET_MINUTES * per_minute * REQUEST);
    }

    /// At least so many parts of requests from now on.
    pub(super) fn raise_to(&mut self, per_minute: u64, seconds: u64) {
        self.level = self.level.max(per_minute * seconds * (REQUEST / 60));
    }

    /// Whole requests that it holds.
    pub(super) const fn requests(&self) -> u64 {
        self.level / REQUEST
    }

    pub(super) fn take(&mut self, requests: u64) {
        self.level = self.level.saturating_sub(requests * REQUEST);
    }

    /// How long until it holds so many, at this rate; `None` if it never will.
    pub(super) fn wait(&self, requests: u64, per_minute: u64) -> Option<Duration> {
        let missing = (requests * REQUEST).saturating_sub(self.level);
        match (missing, per_minute) {
            (0, _) => Some(Duration::ZERO),
            (_, 0) => None,
            _ => Some(Duration::from_nanos(missing.div_ceil(per_minute).saturating_mul(100))),
        }
    }
}
