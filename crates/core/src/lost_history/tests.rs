//! Stores that keep everything, lose the end of it, and are exchanged.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::backend::Incarnation;

fn lane(incarnation: u64, number: u16) -> LaneId {
    LaneId { incarnation: Incarnation(incarnation), number }
}

/// Answers beats. Every commit is kept, so that an earlier state can come back.
#[derive(Debug, Clone, Default)]
struct Store {
    timeline: u32,
    lanes: BTreeMap<LaneId, u64>,
}

impl Store {
    fn new(timeline: u32) -> Self {
        Self { timeline, ..Self::default() }
    }

    fn commit(&mut self, known: &mut Acknowledged, lane: LaneId) {
        let seq = self.lanes.entry(lane).or_default();
        *seq += 1;
        known.acknowledged(lane, *seq);
    }

    fn promoted(&self) -> Self {
        Self { timeline: self.timeline + 1, ..self.clone() }
    }

    fn answer(&self, asked: &[LaneMark]) -> BeatAnswer {
        let lanes = asked.iter().map(|asked| self.lanes.get(&asked.lane).copied()).collect();
        BeatAnswer { timeline: self.timeline, lanes, ..BeatAnswer::default() }
    }
}

fn beat(known: &mut Acknowledged, store: &Store) -> Verdict {
    let asked = known.open();
    known.answered(&asked, &store.answer(&asked))
}

#[test]
fn a_standby_that_has_everything_is_no_loss_and_one_that_lacks_a_batch_is() {
    for is_lossy in [false, true] {
        let (mut known, mut store) = (Acknowledged::default(), Store::new(1));
        store.commit(&mut known, lane(1, 0));
        store.commit(&mut known, lane(1, 1));
        assert_eq!(beat(&mut known, &store), Verdict::Same);
        assert_eq!(known.open(), [], "asked about once");
        let before = store.clone();
        store.commit(&mut known, lane(1, 1));
        assert_eq!(beat(&mut known, &store), Verdict::Same);
        let standby = if is_lossy { before.promoted() } else { store.promoted() };
        assert_eq!(beat(&mut known, &standby), Verdict::AskAgain);
        assert_eq!(known.open().len(), 2, "about those too that were found before");
        let expected = if is_lossy { Verdict::Lost(1) } else { Verdict::TakenOver };
        assert_eq!(beat(&mut known, &standby), expected);
        assert_eq!(beat(&mut known, &standby), Verdict::Same, "said once");
    }
}

#[test]
fn a_process_that_wrote_nothing_has_lost_nothing() {
    let (mut known, store) = (Acknowledged::default(), Store::new(1));
    assert_eq!(beat(&mut known, &store), Verdict::Same);
    assert_eq!(beat(&mut known, &store.promoted()), Verdict::AskAgain);
    assert_eq!(beat(&mut known, &store.promoted()), Verdict::TakenOver);
}

#[test]
fn a_disk_that_is_set_back_keeps_its_timeline_and_is_found_all_the_same() {
    let (mut known, mut store) = (Acknowledged::default(), Store::new(1));
    store.commit(&mut known, lane(1, 0));
    let before = store.clone();
    store.commit(&mut known, lane(1, 0));
    assert_eq!(beat(&mut known, &before), Verdict::Lost(1));
}

/// Its rows went a day after it had been declared dead: that is no loss. After a take-over it is.
#[test]
fn a_lane_that_is_gone() {
    for is_taken_over in [false, true] {
        let (mut known, mut store) = (Acknowledged::default(), Store::new(1));
        store.commit(&mut known, lane(1, 0));
        assert_eq!(beat(&mut known, &store), Verdict::Same);
        store.commit(&mut known, lane(1, 0));
        store.lanes.clear();
        if is_taken_over {
            store = store.promoted();
            assert_eq!(beat(&mut known, &store), Verdict::AskAgain);
        }
        assert_eq!(beat(&mut known, &store) == Verdict::Lost(2), is_taken_over);
    }
    let (mut known, mut store) = (Acknowledged::default(), Store::new(1));
    store.commit(&mut known, lane(1, 0));
    assert_eq!(beat(&mut known, &Store::new(2)), Verdict::Lost(1), "it has never been seen there");
}

/// Acknowledged by the old primary, while the new one has answered already: the next beat finds it.
#[test]
fn what_the_old_primary_goes_on_to_acknowledge_is_lost_too() {
    let (mut known, mut store) = (Acknowledged::default(), Store::new(1));
    store.commit(&mut known, lane(1, 0));
    assert_eq!(beat(&mut known, &store), Verdict::Same);
    let standby = store.promoted();
    assert_eq!(beat(&mut known, &standby), Verdict::AskAgain);
    let asked = known.open();
    store.commit(&mut known, lane(1, 0));
    assert_eq!(known.answered(&asked, &standby.answer(&asked)), Verdict::TakenOver);
    assert_eq!(beat(&mut known, &standby), Verdict::Lost(1));
}

/// A batch runs into the loss, and the process goes on under another incarnation before it has asked about the last one.
#[test]
fn an_earlier_incarnation_is_not_forgotten_before_it_was_asked_about() {
    let (mut known, mut store) = (Acknowledged::default(), Store::new(1));
    store.commit(&mut known, lane(1, 0));
    let mut standby = store.promoted();
    let asked = known.open();
    store.commit(&mut known, lane(1, 0));
    standby.commit(&mut known, lane(2, 0));
    assert_eq!(known.answered(&asked, &store.answer(&asked)), Verdict::Same);
    assert_eq!(beat(&mut known, &standby), Verdict::AskAgain);
    assert_eq!(beat(&mut known, &standby), Verdict::Lost(1));
}

#[test]
fn earlier_incarnations_are_asked_about_until_they_are_found_and_then_forgotten() {
    let (mut known, mut store) = (Acknowledged::default(), Store::new(1));
    for incarnation in 1..=5 {
        store.commit(&mut known, lane(incarnation, 0));
    }
    store.commit(&mut known, lane(1, 1));
    assert_eq!(known.open().len(), 6);
    assert_eq!(beat(&mut known, &store), Verdict::Same);
    assert_eq!(known.lanes.len(), 2, "the last of each number");
}

proptest! {
    /// Whatever is written when, a standby that lags is found out if, and only if, it lacks something acknowledged.
    #[test]
    fn lost_is_what_was_acknowledged_and_is_not_there(
        steps in prop::collection::vec((0..3_u64, 0..2_u16, any::<bool>()), 1..40),
        lag in 0..5_usize,
    ) {
        let (mut known, mut store) = (Acknowledged::default(), Store::new(1));
        let (mut past, mut incarnation) = (vec![store.clone()], 1);
        for (step, number, beats) in steps {
            // Lanes move on to the next incarnation, and never back.
            incarnation += u64::from(step == 0);
            store.commit(&mut known, lane(incarnation, number));
            past.push(store.clone());
            if beats {
                prop_assert_eq!(beat(&mut known, &store), Verdict::Same);
            }
        }
        let lag = lag.min(past.len() - 1);
        let standby = past[past.len() - 1 - lag].promoted();
        let first = beat(&mut known, &standby);
        let verdict = if first == Verdict::AskAgain { beat(&mut known, &standby) } else { first };
        // Before the first answer nobody knows that it is another timeline.
        let quiet = if first == Verdict::AskAgain { Verdict::TakenOver } else { Verdict::Same };
        match verdict {
            Verdict::Lost(batches) => prop_assert!(lag > 0 && batches >= 1, "{batches} of {lag}"),
            verdict => prop_assert_eq!((verdict, lag), (quiet, 0)),
        }
    }
}
