//! One stream of batches to the store: at most one in flight, each applied exactly once.
//!
//! Owns: the batch in flight, its number and digest; sending the identical batch again while its outcome is not known
//! (`ownership-protocol.md` §2.2.13); halving a batch that is not acceptable until the bad row is alone (§2.2.15);
//! giving rows back that were surely not applied; the pauses between attempts; going on under another incarnation
//! once the batch in flight is settled under the old one (§2.2.12).
//! Does not own: which rows form a batch (`write_batch`), connections, timers, incarnations (`lease`).

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::FixedState;

use crate::backend::{BackendError, BackendErrorKind, Batch, BatchRow, LaneId, RowOutcome};
use crate::entry_key::EntryKey;
use crate::error::CallError;
use crate::limits::RETRY_PAUSE;
use crate::write_batch::RowResult;

/// What the shell must do.
#[derive(Debug, PartialEq, Eq)]
pub enum LaneEffect {
    /// Commit this batch and come back with `outcome`.
    Send(Arc<Batch>),
    /// Wait, then `resend`.
    ResendAfter(Duration),
    /// Tell the flusher of this key.
    Settle(EntryKey, RowResult),
    /// Take nothing for this long.
    Rest(Duration),
    /// The incarnation is over: nothing is taken before `rejoin`.
    Over,
}

/// One lane.
#[derive(Debug, Default)]
pub struct Lane {
    id: LaneId,
    /// Begins with the next batch: its numbers start at 1.
    next_id: Option<LaneId>,
    /// Number of the last batch that committed.
    seq: u64,
    in_flight: Option<Arc<Batch>>,
    /// Halves of a batch that was not acceptable, still to be sent; the next one last.
    parts: Vec<Vec<BatchRow>>,
    /// Attempts in a row that did not end well.
    attempts: u32,
    /// An earlier send of this number may be applied yet: nothing of it can be said to have surely failed, whatever a later
    /// send was told. Ends with the number: once it is used, the store refuses the earlier send.
    in_doubt: bool,
    /// Nothing may be sent under `id` any more.
    over: bool,
    /// The store will not work again until it is reopened: why.
    halted: Option<String>,
}

impl Lane {
    /// A lane of this name, with nothing sent.
    pub fn new(id: LaneId) -> Self {
        Self { id, ..Self::default() }
    }

    /// Its name: that of the batch in flight, if there is one.
    pub fn id(&self) -> LaneId {
        self.id
    }

    /// Number of the last batch that committed; 0 for none.
    pub fn last_committed(&self) -> u64 {
        self.seq
    }

    /// The batch in flight has had a bad or unknown outcome at least once.
    pub fn is_in_trouble(&self) -> bool {
        self.attempts > 0
    }

