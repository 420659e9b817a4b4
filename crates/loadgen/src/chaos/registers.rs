//! Is there an order of the writes and reads of a plain value that time allows?
//!
//! Owns: linearizability of one key whose values are all different, in one pass over its history. Does not own: how a history
//! is read (`history`), other kinds of keys (`check`).
//!
//! Because no value is written twice, it is known which write a read has seen, and no search is needed (Gibbons and Korach,
//! "Testing shared memories", 1997). A value's *zone* lies between the first end and the last begin of its write and its reads.
//! If the first end comes first (a forward zone), the value was there all the time between, so that no other such zone may overlap
//! it, and no value may have come and gone within it. A write that was not acknowledged counts only if it was seen. The tests
//! compare this with a search through all orders.

use std::collections::BTreeMap;

use super::check::{Rule, Wrong};
use super::history::Told;

/// Before all lines of a history, and behind them.
const BEGIN: i64 = -2;
const END: i64 = i64::MAX - 1;

/// What is known about the time of one value.
#[derive(Debug, Clone, Copy)]
struct Zone {
    value: u64,
    /// When its write began.
    written: i64,
    first_end: i64,
    last_begin: i64,
}

impl Zone {
    fn is_forward(&self) -> bool {
        self.first_end < self.last_begin
    }

    fn add(&mut self, begin: i64, end: i64) {
        self.first_end = end.min(self.first_end);
        self.last_begin = begin.max(self.last_begin);
    }
}

/// What is wrong with the calls on a key whose value was `before` and is `after`; 0 for none. A value is the number of its call.
pub(super) fn check(before: u64, calls: &[&Told], after: u64) -> Vec<Wrong> {
    let mut found = Vec::new();
    let first = Zone { value: before, written: BEGIN, first_end: BEGIN + 1, last_begin: BEGIN };
    let mut zones = BTreeMap::from([(before, (first, true))]);
    for told in calls.iter().filter(|told| told.call.kind.is_write() && !told.failed()) {
        let (value, begin) = (told.call.id, line(told.called));
        let zone = Zone { value, written: begin, first_end: line(told.done_at()), last_begin: begin };
        zones.insert(value, (zone, told.acked()));
    }
    let reads = calls.iter().filter(|told| !told.call.kind.is_write());
    let reads = reads.filter_map(|told| Some((u64::try_from(told.value()?).ok()?, told)));
    let reads = reads.map(|(value, told)| (value, line(told.called), line(told.done_at())));
    for (value, begin, end) in reads.chain([(after, END, END + 1)]) {
        match zones.get_mut(&value) {
            Some((zone, is_seen)) if zone.written < end => {
                *is_seen = true;
                zone.add(begin, end);
            }
            Some(_) => {
                found.push(Wrong::new(Rule::Foreign, Some(value), format_args!("{value}: seen before its call")))
            }
            None => found.push(not_written(value, calls)),
        }
    }
    let (forward, backward): (Vec<Zone>, Vec<Zone>) =
        zones.into_values().filter(|(_, counts)| *counts).map(|(zone, _)| zone).partition(Zone::is_forward);
    found.extend(check_zones(forward, &backward));
    found
}

fn check_zones(mut forward: Vec<Zone>, backward: &[Zone]) -> Vec<Wrong> {
    forward.sort_unstable_by_key(|zone| zone.first_end);
    let between = |inner: &Zone, outer: &Zone| {
        let text = format!("{} came and went while {} was there", inner.value, outer.value);
        Wrong::new(Rule::Lost, None, text)
    };
    let overlaps = forward.windows(2).filter(|pair| pair[1].first_end < pair[0].last_begin);
    let mut found: Vec<Wrong> = overlaps.map(|pair| between(&pair[1], &pair[0])).collect();
    for zone in backward {
        let begun = forward.partition_point(|outer| outer.first_end < zone.last_begin);
        let outer = begun.checked_sub(1).and_then(|last| forward.get(last));
        found.extend(outer.filter(|outer| zone.first_end < outer.last_begin).map(|outer| between(zone, outer)));
    }
    found
}

fn not_written(value: u64, calls: &[&Told]) -> Wrong {
    match calls.iter().any(|told| told.call.id == value && told.failed()) {
        true => Wrong::new(Rule::Failed, Some(value), format_args!("call {value}: failed, and its value was seen")),
        false if value == 0 => Wrong::new(Rule::Lost, None, "there is no value any more"),
        false => Wrong::new(Rule::Foreign, None, format_args!("{value}: nobody wrote it in this round")),
    }
}

fn line(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(END + 1)
}

#[cfg(test)]
mod tests;
