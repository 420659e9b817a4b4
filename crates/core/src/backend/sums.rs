//! Sums: increments of a shared key that travel as one row.
//!
//! Owns: what a store does with such a row, in one place for all stores; SQL says the same (`commit_batch_v2` in
//! `migrations/`). Does not own: which increments become a sum (`write_batch`), the row (`BatchRow`).

use std::ops::RangeInclusive;

use crate::clock::Timestamp;
use crate::entry::Entry;
use crate::value::Value;

/// Digits of a number that is added, or added to: two of them never make one beyond int64.
const DIGITS_MAX: usize = 18;

/// A stored whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Which revision.
    pub revision: u64,
    /// When the key was first written.
    pub created: Timestamp,
    /// When this revision was accepted.
    pub updated: Timestamp,
    /// The value.
    pub number: i64,
}

impl Number {
    /// What is stored, if it is written as a whole number of at most 18 digits.
    pub fn of(entry: &Entry) -> Option<Self> {
        let text = std::str::from_utf8(entry.value.as_ref()?.json()).ok()?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_plain = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_plain)?;
        Some(Self { revision: entry.revision, created: entry.created, updated: entry.updated, number })
    }

    /// The state that a sum makes of it, if it is in the range of the row. `None` also when the hour changes: a version may have
    /// to be kept then (`versioning`), which a write of the state sees to.
    pub fn plus(&self, sum: &Entry, onto: &RangeInclusive<i64>) -> Option<Entry> {
        let added = Self::of(sum).filter(|_| onto.contains(&self.number))?;
        // Each of the calls has a time of its own.
        let last = Timestamp::from_ticks(self.updated.ticks().saturating_add(sum.revision));
        let updated = sum.updated.max(last);
        let sum = Entry {
            revision: self.revision + sum.revision,
            created: self.created,
            updated,
            value: Some(Value::integer(self.number.checked_add(added.number)?)),
            attributes: sum.attributes.clone(),
        };
        (self.updated.hour() == updated.hour()).then_some(sum)
    }

    /// As an entry, without attributes.
    pub fn entry(&self) -> Entry {
        let value = Some(Value::integer(self.number));
        let Self { revision, created, updated, .. } = *self;
        Entry { revision, created, updated, value, ..Entry::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: u64, updated: u64, value: &str) -> Entry {
        let updated = Timestamp::from_ticks(updated);
        Entry { revision, created: updated, updated, value: Value::new(value.to_owned()).ok(), ..Entry::default() }
    }

    #[test]
    fn only_plain_whole_numbers_are_added_to() {
        let number = |value: &str| Number::of(&entry(1, 1, value)).map(|number| number.number);
        assert_eq!((number("41"), number("-7"), number("-0")), (Some(41), Some(-7), Some(0)));
        assert_eq!(number("999999999999999999"), Some(999_999_999_999_999_999));
        for value in ["1000000000000000000", "", "-", "+1", "1.0", "1e3", " 1", "\"1\"", "null"] {
            assert_eq!(number(value), None, "{value}");
        }
        assert_eq!(Number::of(&Entry::default()), None);
    }

    #[test]
    fn a_sum_is_added_within_its_range_and_hour() {
        let stored = Number::of(&entry(7, 100, "10")).expect("a number");
        let sum = entry(3, 50, "5");
        let plus = |range| stored.plus(&sum, &range);
        let after = plus(0..=10).expect("in range");
        let shape = (after.revision, after.created.ticks(), after.updated.ticks(), after.value);
        assert_eq!(shape, (10, 100, 103, Some(Value::integer(15))));
        assert_eq!((plus(11..=20), plus(0..=9)), (None, None));
        let next_hour = entry(1, 36_000_000_000, "1");
        assert_eq!(stored.plus(&next_hour, &(0..=100)), None);
        assert_eq!(stored.plus(&entry(1, 35_999_999_999, "1"), &(0..=100)).map(|entry| entry.revision), Some(8));
    }
}