    /// Nothing is in flight: a batch may be started.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && !self.over
    }

    /// From the next batch on, this is another lane. What is in flight is settled under the old name first: only there
    /// its number means anything.
    pub fn rejoin(&mut self, id: LaneId) {
        if id != self.id {
            self.next_id = Some(id);
            self.over = false;
        }
    }

    /// Why the store has halted, if it has.
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }

    /// Starts a batch. Only when idle.
    pub fn start(&mut self, rows: Vec<BatchRow>) -> Vec<LaneEffect> {
        assert!(self.is_idle(), "I7: one batch in flight");
        if let Some(why) = &self.halted {
            let error = CallError::unavailable(why);
            return rows.into_iter().map(|r| LaneEffect::Settle(r.key, RowResult::Failed(error.clone()))).collect();
        }
        if let Some(id) = self.next_id.take() {
            (self.id, self.seq, self.in_doubt) = (id, 0, false);
        }
        self.parts.push(rows);
        self.send_next().into_iter().collect()
    }

    /// Sends the batch in flight again, unchanged.
    pub fn resend(&self) -> Option<LaneEffect> {
        self.in_flight.clone().map(LaneEffect::Send)
    }

    /// The answer to a `Send`.
    pub fn outcome(&mut self, result: Result<Vec<RowOutcome>, BackendError>) -> Vec<LaneEffect> {
        let Some(batch) = self.in_flight.take() else { return Vec::new() };
        match result {
            Ok(outcomes) if outcomes.len() == batch.rows.len() => self.settle(&batch, outcomes),
            // The store does not keep its contract: nothing that it says can be relied on.
            Ok(_) => {
                self.failed(batch, &BackendError::new(BackendErrorKind::Halted, "The store's answer was not complete."))
            }
            Err(error) => self.failed(batch, &error),
        }
    }

    fn settle(&mut self, batch: &Batch, outcomes: Vec<RowOutcome>) -> Vec<LaneEffect> {
        (self.seq, self.attempts, self.in_doubt) = (batch.seq, 0, false);
        let settle = |(row, outcome): (&BatchRow, _)| LaneEffect::Settle(row.key.clone(), RowResult::Done(outcome));
        let mut effects: Vec<_> = batch.rows.iter().zip(outcomes).map(settle).collect();
        effects.extend(self.send_next());
        effects
    }

    fn failed(&mut self, batch: Arc<Batch>, error: &BackendError) -> Vec<LaneEffect> {
        match error.kind {
            BackendErrorKind::Unknown => self.keep(batch),
            // This attempt surely did nothing; the one before it may have.
            BackendErrorKind::Unavailable if self.in_doubt => self.keep(batch),
            BackendErrorKind::Over => self.lane_is_over(&batch, error),
            BackendErrorKind::Unavailable => {
                let mut effects = self.give_back(&batch, || RowResult::NotSent);
                effects.push(LaneEffect::Rest(self.pause()));
                effects
            }
            BackendErrorKind::Halted => {
                self.halted = Some(error.message.clone());
                let unknown = CallError::unknown(error);
                let mut effects = settle_all(&batch.rows, || RowResult::Unknown(unknown.clone()));
                let (parts, in_doubt) = (Batch { rows: Vec::new(), ..*batch }, self.in_doubt);
                effects.extend(self.give_back(&parts, || match in_doubt {
                    false => RowResult::Failed(CallError::unavailable(error)),
                    true => RowResult::Unknown(unknown.clone()),
                }));
                effects
            }
            BackendErrorKind::Invalid | BackendErrorKind::Corrupt | BackendErrorKind::Internal => {
                self.rejected(&batch, error)
            }
        }
    }

    /// The outcome is not known: the identical batch is sent again until it is.
    fn keep(&mut self, batch: Arc<Batch>) -> Vec<LaneEffect> {
        self.in_doubt = true;
        self.in_flight = Some(batch);
        vec![LaneEffect::ResendAfter(self.pause())]
    }

    /// The store does not know the lane, or not as this side left it. Nothing can be settled under its name any more: what may
    /// be applied stays unknown for ever (`ownership-protocol.md` A11).
    fn lane_is_over(&mut self, batch: &Batch, error: &BackendError) -> Vec<LaneEffect> {
        let (unknown, in_doubt) = (CallError::unknown(error), self.in_doubt);
        let result = || if in_doubt { RowResult::Unknown(unknown.clone()) } else { RowResult::NotSent };
        let mut effects = self.give_back(batch, result);
        (self.over, self.attempts) = (self.next_id.is_none(), 0);
        effects.push(LaneEffect::Over);
        effects
    }

    /// A batch that surely was not applied and will not be as it is: halve it until the bad row is alone.
    fn rejected(&mut self, batch: &Batch, error: &BackendError) -> Vec<LaneEffect> {
        let mut effects = Vec::new();
        if batch.rows.len() == 1 {
            effects = settle_all(&batch.rows, || match self.in_doubt {
                false => RowResult::Failed(CallError::unavailable(error)),
                true => RowResult::Unknown(CallError::unknown(error)),
            });
        } else {
            let (first, second) = batch.rows.split_at(batch.rows.len() / 2);
            self.parts.extend([second.to_vec(), first.to_vec()]);
        }
        effects.extend(self.send_next());
        effects
    }

    /// Settles the batch and all parts that wait behind it.
    fn give_back(&mut self, batch: &Batch, result: impl Fn() -> RowResult) -> Vec<LaneEffect> {
        let mut effects = settle_all(&batch.rows, &result);
        for part in self.parts.drain(..).rev() {
            effects.extend(settle_all(&part, &result));
        }
        effects
    }

    fn send_next(&mut self) -> Option<LaneEffect> {
        let rows = self.parts.pop()?;
        let batch = Arc::new(Batch { lane: self.id, seq: self.seq + 1, digest: digest(&rows), rows });
        self.in_flight = Some(Arc::clone(&batch));
        Some(LaneEffect::Send(batch))
    }

    fn pause(&mut self) -> Duration {
        let (first, last) = RETRY_PAUSE;
        let pause = first.saturating_mul(1 << self.attempts.min(16)).min(last);
        self.attempts += 1;
        pause
    }
}

fn settle_all(rows: &[BatchRow], result: impl Fn() -> RowResult) -> Vec<LaneEffect> {
    rows.iter().map(|row| LaneEffect::Settle(row.key.clone(), result())).collect()
}

/// A digest of what a batch would do: equal rows give equal digests in every process.
fn digest(rows: &[BatchRow]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    for row in rows {
        row.key.hash(&mut hasher);
        (row.fence, row.base, row.previous, row.entry.revision, row.entry.updated, &row.onto).hash(&mut hasher);
        row.entry.value.as_ref().map(|value| value.json()).hash(&mut hasher);
        for kept in &row.kept {
            kept.revision.hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
