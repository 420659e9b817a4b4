//! What holds of the values of each kind of key.
//!
//! Owns: lists, counters, banks and registers against the calls on them: nothing acknowledged is missing (I1), nothing is there twice
//! (I2), nothing that failed is there (I3), and nothing that was shown is gone (I4). Does not own: revisions (`revisions`).

use std::collections::BTreeMap;

use clawstore_core::Entry;

use crate::simulation::history::{Call, End};
use crate::simulation::store::tables::Row;
use crate::simulation::workload::{ACCOUNTS, BALANCE, Kind, numbers};

/// Everything about one key.
pub(super) fn check(kind: Kind, key: usize, calls: &[(usize, &Call)], row: &Row) -> Vec<String> {
    let found = match kind {
        Kind::List => list(calls, &row.entry),
        Kind::Counter => counted(calls, counter(&row.entry)),
        Kind::Bank => bank(calls, &row.entry),
        Kind::Register => register(calls, &row.entry),
    };
    found.into_iter().map(|text| format!("key {key}, {kind:?}: {text}")).collect()
}

/// What became of a write.
fn writes<'a>(calls: &'a [(usize, &Call)]) -> impl Iterator<Item = (usize, &'a End)> {
    calls.iter().filter(|(_, call)| call.what.is_write()).map(|(number, call)| (*number, &call.end))
}

/// What was shown, with the number of the call.
fn shown<'a>(calls: &'a [(usize, &Call)]) -> impl Iterator<Item = (usize, &'a Entry)> {
    calls
        .iter()
        .filter_map(|(number, call)| if let End::Ok(entry) = &call.end { Some((*number, &**entry)) } else { None })
}

fn list(calls: &[(usize, &Call)], stored: &Entry) -> Vec<String> {
    let mut found = Vec::new();
    let list = numbers(stored);
    let mut places: BTreeMap<i64, usize> = BTreeMap::new();
    for (place, number) in list.iter().enumerate() {
        if let Some(first) = places.insert(*number, place) {
            found.push(format!("I2: call {number} is in the list at {first} and again at {place}"));
        }
    }
    for (number, end) in writes(calls) {
        let place = i64::try_from(number).ok().and_then(|number| places.remove(&number));
        match (end, place) {
            (End::Ok(_), None) => found.push(format!("I1: call {number} was acknowledged and is not in the list")),
            (End::Failed | End::Raised | End::Cancelled, Some(_)) => {
                found.push(format!("I3: call {number} ended as {end:?} and is in the list"));
            }
            (End::Ok(entry), Some(place)) if entry.revision != place as u64 + 1 => {
                found.push(format!("I5: call {number} wrote revision {} and stands at {place}", entry.revision));
            }
            _ => {}
        }
    }
    found.extend(places.keys().map(|number| format!("call {number} is in the list and was never made")));
    for (number, entry) in shown(calls) {
        let seen = numbers(entry);
        if !list.starts_with(&seen) {
            found.push(format!("I4: what call {number} was shown is not how the list begins: {seen:?}"));
        }
    }
    found
}

fn counter(stored: &Entry) -> usize {
    numbers(stored).first().and_then(|count| usize::try_from(*count).ok()).unwrap_or_default()
}

/// As many as were acknowledged, or more: of those whose end is not known.
fn counted(calls: &[(usize, &Call)], count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let acked = writes(calls).filter(|(_, end)| matches!(end, End::Ok(_))).count();
    let unknown = writes(calls).filter(|(_, end)| matches!(end, End::Unknown | End::Lost | End::Open)).count();
    if !(acked..=acked + unknown).contains(&count) {
        found.push(format!("I1 to I3: {count} stored, {acked} acknowledged, {unknown} not known"));
    }
    for (number, entry) in shown(calls) {
        let seen = numbers(entry).last().copied().unwrap_or_default();
        if seen != entry.revision.cast_signed() {
            found.push(format!("I5: call {number} was shown {seen} as revision {}", entry.revision));
        }
    }
    found
}

/// Money neither comes nor goes; and it counts.
fn bank(calls: &[(usize, &Call)], stored: &Entry) -> Vec<String> {
    let count = numbers(stored).get(ACCOUNTS).and_then(|count| usize::try_from(*count).ok()).unwrap_or_default();
    let mut found = counted(calls, count);
    for (number, entry) in shown(calls).chain([(usize::MAX, stored)]) {
        let sum: i64 = numbers(entry).iter().take(ACCOUNTS).sum();
        if entry.revision > 0 && sum != BALANCE * ACCOUNTS as i64 {
            found.push(format!("call {number} was shown accounts with {sum}"));
        }
    }
    found
}

/// Only what was written is shown, and nothing of what failed.
fn register(calls: &[(usize, &Call)], stored: &Entry) -> Vec<String> {
    let ends: BTreeMap<i64, &End> =
        writes(calls).filter_map(|(number, end)| Some((i64::try_from(number).ok()?, end))).collect();
    let mut found = Vec::new();
    for (number, entry) in shown(calls).chain([(usize::MAX, stored)]) {
        let Some(writer) = numbers(entry).first().copied() else { continue };
        match ends.get(&writer) {
            None => found.push(format!("call {number} was shown {writer}, which was never written")),
            Some(End::Failed) => found.push(format!("I3: call {number} was shown {writer}, which has failed")),
            Some(_) => {}
        }
    }
    found
}
