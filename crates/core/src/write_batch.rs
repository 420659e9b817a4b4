//! What a game has accepted and not yet made durable, and which of it goes into the next batch.
//!
//! Owns: every accepted write with its caller until it is settled; coalescing to one row per key; the bounds of a
//! row; answers in order; withdrawal of writes that were never sent (FAIL) and the UNKNOWN of those that were.
//! Does not own: the batch in flight as a whole (`lane`), acceptance (`key_machine`), the durable cell (the flusher).
//!
//! Increments of a shared key become a sum (`sums`): what they make of the stored number is known when the row is settled.
//!
//! Per key: *pending* items wait for a batch, *in flight* ones are in the lane's. A key is in one batch at most (I8). A
//! *broken* key had a write fail or withdrawn: nothing of it is sent until its machine has recalled what is here.

mod sums;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::backend::{BatchRow, Fence, Previous, RowOutcome};
use crate::clock::Moment;
use crate::entry::Entry;
use crate::entry_key::{EntryKey, StoreKind};
use crate::error::CallError;
use crate::key_machine::{Item, Op};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use crate::ops::CallResult;

/// What became of a row that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowResult {
    /// The store answered for the row.
    Done(RowOutcome),
    /// Surely not applied, and it never will be.
    Failed(CallError),
    /// May have been applied; nobody will ever know here.
    Unknown(CallError),
    /// Surely not applied; it may be sent again.
    NotSent,
}

/// How an answer is given. Called once with the final answer of a call, or first with UNKNOWN at its deadline and
/// once more when it is settled (the caller keeps the first).
pub type Answer<'a, C> = &'a mut dyn FnMut(&mut Op<C>, CallResult);

/// How a durable state is published: with the writes of the row, in order.
pub type Publish<'a, C> = &'a mut dyn FnMut(&mut dyn Iterator<Item = (&Op<C>, &Arc<Entry>)>);

/// What the flusher must do after a key's row has ended.
#[derive(Debug)]
pub struct AfterSettle<C> {
    /// Send `Input::Broken` to the key's machine.
    pub broken: bool,
    /// Send `Input::Recalled`: a recall waited for the row.
    pub recalled: Option<Recalled<C>>,
}

#[derive(Debug)]
struct KeyQueue<C> {
    pending: VecDeque<Item<C>>,
    in_flight: VecDeque<Item<C>>,
    broken: bool,
    /// The durable state is not what was last seen here: the machine must read it again.
    reload: bool,
    /// The machine waits for this recall.
    recall: Option<u64>,
}

impl<C> Default for KeyQueue<C> {
    fn default() -> Self {
        Self { pending: VecDeque::new(), in_flight: VecDeque::new(), broken: false, reload: false, recall: None }
    }
}

impl<C> KeyQueue<C> {
    fn is_ready(&self) -> bool {
        !self.broken && self.in_flight.is_empty() && self.pending.front().is_some_and(Item::is_write)
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.in_flight.is_empty() && !self.broken
    }

    /// Puts what was in flight back to the front, in order.
    fn take_back(&mut self) {
        while let Some(item) = self.in_flight.pop_back() {
            self.pending.push_front(item);
        }
    }
}

/// What a recall brings back: calls to be made again, and whether the durable state must be read again.
#[derive(Debug)]
pub struct Recalled<C> {
    /// Number of the recall that this answers.
    pub number: u64,
    /// In order.
    pub ops: Vec<Box<Op<C>>>,
    /// The last durable state known to the caller of [`PendingWrites`] no longer holds.
    pub reload: bool,
}

/// The accepted writes of one game.
#[derive(Debug)]
pub struct PendingWrites<C> {
    keys: HashMap<EntryKey, KeyQueue<C>, FixedState>,
    /// Keys to be taken, oldest first. May name a key that is no longer ready.
    ready: VecDeque<EntryKey>,
    /// No call expires before this.
    next_deadline: Option<Moment>,
}

impl<C> Default for PendingWrites<C> {
    fn default() -> Self {
        Self { keys: HashMap::default(), ready: VecDeque::new(), next_deadline: None }
    }
}

impl<C> PendingWrites<C> {
    /// Is there anything for a batch?
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Keys that wait to be taken.
    pub fn ready_keys(&self) -> usize {
        self.ready.len()
    }

