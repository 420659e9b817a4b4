//! What must hold after a round beside what is stored.
//!
//! Owns: that every key could be written and every call of a living process was answered, and that losses are reported where the
//! database lost something, and only there. Does not own: what is stored (`check`).

use std::collections::BTreeSet;

use super::super::calls::process_of;
use super::super::check::{Rule, Wrong};
use super::super::history::History;
use super::super::victim::is_sweep;
use super::fleet::LossCounts;

/// What is wrong with the answers themselves. `living`: numbers of the processes that are not killed.
pub(super) fn liveness(history: &History, keys: u64, living: &[u64]) -> Vec<Wrong> {
    let late = |id: u64, text: &str| Wrong::new(Rule::Late, Some(id), format_args!("call {id}: {text}"));
    let calls = || history.calls();
    let open = calls().filter(|told| told.is_open() && living.contains(&process_of(told.call.id)));
    let mut found: Vec<Wrong> = open.map(|told| late(told.call.id, "has no answer")).collect();
    let swept = || calls().filter(|told| is_sweep(told.call.id));
    let not_done = swept().filter(|told| !told.acked());
    found.extend(not_done.map(|told| late(told.call.id, "all faults were over, and the key was not written")));
    let count = swept().count() as u64;
    if count != keys {
        found.push(Wrong::new(Rule::Late, None, format_args!("{count} of {keys} keys were to be written in the end")));
    }
    found
}

/// Rounds in which the database lost acknowledged writes, and those of them in which that was reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Losses {
    pub(super) lossy: u64,
    pub(super) reported: u64,
}

impl Losses {
    /// What is left of the complaints: where a loss was made, it must be reported, by each process that surely lost something.
    pub(super) fn judge(&mut self, was_made: bool, counts: &LossCounts, found: Vec<Wrong>) -> Vec<Wrong> {
        let has_reported = |number: u64| counts.iter().any(|(of, count)| *of == number && *count > 0);
        let reports = counts.iter().filter(|(_, count)| *count > 0);
        if !was_made {
            let text = |number| format!("process {number} reports a loss, and nothing can have been lost");
            let false_alarms = reports.map(|(number, _)| Wrong::new(Rule::Report, None, text(number)));
            return found.into_iter().chain(false_alarms).collect();
        }
        let (lost, mut left): (Vec<_>, Vec<_>) = found.into_iter().partition(|wrong| wrong.rule == Rule::Lost);
        if lost.is_empty() {
            return left;
        }
        let losers: BTreeSet<u64> = lost.iter().filter_map(|wrong| wrong.call).map(process_of).collect();
        let silent: Vec<u64> = losers.into_iter().filter(|loser| !has_reported(*loser)).collect();
        let is_reported = silent.is_empty() && reports.count() > 0;
        self.lossy += 1;
        self.reported += u64::from(is_reported);
        if !is_reported {
            let text = format!("{} things were lost; processes {silent:?} say nothing; {}", lost.len(), lost[0]);
            left.push(Wrong::new(Rule::Report, None, text));
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(call: Option<u64>) -> Wrong {
        Wrong::new(Rule::Lost, call, "gone")
    }

    #[test]
    fn a_loss_is_fine_only_if_it_was_made_and_everybody_who_lost_says_so() {
        let (ours, theirs) = (Some(3 << 40 | 1), Some(4 << 40 | 1));
        let mut losses = Losses::default();
        assert_eq!(losses.judge(true, &vec![(3, 1), (4, 0)], vec![lost(ours), lost(None)]), []);
        assert_eq!(losses, Losses { lossy: 1, reported: 1 });
        let silent = losses.judge(true, &vec![(3, 1), (4, 0)], vec![lost(ours), lost(theirs)]);
        assert!(silent.len() == 1 && silent[0].text.contains("[4]"), "{silent:?}");
        assert_eq!(losses.judge(true, &vec![(3, 0)], vec![lost(None)]).len(), 1, "nobody says anything");
        assert_eq!(losses, Losses { lossy: 3, reported: 1 });
        assert_eq!(losses.judge(false, &vec![(3, 0)], vec![lost(None)]), [lost(None)], "no loss was made");
        assert_eq!(losses.judge(false, &vec![(3, 1)], Vec::new()).len(), 1, "a false alarm");
        let twice = Wrong::new(Rule::Twice, None, "twice");
        assert_eq!(losses.judge(true, &vec![(3, 1)], vec![twice.clone()]), [twice], "what no loss explains");
    }

    #[test]
    fn every_call_is_answered_and_every_key_written() {
        let sweep = |number: u64| 5 << 40 | 0xffe << 28 | number;
        let journal = format!(
            "C {} set set_2 @1\nA {} ok 0 @2\nC {} increment counter_0 @3\nA {} fail no @4\n",
            sweep(1),
            sweep(1),
            sweep(2),
            sweep(2)
        );
        let history = History::parse(journal.as_bytes()).unwrap();
        assert_eq!(liveness(&history, 2, &[5]).len(), 1, "one was not written");
        assert_eq!(liveness(&history, 3, &[5]).len(), 2, "and one was not even tried");
        let open = History::parse(format!("C {} set set_2 @1\n", 5_u64 << 40 | 1).as_bytes()).unwrap();
        assert_eq!(
            (liveness(&open, 0, &[5]).len(), liveness(&open, 0, &[6]).len()),
            (1, 0),
            "the dead need not answer"
        );
    }
}
