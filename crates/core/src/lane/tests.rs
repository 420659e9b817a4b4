//! Bad outcomes, one at a time.

use std::sync::Arc;

use super::*;
use crate::backend::{Fence, Incarnation, Previous};
use crate::entry::{Attributes, Entry};
use crate::entry_key::{GameId, StoreId};
use crate::value::Value;

fn rows(count: u64) -> Vec<BatchRow> {
    let store = Arc::new(StoreId::global(GameId::Number(1)));
    let row = |n: u64| BatchRow {
        key: EntryKey::new(&store, format!("k{n}").as_bytes()).expect("legal"),
        fence: Fence::default(),
        base: 0,
        previous: Previous::Overwritten,
        kept: Vec::new(),
        entry: Arc::new(Entry::default().successor(
            Some(Value::integer(1)),
            Attributes::default(),
            crate::clock::Timestamp::default(),
        )),
        onto: None,
    };
    (0..count).map(row).collect()
}

fn error<T>(kind: BackendErrorKind) -> Result<T, BackendError> {
    Err(BackendError::new(kind, "why"))
}

fn sent(effects: &[LaneEffect]) -> Arc<Batch> {
    match effects.last() {
        Some(LaneEffect::Send(batch)) => Arc::clone(batch),
        other => panic!("nothing was sent, but {other:?}"),
    }
}

fn done(batch: &Batch) -> Result<Vec<RowOutcome>, BackendError> {
    Ok(vec![RowOutcome::Committed; batch.rows.len()])
}

#[test]
fn numbers_grow_with_every_commit_and_only_then() {
    let mut lane = Lane::default();
    let first = sent(&lane.start(rows(2)));
    assert_eq!(lane.outcome(done(&first)).len(), 2);
    let second = sent(&lane.start(rows(2)));
    lane.outcome(error(BackendErrorKind::Unavailable));
    let third = sent(&lane.start(rows(3)));
    assert_eq!((first.seq, second.seq, third.seq), (1, 2, 2));
    assert_ne!(second.digest, third.digest, "other rows, another digest");
}

#[test]
fn an_unknown_outcome_is_settled_by_the_identical_batch() {
    let mut lane = Lane::default();
    let batch = sent(&lane.start(rows(3)));
    for pause in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
        assert_eq!(
            lane.outcome(error(BackendErrorKind::Unknown)),
            [LaneEffect::ResendAfter(Duration::from_millis(pause))]
        );
        assert!(!lane.is_idle(), "I8: nothing else is sent");
        assert_eq!(lane.resend(), Some(LaneEffect::Send(Arc::clone(&batch))));
    }
    assert_eq!(lane.outcome(done(&batch)).len(), 3);
    assert!(lane.is_idle());
}

#[test]
fn one_bad_row_fails_alone_within_few_statements() {
    let mut lane = Lane::default();
    let (mut effects, mut statements, mut settled) = (lane.start(rows(16)), 0, Vec::new());
    while matches!(effects.last(), Some(LaneEffect::Send(_))) {
        let batch = sent(&effects);
        effects.pop();
        settled.append(&mut effects);
        statements += 1;
        let bad = batch.rows.iter().any(|row| &*row.key.key == "k11");
        effects = lane.outcome(if bad { error(BackendErrorKind::Invalid) } else { done(&batch) });
    }
    settled.extend(effects);
    assert_eq!((settled.len(), statements), (16, 9), "2 · log2(16) + 1");
    for effect in settled {
        let LaneEffect::Settle(key, result) = effect else { panic!("{effect:?}") };
        match result {
            RowResult::Failed(_) => assert_eq!(&*key.key, "k11"),
            result => assert_eq!(result, RowResult::Done(RowOutcome::Committed)),
        }
    }
}

