//! How long things took in a round.
//!
//! Owns: the longest time without an answer, the slowest answer, and how long the keys of a process that is gone could not be
//! written. Does not own: what is right (`check`, `judge`).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::super::calls::process_of;
use super::super::history::{History, Told};
use super::strike::Struck;

/// What was measured in one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// The longest time in which no call of anybody succeeded.
    pub(super) gap: Duration,
    /// The slowest call that succeeded.
    pub(super) slowest: Duration,
    /// For each key that a process wrote last before it was killed or stopped, and that another wrote then: how long the first such
    /// call waited.
    pub(super) takeovers: Vec<Duration>,
}

/// Of the calls between two times.
pub(super) fn times(history: &History, begun_ns: u64, ended_ns: u64, struck: &Struck) -> Times {
    let mut ends: Vec<u64> = history.calls().filter(|told| told.acked()).filter_map(Told::answered_ns).collect();
    ends.retain(|end| (begun_ns..ended_ns).contains(end));
    ends.push(begun_ns);
    ends.push(ended_ns);
    ends.sort_unstable();
    let gap = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    let took = |told: &Told| Some(told.answered_ns()?.saturating_sub(told.called_ns()));
    let slowest = history.calls().filter(|told| told.acked()).filter_map(took).max().unwrap_or(0);
    Times {
        gap: Duration::from_nanos(gap),
        slowest: Duration::from_nanos(slowest),
        takeovers: takeovers(history, struck),
    }
}

fn takeovers(history: &History, struck: &Struck) -> Vec<Duration> {
    let writes = history.calls().filter(|told| told.call.kind.is_write() && told.acked());
    let mut writes: Vec<(u64, &Told)> = writes.filter_map(|told| Some((told.answered_ns()?, told))).collect();
    writes.sort_unstable_by_key(|(end, _)| *end);
    let (before, after) = writes.split_at(writes.partition_point(|(end, _)| *end < struck.at_ns));
    let is_gone = |told: &Told| struck.gone.contains(&process_of(told.call.id));
    let last: HashMap<&str, bool> = before.iter().map(|(_, told)| (told.call.key.as_str(), is_gone(told))).collect();
    let (mut seen, mut took) = (HashSet::new(), Vec::new());
    for (end, told) in after {
        let key = told.call.key.as_str();
        if last.get(key) == Some(&true) && !is_gone(told) && seen.insert(key) {
            took.push(Duration::from_nanos(end - told.called_ns().max(struck.at_ns)));
        }
    }
    took
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_lasts_from_the_strike_or_the_call_to_the_first_answer() {
        let (a, b) = (1_u64 << 40, 2_u64 << 40);
        let lines = [
            format!("C {} set x @10\nA {} ok 0 @20", a + 1, a + 1),
            format!("C {} set y @10\nA {} ok 0 @20", b + 1, b + 1),
            format!("C {} set z @10\nA {} ok 0 @20", a + 2, a + 2),
            // By one that was stopped and goes on.
            format!("C {} set x @15\nA {} ok 0 @200", a + 3, a + 3),
            // Called before the strike at 100; called after; a key of one who lives.
            format!("C {} set x @90\nA {} ok 0 @400", b + 2, b + 2),
            format!("C {} set z @300\nA {} ok 0 @350", b + 3, b + 3),
            format!("C {} set z @400\nA {} ok 0 @990", b + 4, b + 4),
            format!("C {} set y @120\nA {} ok 0 @130", b + 5, b + 5),
        ];
        let history = History::merge(&[format!("{}\n", lines.join("\n")).into_bytes()]).unwrap();
        let struck = Struck { what: String::new(), at_ns: 100, gone: vec![1] };
        let times = times(&history, 0, 1_000, &struck);
        assert_eq!(times.takeovers, [50, 300].map(Duration::from_nanos));
        assert_eq!((times.gap, times.slowest), (Duration::from_nanos(590), Duration::from_nanos(590)));
    }
}
