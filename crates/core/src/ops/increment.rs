//! `IncrementAsync` (spec §2.5): adds to a whole number; a missing key counts as 0.

use std::ops::RangeInclusive;

use super::Applied;
use crate::clock::Timestamp;
use crate::entry::{Attributes, Entry};
use crate::entry_key::StoreKind;
use crate::error::{CallError, ErrorCode};
use crate::limits::INTEGER_MAX;
use crate::ordered;
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
    pub(super) fn validate(&self, kind: StoreKind) -> Result<(), CallError> {
        if !in_range(kind, self.delta) {
            return Err(out_of_range(kind));
        }
        self.attributes.validate(kind)
    }

    /// Has it so few digits that it can be part of a sum (`backend::Number`)?
    pub(crate) fn fits_a_sum(&self) -> bool {
        self.delta.unsigned_abs() < 10_u64.pow(18)
    }

    pub(super) fn apply(&self, kind: StoreKind, head: &Entry, at: Timestamp) -> Result<Applied, CallError> {
        let old = match (&head.value, kind) {
            (None, _) => 0,
            (Some(value), StoreKind::Standard) => value.as_integer().ok_or_else(not_numeric)?,
            (Some(value), StoreKind::Ordered) => ordered::number(value).map_err(|_| not_numeric())?,
        };
        let sum = old.checked_add(self.delta).filter(|sum| in_range(kind, *sum)).ok_or_else(|| out_of_range(kind))?;
        Ok(Applied::written(head.successor(Some(Value::integer(sum)), self.attributes.clone(), at)))
    }
}

/// The range of `decisions.md` 19: what a double holds exactly, and in ordered stores what the database does.
pub(crate) const fn range(kind: StoreKind) -> RangeInclusive<i64> {
    match kind {
        StoreKind::Standard => -INTEGER_MAX..=INTEGER_MAX,
        StoreKind::Ordered => i64::MIN..=i64::MAX,
    }
}

fn in_range(kind: StoreKind, number: i64) -> bool {
    range(kind).contains(&number)
}

fn not_numeric() -> CallError {
    // To the letter: spec §2.5.
    ErrorCode::RequestRejected
        .error("API Services rejected request with error. Error code: 24 Reason: Key value is not numeric.")
}

/// The result would not be a number that the store holds exactly.
pub fn out_of_range(kind: StoreKind) -> CallError {
    let bits = if kind == StoreKind::Ordered { 63 } else { 53 };
    CallError::unavailable(format_args!("The result of the increment leaves the range of whole numbers, ±2^{bits}."))
}
