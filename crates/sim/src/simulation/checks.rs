//! What must hold of a history and of what is stored in the end (`ownership-protocol.md` §2.4).
//!
//! Owns: the order of the checks, and those of time and liveness. Does not own: checks of revisions (`revisions`) and of the values
//! of each kind of key (`values`).

mod revisions;
mod values;

use std::time::Duration;

use clawstore_core::clock::Moment;

use super::context::Context;
use super::history::{Call, End};
use super::store::tables::Row;

/// All of them. `stood_still`: from when to when each server did.
pub fn all(context: &Context, rows: &[Row], stood_still: &[&[(Moment, Moment)]], late: Duration) -> Vec<String> {
    let calls = &context.history.calls;
    let mut found = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        found.extend(in_time(number, call, stood_still[call.me.server], late));
        found.extend(probe_succeeds(number, call));
    }
    for (key, row) in rows.iter().enumerate() {
        let of_key: Vec<(usize, &Call)> = calls.iter().enumerate().filter(|(_, call)| call.key == key).collect();
        found.extend(revisions::check(key, &of_key, row));
        found.extend(values::check(context.setup.keys[key].kind, key, &of_key, row));
    }
    found
}

/// I11: every call ends in time.
fn in_time(number: usize, call: &Call, stood_still: &[(Moment, Moment)], late: Duration) -> Option<String> {
    if matches!(call.end, End::Open | End::Lost) {
        return None;
    }
    let mut must = call.deadline + late;
    for (from, to) in stood_still {
        // A server that stood still then could not answer before it went on.
        if *from <= must && *to > call.deadline {
            must = must.max(*to + late);
        }
    }
    (call.ended > must).then(|| {
        let by = call.ended.since(must).as_secs_f64();
        format!("I11: call {number} on key {} ends {by:.3} s too late, as {:?}", call.key, call.end)
    })
}

/// After the faults every server can write every key.
fn probe_succeeds(number: usize, call: &Call) -> Option<String> {
    let is_good = matches!(call.end, End::Ok(_));
    (call.is_probe && !is_good).then(|| {
        format!(
            "liveness: server {} cannot write key {}: call {number} ends as {:?}",
            call.me.server, call.key, call.end
        )
    })
}
