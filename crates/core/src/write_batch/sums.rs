//! Increments of a shared key as one row.
//!
//! Owns: which increments fit into one sum, and what each caller gets of it. Does not own: when increments travel so
//! (`key_machine`), what the store does with the row (`backend`).
//!
//! The sum is what the increments make of a key that was never written. The store answers what it was added to, and each call
//! is then applied to that, one after the other, by the rule of every increment: the last result is what is stored.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Answer, KeyQueue, Publish};
use crate::backend::{BatchRow, Number, Previous};
use crate::entry::Entry;
use crate::entry_key::{EntryKey, StoreKind};
use crate::error::CallError;
use crate::key_machine::{Item, Op};
use crate::ops::{Applied, CallResult, increment};

/// Makes a row of the increments at the front of a queue: as many as add up to a number.
pub(super) fn take<C>(key: &EntryKey, queue: &mut KeyQueue<C>) -> Option<(BatchRow, (usize, usize))> {
    let kind = key.store.kind;
    let (mut sum, mut row_fence) = (Arc::<Entry>::default(), None);
    let (least, greatest) = increment::range(kind).into_inner();
    let (mut from, mut to) = (least, greatest);
    while let Some(Item::Add { op, fence }) = queue.pending.front() {
        let Some((next, number)) = plus(kind, &sum, op) else { break };
        // All of them must stay in range, not only the last.
        (from, to) = (from.max(least.saturating_sub(number)), to.min(greatest.saturating_sub(number)));
        (sum, row_fence) = (next, Some(*fence));
        queue.in_flight.extend(queue.pending.pop_front());
    }
    let cost = (1, sum.payload_bytes().max(1));
    let (key, previous, kept) = (key.clone(), Previous::Overwritten, Vec::new());
    Some((BatchRow { key, fence: row_fence?, base: 0, previous, kept, entry: sum, onto: Some(from..=to) }, cost))
}

fn plus<C>(kind: StoreKind, sum: &Arc<Entry>, op: &Op<C>) -> Option<(Arc<Entry>, i64)> {
    match op.request.apply(kind, sum, op.at) {
        Ok(Applied::Write { entry, .. }) => Number::of(&entry).map(|number| (entry, number.number)),
        _ => None,
    }
}

/// Publishes and answers the increments of a sum that was added to `stored`.
pub(super) fn settle<C>(
    kind: StoreKind,
    stored: Entry,
    in_flight: &mut VecDeque<Item<C>>,
    publish: Publish<'_, C>,
    answer: Answer<'_, C>,
) {
    let mut newest = Arc::new(stored);
    let mut results: Vec<(Arc<Entry>, CallResult)> = Vec::with_capacity(in_flight.len());
    for item in &*in_flight {
        let op = item.op();
        let result = match op.request.apply(kind, &newest, op.at) {
            Ok(Applied::Write { entry, reply }) => {
                newest = entry;
                Ok(reply)
            }
            // It was in range when the store added it.
            _ => Err(CallError::unknown("The store's answer to an increment was not one.")),
        };
        results.push((Arc::clone(&newest), result));
    }
    publish(&mut in_flight.iter().zip(&results).map(|(item, (entry, _))| (item.op(), entry)));
    for (mut item, (_, result)) in in_flight.drain(..).zip(results) {
        answer(item.op_mut(), result);
    }
}
