//! What must hold after a fault.
//!
//! Owns: comparing the state before the round, the calls, and the state after; what each complaint is about. Does not own: how
//! the three were obtained, reading journals (`history`), the order of writes and reads of plain values (`registers`). Each rule
//! has a test that shows it a bad sample.
//!
//! A call is *maybe* applied if it was not answered, or answered UNKNOWN.
//! 1. Counters: `before + acked <= after <= before + acked + maybe`; no two answers tell the same value; a value is
//!    greater than all that were answered before it was called (reads: by the same process, or 4 s before); nothing that was read
//!    or answered is greater than `after`.
//! 2. Lists: what was there is still there; each acked number once, each maybe number at most once, a failed one never;
//!    a number that was answered before another was called stands before it, and so do those of one VM. What a read has shown
//!    as the last number is there; what was answered before the read stands not behind it, what was called after does.
//! 3. Plain values: writes, uncached reads and the value that is there in the end can be put in an order that keeps that of time,
//!    in which each read sees the write before it; the value is of a call that no acked call of the same VM came after.
//! 4. What was not called is as it was.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde_json::Value;

use super::calls::{Kind, caller_of, is_script};
use super::history::{History, Told};
use super::registers;

/// Every key with its value.
pub(crate) type State = BTreeMap<String, Value>;

/// What a complaint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What was acknowledged or shown is not there, or stands where it cannot: a database that lost its end looks like this.
    Lost,
    /// Something took effect twice.
    Twice,
    /// A call failed, and took effect.
    Failed,
    /// In an order that was not that of the calls.
    Order,
    /// There is something that nobody wrote.
    Foreign,
    /// It took longer than it may, or did not come at all.
    Late,
    /// A loss that nobody reported, or a report of one that there was not.
    Report,
}

/// A complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) rule: Rule,
    /// Of which call, if it is surely that one.
    pub(crate) call: Option<u64>,
    pub(crate) text: String,
}

