//! What holds of revisions, whatever the values are.
//!
//! Owns: one content per revision that anybody was shown (I4, I6), real time (linearizable writes and confirmed reads), what cached
//! reads may show (I12, and never backwards on one server), and that nothing shown is gone in the end (I1). Does not own:
//! values (`values`).

use std::collections::BTreeMap;
use std::time::Duration;

use clawstore_core::Entry;
use clawstore_core::clock::Moment;

use crate::simulation::history::{Call, End};
use crate::simulation::store::tables::Row;
use crate::simulation::workload::What;

/// How old what a cached read shows may be.
const AGE_MAX: Duration = Duration::from_secs(4);

/// Something that was shown.
struct Shown<'a> {
    number: usize,
    call: &'a Call,
    entry: &'a Entry,
}

impl Shown<'_> {
    fn revision(&self) -> u64 {
        self.entry.revision
    }

    fn is_write(&self) -> bool {
        self.call.what.is_write()
    }
}

/// The greatest revision that was shown by some time.
struct Floor(Vec<(Moment, u64, usize)>);

impl Floor {
    fn new<'a>(shown: impl Iterator<Item = &'a Shown<'a>>) -> Self {
        let mut ends: Vec<_> = shown.map(|shown| (shown.call.ended, shown.revision(), shown.number)).collect();
        ends.sort_unstable();
        let mut greatest = (0, 0);
        for (_, revision, number) in &mut ends {
            if *revision < greatest.0 {
                (*revision, *number) = greatest;
            }
            greatest = (*revision, *number);
        }
        Self(ends)
    }

    /// With the number of the call that showed it.
    fn before(&self, at: Moment) -> (u64, usize) {
        match self.0.partition_point(|(ended, ..)| *ended < at).checked_sub(1) {
            Some(last) => (self.0[last].1, self.0[last].2),
            None => (0, 0),
        }
    }
}

/// Everything about one key.
pub(super) fn check(key: usize, calls: &[(usize, &Call)], row: &Row) -> Vec<String> {
    let shown: Vec<Shown<'_>> = calls.iter().filter_map(|(number, call)| shown(*number, call)).collect();
    let mut found = one_content(key, &shown, row);
    found.extend(real_time(key, &shown));
    found.extend(cached_reads(key, &shown));
    found.extend(shown.iter().filter(|shown| shown.revision() > row.entry.revision).map(|shown| {
        let (number, seen, stored) = (shown.number, shown.revision(), row.entry.revision);
        format!("I1: key {key}: call {number} was shown revision {seen}, but in the end {stored} is stored")
    }));
    found
}

fn shown<'a>(number: usize, call: &'a Call) -> Option<Shown<'a>> {
    let End::Ok(entry) = &call.end else { return None };
    Some(Shown { number, call, entry })
}

fn one_content(key: usize, shown: &[Shown<'_>], row: &Row) -> Vec<String> {
    let mut contents: BTreeMap<u64, (usize, &Entry)> = BTreeMap::new();
    let mut found = Vec::new();
    for shown in shown {
        let (other, content) = contents.entry(shown.revision()).or_insert((shown.number, shown.entry));
        if content.value != shown.entry.value {
            let (number, revision) = (shown.number, shown.revision());
            found.push(format!(
                "I4: key {key}: revision {revision} was shown to call {other}, and another one to {number}"
            ));
        }
    }
    if let Some((number, content)) = contents.get(&row.entry.revision)
        && content.value != row.entry.value
    {
        let revision = row.entry.revision;
        found.push(format!("I1: key {key}: revision {revision} is stored, but call {number} was shown another one"));
    }
    let mut writers: BTreeMap<u64, usize> = BTreeMap::new();
    for shown in shown.iter().filter(|shown| shown.is_write()) {
        if let Some(other) = writers.insert(shown.revision(), shown.number) {
            let (number, revision) = (shown.number, shown.revision());
            found.push(format!("I1: key {key}: calls {other} and {number} both wrote revision {revision}"));
        }
    }
    found
}

/// Writes and confirmed reads take effect between their call and their end.
fn real_time(key: usize, all: &[Shown<'_>]) -> Vec<String> {
    let floor = Floor::new(all.iter());
    let is_linearizable = |shown: &&Shown<'_>| shown.is_write() || shown.call.what == What::Read(false);
    let is_stale = |shown: &Shown<'_>| {
        let (revision, by) = floor.before(shown.call.invoked);
        let is_stale = shown.revision() < revision || (shown.is_write() && shown.revision() == revision);
        is_stale.then(|| {
            let (number, seen) = (shown.number, shown.revision());
            format!("order: key {key}: call {number} has revision {seen}, after call {by} was shown {revision}")
        })
    };
    all.iter().filter(is_linearizable).filter_map(is_stale).collect()
}

/// A cached read never goes backwards in one process, and is no older than 4 s.
fn cached_reads(key: usize, all: &[Shown<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    let writes = Floor::new(all.iter().filter(|shown| shown.is_write()));
    let mut own: BTreeMap<_, Floor> = BTreeMap::new();
    for shown in all.iter().filter(|shown| shown.call.what == What::Read(true)) {
        let me = shown.call.me;
        let of_process = || Floor::new(all.iter().filter(|other| other.call.me == me));
        let (least, by) = own.entry(me).or_insert_with(of_process).before(shown.call.invoked);
        let (number, seen) = (shown.number, shown.revision());
        if seen < least {
            found.push(format!(
                "key {key}: read {number} shows revision {seen}, after call {by} of its server showed {least}"
            ));
        }
        let long_ago = shown.call.invoked.since(Moment::default()).saturating_sub(AGE_MAX);
        let (least, by) = writes.before(Moment::after_start(long_ago));
        if seen < least {
            found.push(format!(
                "I12: key {key}: read {number} shows revision {seen}, 4 s after call {by} wrote {least}"
            ));
        }
    }
    found
}