#[test]
fn a_store_that_is_down_gets_a_rest_and_the_rows_go_back() {
    let mut lane = Lane::default();
    lane.start(rows(4));
    lane.outcome(error(BackendErrorKind::Invalid));
    // The first half is in flight, the second waits: both go back.
    let effects = lane.outcome(error(BackendErrorKind::Unavailable));
    let back = effects.iter().filter(|e| matches!(e, LaneEffect::Settle(_, RowResult::NotSent))).count();
    assert_eq!((back, lane.is_idle()), (4, true));
    assert!(matches!(effects.last(), Some(LaneEffect::Rest(_))));
}

#[test]
fn a_halted_store_is_asked_for_nothing_more() {
    let mut lane = Lane::default();
    lane.start(rows(2));
    let effects = lane.outcome(error(BackendErrorKind::Halted));
    assert!(effects.iter().all(|e| matches!(e, LaneEffect::Settle(_, RowResult::Unknown(_)))), "{effects:?}");
    let effects = lane.start(rows(2));
    assert!(effects.iter().all(|e| matches!(e, LaneEffect::Settle(_, RowResult::Failed(_)))), "{effects:?}");
    assert_eq!((effects.len(), lane.halted()), (2, Some("why")));
}

#[test]
fn after_an_unknown_outcome_a_refused_attempt_proves_nothing() {
    let mut lane = Lane::default();
    let batch = sent(&lane.start(rows(2)));
    lane.outcome(error(BackendErrorKind::Unknown));
    let again = lane.outcome(error(BackendErrorKind::Unavailable));
    assert!(matches!(again.as_slice(), [LaneEffect::ResendAfter(_)]), "{again:?}");
    assert_eq!(lane.resend(), Some(LaneEffect::Send(Arc::clone(&batch))));
    // Halved after all: the halves carry the doubt until a batch of the number has committed.
    let half = sent(&lane.outcome(error(BackendErrorKind::Invalid)));
    let effects = lane.outcome(error(BackendErrorKind::Invalid));
    assert!(matches!(effects.first(), Some(LaneEffect::Settle(_, RowResult::Unknown(_)))), "{effects:?}");
    let other = sent(&effects);
    assert_eq!((half.seq, other.seq), (1, 1));
    lane.outcome(done(&other));
    lane.start(rows(1));
    let effects = lane.outcome(error(BackendErrorKind::Invalid));
    assert!(matches!(effects.first(), Some(LaneEffect::Settle(_, RowResult::Failed(_)))), "{effects:?}");
}

fn lane_id(incarnation: u64) -> LaneId {
    LaneId { incarnation: Incarnation(incarnation), number: 0 }
}

#[test]
fn an_incarnation_that_is_over_takes_nothing_until_it_has_joined_again() {
    let mut lane = Lane::new(lane_id(1));
    let batch = sent(&lane.start(rows(1)));
    lane.outcome(done(&batch));
    lane.start(rows(2));
    let effects = lane.outcome(error(BackendErrorKind::Over));
    let back = effects.iter().filter(|e| matches!(e, LaneEffect::Settle(_, RowResult::NotSent))).count();
    assert_eq!((back, effects.last(), lane.is_idle()), (2, Some(&LaneEffect::Over), false));
    lane.rejoin(lane_id(2));
    let batch = sent(&lane.start(rows(1)));
    assert_eq!((batch.lane, batch.seq), (lane_id(2), 1));
}

#[test]
fn a_batch_in_doubt_is_settled_under_its_old_name() {
    let mut lane = Lane::new(lane_id(1));
    let batch = sent(&lane.start(rows(1)));
    lane.outcome(error(BackendErrorKind::Unknown));
    lane.rejoin(lane_id(2));
    assert_eq!(lane.resend(), Some(LaneEffect::Send(Arc::clone(&batch))));
    let effects = lane.outcome(error(BackendErrorKind::Over));
    assert!(matches!(effects.first(), Some(LaneEffect::Settle(_, RowResult::Unknown(_)))), "{effects:?}");
    assert!(lane.is_idle(), "it has joined again already");
}
