//! Scores: what games of the Clawblox engine rank by. A score may be a fraction, and may stand in a table: `{score = 1.5, name = …}`.
//!
//! Owns: reading a value's score, and the exact order of entries whose numbers, as backends keep them, are scores rounded
//! down. Does not own: who may store such values (the bindings' profile), asking a backend (`actors`).

use std::cmp::Ordering;

use serde::Deserialize;

use crate::backend::{SortedItem, SortedQuery};
use crate::error::{CallError, ErrorCode};
use crate::ordered;
use crate::value::Value;

/// The first number beyond int64.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// The fewest entries to ask a backend for at once: most pages need one question, also where scores share their whole part.
const CHUNK_MIN: usize = 128;

#[derive(Deserialize)]
struct Scored {
    score: f64,
}

/// The number that a value ranks by: itself, or its field `score`.
///
/// # Errors
/// 103 for a value without a finite number there; 502 for a number beyond int64.
pub fn score(value: &Value) -> Result<f64, CallError> {
    let score = match value.json().trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice::<Scored>(value.json()).map_err(|_| no_score())?.score,
        _ => match serde_json::from_slice::<f64>(value.json()) {
            Ok(number) => number,
            // Text, booleans, arrays: refused by their names.
            #[expect(clippy::cast_precision_loss, reason = "not reached: what is a whole number is a number")]
            Err(_) => return ordered::number(value).map(|number| number as f64),
        },
    };
    if (-TWO_POW_63..TWO_POW_63).contains(&score) { Ok(score) } else { Err(ordered::beyond_int64()) }
}

fn no_score() -> CallError {
    ErrorCode::ValueNotAllowed.error("A table without a numeric score is not allowed in ordered data stores.")
}

/// The whole number at or below a value's score: what a backend sorts by.
///
/// # Errors
/// As [`score`].
pub fn floor(value: &Value) -> Result<i64, CallError> {
    // Whole numbers are exact, also where doubles are not.
    ordered::number(value).or_else(|_| {
        #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
        score(value).map(|score| score.floor() as i64)
    })
}

/// One page in the exact order of scores, made of a backend's lists, which are in the order of whole numbers.
#[derive(Debug)]
pub struct ScorePage {
    query: SortedQuery,
    /// The last entry of the page before.
    after: Option<SortedItem>,
    /// Number and key of the last entry that the backend has told.
    told: Option<SortedItem>,
    /// The best so far, in order, at most `query.limit`.
    best: Vec<SortedItem>,
    is_complete: bool,
}

impl ScorePage {
    /// The page behind `after`; `query.after` is not looked at. Bounds are bounds of scores.
    pub fn new(query: SortedQuery, after: Option<SortedItem>) -> Self {
        let is_complete = query.limit == 0;
        Self { query, after, told: None, best: Vec::new(), is_complete }
    }

    /// What to ask the backend next; `None` when the page is complete.
    pub fn question(&self) -> Option<SortedQuery> {
        if self.is_complete {
            return None;
        }
        let mut query = SortedQuery { limit: self.query.limit.max(CHUNK_MIN), ..self.query.clone() };
        query.after = self.told.as_ref().map(|last| (last.number, last.key.clone()));
        // Entries of the same whole number may stand on either side of the last one: they are asked for again.
        match &self.after {
            Some(after) if query.ascending => query.min = query.min.max(after.number),
            Some(after) => query.max = query.max.min(after.number),
            None => {}
        }
        Some(query)
    }

    /// Takes the backend's answer to [`ScorePage::question`].
    pub fn take(&mut self, items: Vec<SortedItem>) {
        let is_last = items.len() < self.query.limit.max(CHUNK_MIN);
        self.told = items.last().cloned().or_else(|| self.told.take());
        let (query, after) = (&self.query, &self.after);
        let is_asked = |item: &SortedItem| {
            let is_behind = after.as_ref().is_none_or(|after| order(query.ascending, after, item).is_lt());
            is_behind && exact(item) <= as_score(query.max)
        };
        self.best.extend(items.into_iter().filter(is_asked));
        self.best.sort_by(|a, b| order(query.ascending, a, b));
        self.best.truncate(self.query.limit);
        // The next ones could still be better than the last one here if their whole number is the same.
        let is_settled = |last: &SortedItem| self.told.as_ref().is_some_and(|told| told.number != last.number);
        self.is_complete = is_last || (self.best.len() == self.query.limit && self.best.last().is_some_and(is_settled));
    }

    /// The page. Complete when there is no further [`ScorePage::question`].
    pub fn into_items(self) -> Vec<SortedItem> {
        self.best
    }
}

#[expect(clippy::cast_precision_loss, reason = "scores are doubles")]
fn as_score(number: i64) -> f64 {
    number as f64
}

/// The score of an entry that is stored. What has none would not be in a list.
fn exact(item: &SortedItem) -> f64 {
    score(&item.value).unwrap_or_else(|_| as_score(item.number))
}

/// By number, score and key; descending is exactly the reverse.
fn order(ascending: bool, a: &SortedItem, b: &SortedItem) -> Ordering {
    let by_score = || exact(a).partial_cmp(&exact(b)).unwrap_or(Ordering::Equal);
    let order = a.number.cmp(&b.number).then_with(by_score).then_with(|| a.key.cmp(&b.key));
    if ascending { order } else { order.reverse() }
}

#[cfg(test)]
mod tests;
