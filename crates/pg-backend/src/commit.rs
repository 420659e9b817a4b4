//! Batches: checked, sent as one statement, and what became of them.
//!
//! Owns: which batch is refused before it is sent, the order of rows, the outcome per row. Does not own: the transaction
//! (`commit_batch_v2` in `migrations/`), when a batch is sent again and what an earlier attempt may still do (`core::lane`).

use std::iter;
use std::ops::RangeInclusive;
use std::time::Duration;

use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, BatchRow, Number, Previous, RowOutcome};
use clawstore_core::clock::Timestamp;
use clawstore_core::ordered::sort_number;
use clawstore_core::{Entry, EntryKey};
use sqlx::postgres::{PgBindIterExt as _, PgConnection};

use crate::columns::{RowKey, Text, fits, metadata_text, ticks as at, unsigned, user_ids_text, value_text};
use crate::link::{Call, Link};
use crate::store_ids::{StoreIds, find_stores};

/// Longer than the lock time-out of the session, so that a batch that waits for a lock is answered.
const DEADLINE: Duration = Duration::from_secs(10);

/// No store has it: rows of a store that does not exist are fenced like those of a key that does not.
const NO_STORE: i32 = 0;

/// In the place of a time, for a revision that no snapshot keeps either.
const ERASED: i64 = -1;

/// Commits a batch over the connection of its lane.
pub(crate) async fn commit(lane: &Link, stores: &StoreIds, batch: &Batch) -> Result<Vec<RowOutcome>, BackendError> {
    check_rows(batch)?;
    let result = lane.ask_once(DEADLINE, &CommitBatch { stores, batch }).await;
    result.map_err(|failure| failure.backend_error("the commit of a batch", true)).flatten()
}

/// Refuses a batch that no retry would make acceptable, before anything is sent.
fn check_rows(batch: &Batch) -> Result<(), BackendError> {
    for row in &batch.rows {
        let grows = row.kept.iter().try_fold(row.base, |last, kept| (kept.revision > last).then_some(kept.revision));
        let in_order = grows.is_some_and(|last| row.entry.revision > last);
        if !in_order || !fits(&row.entry) || !row.kept.iter().all(|kept| fits(kept)) {
            return Err(refused(format!("{}: revision {} does not follow {}", row.key, row.entry.revision, row.base)));
        }
    }
    Ok(())
}

fn refused(text: String) -> BackendError {
    BackendError::new(BackendErrorKind::Invalid, text)
}

/// Rows in the order in which they are locked, each with its place in the batch.
struct Ordered<'a> {
    rows: Vec<(RowKey<'a>, usize, &'a BatchRow)>,
}

impl<'a> Ordered<'a> {
    fn new(batch: &'a Batch, stores: &[Option<i32>]) -> Result<Self, BackendError> {
        let numbered = batch.rows.iter().enumerate().zip(stores);
        let mut rows: Vec<_> = numbered
            .map(|((place, row), store)| (RowKey::new(store.unwrap_or(NO_STORE), &row.key), place, row))
            .collect();
        rows.sort_unstable_by_key(|(key, ..)| *key);
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].2.key == pair[1].2.key) {
            return Err(refused(format!("{} is twice in one batch", pair[0].2.key)));
        }
        Ok(Self { rows })
    }

    fn keys(&self) -> impl Iterator<Item = RowKey<'a>> {
        self.rows.iter().map(|(key, ..)| *key)
    }

    fn batch_rows(&self) -> impl Iterator<Item = &'a BatchRow> {
        self.rows.iter().map(|(.., row)| *row)
    }

    fn entries(&self) -> impl Iterator<Item = &'a Entry> {
        self.batch_rows().map(|row| &*row.entry)
    }

    /// A column that most batches have nothing in.
    fn column<T>(&self, of: impl Fn(&'a EntryKey, &'a Entry) -> Option<T>) -> Option<Vec<Option<T>>> {
        sparse(self.batch_rows().map(|row| of(&row.key, &row.entry)))
    }

    /// When the stored revision is superseded, if it is kept: by the first one that is, or by the entry.
    fn superseded(&self) -> Option<Vec<Option<i64>>> {
        sparse(self.batch_rows().map(|row| match row.previous {
            Previous::Overwritten => None,
            Previous::Kept => Some(ticks(superseded_at(row, 0))),
            Previous::Erased => Some(ERASED),
        }))
    }

    /// Revisions that go straight to the versions: number of the row from 1, revision, when it was superseded.
    fn kept(&self) -> Vec<(i32, &'a Entry, i64)> {
        let numbered = iter::zip(1_i32.., self.batch_rows());
        numbered
            .flat_map(|(n, row)| {
                let kept = row.kept.iter().enumerate();
                kept.map(move |(index, entry)| (n, &**entry, ticks(superseded_at(row, index + 1))))
            })
            .collect()
    }

    /// For rows that are sums, one end of the range that they may be added to.
    fn onto(&self, end: impl Fn(&RangeInclusive<i64>) -> i64) -> Option<Vec<Option<i64>>> {
        sparse(self.batch_rows().map(|row| row.onto.as_ref().map(&end)))
    }

    /// The answer, row by row as the batch has them. `None`: a row that was not sent.
    fn outcomes(&self, fenced: &[i32], wanted: &[i32], added: &[i64]) -> Option<Vec<RowOutcome>> {
        let mut outcomes = vec![RowOutcome::Committed; self.rows.len()];
        let numbered = |numbers: &[i32], outcome| numbers.iter().map(|&n| (i64::from(n), outcome)).collect::<Vec<_>>();
        let mut answers = numbered(fenced, RowOutcome::Fenced);
        answers.extend(numbered(wanted, RowOutcome::Wanted));
        for sum in added.chunks(5) {
            let &[n, revision, created, updated, number] = sum else { return None };
            let (revision, created, updated) = (unsigned(revision).ok()?, at(created).ok()?, at(updated).ok()?);
            answers.push((n, RowOutcome::Added(Number { revision, created, updated, number })));
        }
        for (n, outcome) in answers {
            let (_, place, _) = self.rows.get(usize::try_from(n).ok()?.checked_sub(1)?)?;
            outcomes[*place] = outcome;
        }
        Some(outcomes)
    }
}