impl Wrong {
    pub(super) fn new(rule: Rule, call: Option<u64>, text: impl fmt::Display) -> Self {
        let lost = if rule == Rule::Lost { ": LOST" } else { "" };
        Self { rule, call, text: format!("{text}{lost}") }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with `after`; empty if nothing is.
pub(crate) fn check(before: &State, history: &History, after: &State) -> Vec<Wrong> {
    let mut by_key: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
    for told in &history.calls {
        by_key.entry(&told.call.key).or_default().push(told);
    }
    let mut found = Vec::new();
    let keys: HashSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        if !by_key.contains_key(key.as_str()) && before.get(key) != after.get(key) {
            found.push(Wrong::new(Rule::Foreign, None, format_args!("{key}: nobody wrote it, and it changed")));
        }
    }
    for (key, calls) in by_key {
        let (before, after) = (before.get(key).unwrap_or(&Value::Null), after.get(key).unwrap_or(&Value::Null));
        let wrong = match calls[0].call.kind {
            Kind::Increment | Kind::Bump | Kind::Get => check_counter(before, &calls, after, history.stale_until_ns),
            Kind::Append | Kind::Last => check_list(before, &calls, after),
            Kind::Set | Kind::Read => check_value(before, &calls, after),
        };
        found.extend(wrong.into_iter().map(|wrong| Wrong { text: format!("{key}: {}", wrong.text), ..wrong }));
    }
    found
}

fn check_counter(before: &Value, calls: &[&Told], after: &Value, stale_until_ns: u64) -> Vec<Wrong> {
    let number = |value: &Value| if value.is_null() { Some(0) } else { value.as_i64() };
    let (Some(before), Some(after)) = (number(before), number(after)) else {
        return vec![Wrong::new(Rule::Foreign, None, format_args!("not a number: {after}"))];
    };
    let (mut found, mut seen, mut acked, mut maybe) = (Vec::new(), HashSet::new(), 0_i64, 0_i64);
    for told in calls {
        let is_write = told.call.kind.is_write();
        if is_write && told.acked() {
            acked += 1;
        } else if is_write && !told.failed() {
            maybe += 1;
        }
        let Some(value) = told.value() else { continue };
        let id = told.call.id;
        let mut lost = |text: String| found.push(Wrong::new(Rule::Lost, None, text));
        if is_write && !seen.insert(value) {
            lost(format!("call {id} was answered {value}, as another was: applied once for two"));
        }
        let may_be_stale = !is_write && told.called_ns() < stale_until_ns;
        let floor = if may_be_stale { told.floor } else { told.floor.max(before) };
        if value < floor + i64::from(is_write) {
            lost(format!("call {id} was answered {value} after {floor} had been answered: stale"));
        }
        if value > after {
            lost(format!("call {id} was answered {value}, and {after} is stored"));
        }
    }
    if after < before + acked {
        let text = format!("{before} + {acked} acknowledged, and {after} is stored");
        found.push(Wrong::new(Rule::Lost, None, text));
    }
    if after > before + acked + maybe {
        let text = format!("{before} + {acked} acknowledged + {maybe} unknown, and {after} is stored: applied twice");
        found.push(Wrong::new(Rule::Twice, None, text));
    }
    found
}

fn check_list(before: &Value, calls: &[&Told], after: &Value) -> Vec<Wrong> {
    let numbers = |value: &Value| match value {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => items.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>(),
        _ => None,
    };
    let (Some(before), Some(after)) = (numbers(before), numbers(after)) else {
        return vec![Wrong::new(Rule::Foreign, None, format_args!("not a list of numbers: {after}"))];
    };
    let Some(added) = after.strip_prefix(before.as_slice()) else {
        let text = format!("the {} entries that were there are not any more", before.len());
        return vec![Wrong::new(Rule::Lost, None, text)];
    };
    let appends = || calls.iter().filter(|told| told.call.kind.is_write());
    let by_id: HashMap<u64, &Told> = appends().map(|told| (told.call.id, *told)).collect();
    let (mut found, mut entries, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for id in added {
        let mut wrong = |rule, text| found.push(Wrong::new(rule, Some(*id), format_args!("entry {id}: {text}")));
        match by_id.get(id) {
            None => wrong(Rule::Foreign, "nobody appended it"),
            Some(told) if told.failed() => wrong(Rule::Failed, "its call failed, and it is there"),
            Some(_) if !seen.insert(*id) => wrong(Rule::Twice, "applied twice"),
            Some(told) => entries.push(*told),
        }
    }
    let lost = appends().filter(|told| told.acked() && !seen.contains(&told.call.id)).map(|told| told.call.id);
    let lost = lost.map(|id| Wrong::new(Rule::Lost, Some(id), format_args!("entry {id}: acknowledged, and not there")));
    found.extend(lost);
    found.extend(check_order(&entries));
    found.extend(check_reads(&after, calls));
    found
}

/// Reads show entries that are there, and no fewer than had been answered or shown before; what was called after them comes behind.
fn check_reads(after: &[u64], calls: &[&Told]) -> Vec<Wrong> {
    // 0: the list was empty. From then on entries are counted from 1.
    let places: HashMap<u64, usize> = std::iter::once(0).chain(after.iter().copied()).zip(0..).collect();
    let is_write = |told: &Told| told.call.kind.is_write();
    let shown = |told: &Told| if is_write(told) { Some(told.call.id) } else { told.value()?.try_into().ok() };
    let (mut found, mut placed) = (Vec::new(), Vec::new());
    for told in calls.iter().filter(|told| told.acked() || is_write(told)) {
        let id = told.call.id;
        match shown(told).and_then(|shown| places.get(&shown)) {
            Some(place) => placed.push((told, *place)),
            None if is_write(told) => {}
            None => {
                found.push(Wrong::new(
                    Rule::Lost,
                    None,
                    format_args!("call {id} was shown an entry that is not there"),
                ));
            }
        }
    }
    let mut ends: Vec<(usize, bool, usize)> =
        placed.iter().map(|(told, place)| (told.done_at(), is_write(told), *place)).collect();
    ends.sort_unstable();
    placed.sort_unstable_by_key(|(told, _)| told.called);
    // The last entry that was answered or shown, and that was shown, before the call at hand.
    let (mut ended, mut last_known, mut last_shown) = (ends.into_iter().peekable(), 0, 0);
    for (told, place) in placed {
        while let Some((_, is_write, place)) = ended.next_if(|(end, ..)| *end < told.called) {
            last_known = place.max(last_known);
            last_shown = if is_write { last_shown } else { place.max(last_shown) };
        }
        let id = told.call.id;
        // Of appends among themselves `check_order` tells.
        if is_write(told) && place <= last_shown {
            let text = format!("entry {id}: stands before what was shown earlier");
            found.push(Wrong::new(Rule::Order, Some(id), text));
        } else if !is_write(told) && place < last_known {
            let text = format!("call {id} was shown entry {place} as the last, after entry {last_known}: stale");
            found.push(Wrong::new(Rule::Lost, None, text));
        }
    }
    found
}

/// No entry stands before one that must precede it.
fn check_order(entries: &[&Told]) -> Vec<Wrong> {
    let mut found = Vec::new();
    // From the end: the earliest answer, and the first call of each VM, among those that stand behind.
    let (mut first_done, mut first_called) = (usize::MAX, HashMap::new());
    for told in entries.iter().rev() {
        let (id, caller) = (told.call.id, caller_of(told.call.id));
        let behind = first_called.entry(caller).or_insert(usize::MAX);
        if first_done < told.called || (is_script(caller) && *behind < told.called) {
            let text = format!("entry {id}: stands before one that came earlier");
            found.push(Wrong::new(Rule::Order, Some(id), text));
        }
        *behind = told.called.min(*behind);
        first_done = told.done_at().min(first_done);
    }
    found
}

fn check_value(before: &Value, calls: &[&Told], after: &Value) -> Vec<Wrong> {
    let number = |value: &Value| if value.is_null() { Some(0) } else { value.as_u64() };
    let (Some(before), Some(after)) = (number(before), number(after)) else {
        return vec![Wrong::new(Rule::Foreign, None, format_args!("not a number: {after}"))];
    };
    let mut found = registers::check(before, calls, after);
    let Some(stored) = calls.iter().find(|told| told.call.id == after) else { return found };
    let is_later = |told: &&&Told| told.call.kind.is_write() && told.acked() && stored.precedes(told);
    // What time alone shows was found already.
    if let Some(later) = calls.iter().find(is_later).filter(|_| found.is_empty()) {
        let (id, stored) = (later.call.id, stored.call.id);
        let text = format!("call {id}: acknowledged, of the same VM after {stored}, and {stored} is stored");
        found.push(Wrong::new(Rule::Lost, Some(id), text));
    }
    found
}

#[cfg(test)]
mod tests;