    /// Nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Is anything of the key here?
    pub fn contains(&self, key: &EntryKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Must the key be recalled before anything of it is sent?
    pub fn is_broken(&self, key: &EntryKey) -> bool {
        self.keys.get(key).is_some_and(|queue| queue.broken)
    }

    /// Takes over an accepted item. A gate with nothing before it is answered at once.
    pub fn push(&mut self, key: &EntryKey, item: Item<C>, answer: Answer<'_, C>) {
        let deadline = item.op().deadline;
        self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
        // Keys are cloned only when they are new here: the hot path is a key with a batch in flight or a fresh one.
        let queue = match self.keys.get_mut(key) {
            Some(queue) => queue,
            None => self.keys.entry(key.clone()).or_default(),
        };
        if queue.is_empty()
            && let Item::Gate { mut op, result } = item
        {
            answer(&mut op, result);
            self.keys.remove(key);
            return;
        }
        let was_ready = queue.is_ready();
        queue.pending.push_back(item);
        if !was_ready && queue.is_ready() {
            self.ready.push_back(key.clone());
        }
    }

    /// Takes rows for a batch: at most `rows` (kept versions counted) and `bytes`; with `oversized` the first row is taken
    /// whatever its size. Keys take turns; a key's writes become one row.
    pub fn take(&mut self, rows: usize, bytes: usize, oversized: bool) -> Vec<BatchRow> {
        let (mut taken, mut rows_left, mut bytes_left) = (Vec::new(), rows, bytes);
        while let Some(key) = self.ready.pop_front() {
            let Some(queue) = self.keys.get_mut(&key).filter(|queue| queue.is_ready()) else { continue };
            let bounds = (rows_left.min(BATCH_ROWS_MAX), bytes_left.min(BATCH_BYTES_MAX));
            let Some((row, cost)) = take_row(&key, queue, bounds, oversized && taken.is_empty()) else {
                self.ready.push_front(key);
                break;
            };
            (rows_left, bytes_left) = (rows_left.saturating_sub(cost.0), bytes_left.saturating_sub(cost.1));
            taken.push(row);
            if rows_left == 0 || bytes_left == 0 {
                break;
            }
        }
        taken
    }

    /// Ends the flight of a key's row. `publish` puts the state of a committed row where reads find it, before anyone is
    /// answered (`decisions.md` 6); it is shown the row's writes, in order.
    pub fn settle(
        &mut self,
        key: &EntryKey,
        result: RowResult,
        publish: Publish<'_, C>,
        answer: Answer<'_, C>,
    ) -> AfterSettle<C> {
        let Some(queue) = self.keys.get_mut(key) else { return AfterSettle { broken: false, recalled: None } };
        let broken = match result {
            RowResult::NotSent => {
                queue.take_back();
                false
            }
            RowResult::Done(RowOutcome::Fenced) => {
                queue.take_back();
                set_broken(queue, true)
            }
            RowResult::Done(outcome) => {
                durable(queue, key.store.kind, outcome, publish, answer);
                false
            }
            RowResult::Failed(error) => {
                fail_in_flight(queue, &error, answer);
                set_broken(queue, false)
            }
            RowResult::Unknown(error) => {
                fail_in_flight(queue, &error, answer);
                set_broken(queue, true)
            }
        };
        if queue.is_ready() {
            self.ready.push_back(key.clone());
        }
        let (recall, is_empty) = (queue.recall, queue.is_empty());
        if is_empty {
            self.keys.remove(key);
        }
        AfterSettle { broken, recalled: recall.and_then(|number| self.recall(key, number)) }
    }

    /// Gives the machine back what it built and what is not settled. `None` while a row is in flight: the recall then
    /// comes with its settlement.
    pub fn recall(&mut self, key: &EntryKey, number: u64) -> Option<Recalled<C>> {
        let Some(queue) = self.keys.get_mut(key) else {
            return Some(Recalled { number, ops: Vec::new(), reload: false });
        };
        if !queue.in_flight.is_empty() {
            (queue.recall, queue.broken) = (Some(number), true);
            return None;
        }
        let queue = self.keys.remove(key)?;
        let ops = queue.pending.into_iter().map(Item::into_op).collect();
        Some(Recalled { number, ops, reload: queue.reload })
    }

    /// Ends calls whose deadline has passed: never sent ones are withdrawn and FAIL, sent ones are UNKNOWN but stay
    /// until they are settled. Returns the keys that broke.
    pub fn expire(&mut self, now: Moment, answer: Answer<'_, C>) -> Vec<EntryKey> {
        if self.next_deadline.is_none_or(|next| now < next) {
            return Vec::new();
        }
        let mut broken_keys = Vec::new();
        self.next_deadline = None;
        for (key, queue) in &mut self.keys {
            for item in &mut queue.in_flight {
                if item.op().deadline <= now {
                    let op = item.op_mut();
                    answer(op, Err(CallError::unknown("The store did not answer in time.")));
                }
            }
            if withdraw(queue, now, answer) && set_broken(queue, false) {
                broken_keys.push(key.clone());
            }
            let deadlines = queue.in_flight.iter().chain(&queue.pending).map(|item| item.op().deadline);
            let next = deadlines.filter(|&deadline| deadline > now).min();
            self.next_deadline = self.next_deadline.into_iter().chain(next).min();
        }
        broken_keys
    }

    /// Ends everything of a key whose machine is gone: nobody will recall it.
    pub fn abandon(&mut self, key: &EntryKey, error: &CallError, answer: Answer<'_, C>) {
        let Some(recalled) = self.recall(key, 0) else { return };
        for mut op in recalled.ops {
            answer(&mut op, Err(error.clone()));
        }
    }
}

/// Marks a key broken; true if it was not before.
fn set_broken<C>(queue: &mut KeyQueue<C>, reload: bool) -> bool {
    queue.reload |= reload;
    !std::mem::replace(&mut queue.broken, true)
}

/// Publishes the state of a row that is durable, then answers.
fn durable<C>(
    queue: &mut KeyQueue<C>,
    kind: StoreKind,
    outcome: RowOutcome,
    publish: Publish<'_, C>,
    answer: Answer<'_, C>,
) {
    if let Some(Item::Add { .. }) = queue.in_flight.front() {
        // A key that was never written has taken the sum as its first state.
        let stored = if let RowOutcome::Added(number) = outcome { number.entry() } else { Entry::default() };
        return sums::settle(kind, stored, &mut queue.in_flight, publish, answer);
    }
    publish(&mut queue.in_flight.iter().filter_map(|item| match item {
        Item::Write { op, entry, .. } => Some((&**op, entry)),
        Item::Gate { .. } | Item::Add { .. } => None,
    }));
    for item in queue.in_flight.drain(..) {
        match item {
            Item::Write { mut op, reply, .. } => answer(&mut op, Ok(reply)),
            Item::Gate { mut op, result } => answer(&mut op, result),
            Item::Add { .. } => {}
        }
    }
    // Gates that came while the row was in flight wait for nothing else. In a broken key the write that they show may
    // have been withdrawn from before them: the recall makes them again.
    while !queue.broken && matches!(queue.pending.front(), Some(Item::Gate { .. })) {
        if let Some(Item::Gate { mut op, result }) = queue.pending.pop_front() {
            answer(&mut op, result);
        }
    }
}

/// The writes in flight end with `error`; gates behind them showed a state that never was and are made again.
fn fail_in_flight<C>(queue: &mut KeyQueue<C>, error: &CallError, answer: Answer<'_, C>) {
    let (writes, gates): (VecDeque<_>, VecDeque<_>) = queue.in_flight.drain(..).partition(Item::is_write);
    for mut write in writes {
        answer(write.op_mut(), Err(error.clone()));
    }
    for gate in gates.into_iter().rev() {
        queue.pending.push_front(gate);
    }
}

/// Withdraws what has waited too long. True if a write was among it, so that what was built on it must be rebuilt.
fn withdraw<C>(queue: &mut KeyQueue<C>, now: Moment, answer: Answer<'_, C>) -> bool {
    let mut withdrew_write = false;
    for mut item in std::mem::take(&mut queue.pending) {
        if item.op().deadline > now {
            queue.pending.push_back(item);
            continue;
        }
        withdrew_write |= item.is_write();
        answer(item.op_mut(), Err(CallError::timed_out()));
    }
    withdrew_write
}

/// Makes one row of a key's pending writes, up to the bounds; `first` ignores them for its first write.
fn take_row<C>(
    key: &EntryKey,
    queue: &mut KeyQueue<C>,
    (rows, bytes): (usize, usize),
    first: bool,
) -> Option<(BatchRow, (usize, usize))> {
    if let Some(Item::Add { .. }) = queue.pending.front() {
        return sums::take(key, queue);
    }
    let mut row: Option<BatchRow> = None;
    let (mut cost_rows, mut kept_bytes) = (0, 0);
    // Sums and states of a key are never in one batch.
    while let Some(item) = queue.pending.front().filter(|item| !matches!(item, Item::Add { .. })) {
        if let Item::Write { entry, fence, previous, .. } = item {
            let keeps = row.as_ref().filter(|_| *previous == Previous::Kept).map(|row| Arc::clone(&row.entry));
            let next_kept = kept_bytes + keeps.as_ref().map_or(0, |old| old.payload_bytes());
            let next_rows = cost_rows + usize::from(row.is_none()) + usize::from(keeps.is_some());
            let alone = first && row.is_none();
            let fits = alone || (next_rows <= rows && next_kept + entry.payload_bytes() <= bytes);
            if !fits {
                break;
            }
            (cost_rows, kept_bytes) = (next_rows, next_kept);
            match &mut row {
                None => row = Some(first_row(key, *fence, entry, *previous)),
                Some(row) => {
                    debug_assert_eq!(row.fence, *fence, "I8: a key is acquired only when nothing of it is here");
                    row.kept.extend(keeps);
                    row.entry = Arc::clone(entry);
                }
            }
        }
        queue.in_flight.extend(queue.pending.pop_front());
    }
    let row = row?;
    let bytes = kept_bytes + row.entry.payload_bytes();
    Some((row, (cost_rows.max(1), bytes.max(1))))
}

fn first_row(key: &EntryKey, fence: Fence, entry: &Arc<Entry>, previous: Previous) -> BatchRow {
    let (key, base, entry) = (key.clone(), entry.revision - 1, Arc::clone(entry));
    BatchRow { key, fence, base, previous, kept: Vec::new(), entry, onto: None }
}

#[cfg(test)]
mod tests;
