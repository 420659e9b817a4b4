//! `IncrementAsync` (spec §2.5): adds to a whole number; a missing key counts as 0.

use super::Applied;
use crate::clock::Timestamp;
use crate::entry::{Attributes, Entry};
use crate::error::{CallError, ErrorCode};
use crate::limits::INTEGER_MAX;
use crate::value::Value;

/// What `IncrementAsync` was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Increment {
    /// How much to add.
    pub delta: i64,
    /// The new user ids and metadata.
    pub attributes: Attributes,
}

impl Increment {
    pub(super) fn validate(&self) -> Result<(), CallError> {
        if self.delta.unsigned_abs() > INTEGER_MAX.unsigned_abs() {
            return Err(out_of_range());
        }
        self.attributes.validate()
    }

    pub(super) fn apply(&self, head: &Entry, at: Timestamp) -> Result<Applied, CallError> {
        let old = match &head.value {
            None => 0,
            Some(value) => value.as_integer().ok_or_else(not_numeric)?,
        };
        let sum = old.saturating_add(self.delta);
        if sum.unsigned_abs() > INTEGER_MAX.unsigned_abs() {
            return Err(out_of_range());
        }
        Ok(Applied::written(head.successor(Some(Value::integer(sum)), self.attributes.clone(), at)))
    }
}

fn not_numeric() -> CallError {
    // To the letter: spec §2.5.
    ErrorCode::RequestRejected
        .error("API Services rejected request with error. Error code: 24 Reason: Key value is not numeric.")
}

fn out_of_range() -> CallError {
    CallError::unavailable("The result of the increment leaves the range of whole numbers, ±2^53.")
}
