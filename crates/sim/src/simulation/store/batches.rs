//! The statement that commits a batch.
//!
//! Owns: the order of its locks, what is compared, sums, the lane's record and its replay. Does not own: when the commit is seen
//! and answered (`store`).

use std::sync::Arc;

use clawstore_core::Entry;
use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, BatchRow, Number, RowOutcome};
use clawstore_core::mutant::Mutant;

use super::locks::Lock;
use super::statements::{Step, over};
use super::tables::{Change, LaneRow, Row, Tables};
use super::{Answer, Transaction};
use crate::simulation::setup::number_of;

/// One batch: the lane's row first, then the rows of the keys in their order.
pub(super) fn commit(tables: &Tables, transaction: &Transaction, batch: &Batch, mutant: Option<Mutant>) -> Step {
    let lane = Lock::Lane(batch.lane);
    if !transaction.held.contains(&lane) {
        return Step::Lock(lane);
    }
    let Some(record) = tables.lanes.get(&batch.lane) else { return over("no lane") };
    if record.seq == batch.seq && record.digest == batch.digest {
        return replay(batch, record, mutant);
    }
    if record.seq + 1 != batch.seq {
        return over(if record.seq == batch.seq { "other digest" } else { "out of order" });
    }
    let checks = mutant != Some(Mutant::NoChecks);
    let mut rows: Vec<_> = batch.rows.iter().map(|row| (number_of(&row.key), row)).collect();
    rows.sort_unstable_by_key(|(number, _)| *number);
    let matching = rows.iter().filter(|(number, wish)| write(&tables.keys[*number], wish, checks).is_some());
    let mut locks = matching.map(|(number, _)| Lock::Key(*number));
    if let Some(lock) = locks.find(|lock| !transaction.held.contains(lock)) {
        return Step::Lock(lock);
    }
    let mut changes = Vec::with_capacity(rows.len() + 1);
    let mut outcomes = Vec::with_capacity(rows.len());
    for wish in &batch.rows {
        let number = number_of(&wish.key);
        let row = &tables.keys[number];
        let Some((entry, outcome)) = write(row, wish, checks) else {
            outcomes.push(RowOutcome::Fenced);
            continue;
        };
        changes.push(Change::Key(number, Row { entry, ..row.clone() }));
        outcomes.push(outcome);
    }
    let outcomes: Arc<[RowOutcome]> = outcomes.into();
    let record = LaneRow { seq: batch.seq, digest: batch.digest, outcomes: Arc::clone(&outcomes) };
    changes.push(Change::Lane(batch.lane, Some(record)));
    Step::Commit(changes, Answer::Committed(outcomes.to_vec()))
}

/// What a row of the batch makes of the stored one. `None`: it is fenced.
fn write(row: &Row, wish: &BatchRow, checks: bool) -> Option<(Arc<Entry>, RowOutcome)> {
    if !row.is_there || (checks && row.fence != Some(wish.fence)) {
        return None;
    }
    let done = if row.wanted.is_some() { RowOutcome::Wanted } else { RowOutcome::Committed };
    match &wish.onto {
        None => (!checks || row.entry.revision == wish.base).then(|| (Arc::clone(&wish.entry), done)),
        Some(_) if row.entry.revision == 0 => row.is_shared.then(|| (Arc::clone(&wish.entry), done)),
        Some(onto) => {
            let number = Number::of(&row.entry).filter(|_| row.is_shared)?;
            Some((Arc::new(number.plus(&wish.entry, onto)?), RowOutcome::Added(number)))
        }
    }
}

/// A batch that committed before: its first answer, behind a commit of its own.
fn replay(batch: &Batch, record: &LaneRow, mutant: Option<Mutant>) -> Step {
    let outcomes = match mutant {
        Some(Mutant::BatchDoneOnly) => vec![RowOutcome::Committed; batch.rows.len()],
        _ => record.outcomes.to_vec(),
    };
    match mutant {
        Some(Mutant::ReplayWithoutBarrier) => Step::End(Ok(Answer::Committed(outcomes))),
        _ => Step::Commit(vec![Change::Lane(batch.lane, Some(record.clone()))], Answer::Committed(outcomes)),
    }
}

/// How a mutant settles an unknown outcome: is the batch there?
pub(super) fn look_up(tables: &Tables, batch: &Batch) -> Step {
    let record = tables.lanes.get(&batch.lane).filter(|lane| lane.seq == batch.seq && lane.digest == batch.digest);
    Step::End(match record {
        Some(record) => Ok(Answer::Committed(record.outcomes.to_vec())),
        None => Err(BackendError::new(BackendErrorKind::Unavailable, "the batch is not there")),
    })
}