fn superseded_at(row: &BatchRow, next: usize) -> Timestamp {
    row.kept.get(next).map_or(row.entry.updated, |kept| kept.updated)
}

/// `None` if there is nothing in it, which the server reads as a column of nothing.
fn sparse<T>(column: impl Iterator<Item = Option<T>>) -> Option<Vec<Option<T>>> {
    let column: Vec<_> = column.collect();
    column.iter().any(Option::is_some).then_some(column)
}

// `check_rows` has seen that these fit.
#[expect(clippy::cast_possible_wrap, reason = "refused where it does not fit")]
fn signed(number: u64) -> i64 {
    number as i64
}

fn ticks(at: Timestamp) -> i64 {
    signed(at.ticks())
}

/// One attempt. The inner error is of the batch, not of the connection.
struct CommitBatch<'a> {
    stores: &'a StoreIds,
    batch: &'a Batch,
}

impl Call for CommitBatch<'_> {
    type Answer = Result<Vec<RowOutcome>, BackendError>;

    async fn run(&self, session: &mut PgConnection) -> Result<Self::Answer, sqlx::Error> {
        let batch = self.batch;
        let ids = find_stores(session, self.stores, batch.rows.iter().map(|row| &*row.key.store)).await?;
        let rows = match Ordered::new(batch, &ids) {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        let kept = rows.kept();
        let has_kept = !kept.is_empty();
        let query = sqlx::query_file!(
            "queries/commit_batch.sql",
            signed(batch.lane.incarnation.0),
            batch.lane.number as i16,
            signed(batch.seq),
            // Compared for being equal only.
            batch.digest as i64,
            rows.keys().map(|key| key.store).bind_iter() as _,
            rows.keys().map(|key| key.scope).bind_iter() as _,
            rows.keys().map(|key| key.key).bind_iter() as _,
            rows.batch_rows().map(|row| signed(row.fence.0)).bind_iter() as _,
            rows.batch_rows().map(|row| signed(row.base)).bind_iter() as _,
            rows.entries().map(|entry| signed(entry.revision)).bind_iter() as _,
            rows.entries().map(|entry| ticks(entry.created)).bind_iter() as _,
            rows.entries().map(|entry| ticks(entry.updated)).bind_iter() as _,
            rows.entries().map(value_text).bind_iter() as _,
            rows.column(sort_number) as Option<Vec<Option<i64>>>,
            rows.column(|_, entry| user_ids_text(entry)) as Option<Vec<Option<String>>>,
            rows.column(|_, entry| metadata_text(entry)) as Option<Vec<Option<Text<'_>>>>,
            rows.superseded() as Option<Vec<Option<i64>>>,
            has_kept.then(|| kept.iter().map(|(n, ..)| *n).bind_iter()) as _,
            has_kept.then(|| kept.iter().map(|(_, entry, _)| signed(entry.revision)).bind_iter()) as _,
            has_kept.then(|| kept.iter().map(|(_, entry, _)| ticks(entry.created)).bind_iter()) as _,
            has_kept.then(|| kept.iter().map(|(_, entry, _)| ticks(entry.updated)).bind_iter()) as _,
            has_kept.then(|| kept.iter().map(|(.., superseded)| *superseded).bind_iter()) as _,
            has_kept.then(|| kept.iter().map(|(_, entry, _)| value_text(entry)).bind_iter()) as _,
            has_kept.then(|| kept.iter().map(|(_, entry, _)| user_ids_text(entry)).bind_iter()) as _,
            has_kept.then(|| kept.iter().map(|(_, entry, _)| metadata_text(entry)).bind_iter()) as _,
            rows.onto(|range| *range.start()) as Option<Vec<Option<i64>>>,
            rows.onto(|range| *range.end()) as Option<Vec<Option<i64>>>,
        );
        let answer = query.fetch_one(session).await?;
        let (fenced, wanted) = (answer.fenced_rows.unwrap_or_default(), answer.wanted_rows.unwrap_or_default());
        let added = answer.added_rows.unwrap_or_default();
        Ok(match answer.state.as_str() {
            "committed" | "replayed" => rows.outcomes(&fenced, &wanted, &added).ok_or_else(|| {
                BackendError::new(BackendErrorKind::Halted, "the lane's answer names rows that the batch does not have")
            }),
            state => Err(lane_is_over(state, answer.have, batch)),
        })
    }
}

fn lane_is_over(state: &str, have: Option<i64>, batch: &Batch) -> BackendError {
    let have = have.map_or(String::new(), |have| format!(", its last batch was {have}"));
    let text = format!("batch {} was not applied by this attempt: {state} in the database{have}", batch.seq);
    BackendError::new(BackendErrorKind::Over, text)
}
