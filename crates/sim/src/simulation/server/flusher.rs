//! The flusher: keeps accepted writes until they are durable, and answers their callers (mirrors `actors::flusher`).
//!
//! Owns: the pending writes; the order of publication: durable value into the slot, then answers, then the key's machine; deadlines
//! of accepted writes. Does not own: the batch in flight (`lanes`), acceptance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clawstore_core::backend::RowOutcome;
use clawstore_core::key_machine::{Input, Item, Op};
use clawstore_core::mutant::Mutant;
use clawstore_core::ops::CallResult;
use clawstore_core::write_batch::{PendingWrites, Recalled, RowResult};
use clawstore_core::{CallError, Entry, EntryKey, Outcome};

use super::Process;
use super::lanes::LaneMsg;
use super::port::Port;
use super::session::SessionMsg;
use super::slot::Activation;
use crate::simulation::context::Context;
use crate::simulation::setup::number_of;
use crate::simulation::trace::Who;

/// Rows that wait for a batch from which on the game is crowded: few, so that all lanes are used.
const CROWDED_ROWS: usize = 3;

#[derive(Debug)]
pub(super) enum FlusherMsg {
    /// A key's machine accepted something.
    Submit(Item<Port>),
    /// A key's machine wants back what is not settled.
    Recall(usize, u64),
    /// The lanes take rows for a batch.
    Take { rows: usize, bytes: usize },
    /// Rows that were taken have ended.
    Settled(Vec<(EntryKey, RowResult)>),
    /// A key's actor died: end what nobody will recall, and say to this activation when the key is settled.
    Orphaned(usize, u64),
    /// Look for deadlines that have passed.
    Expire,
}

#[derive(Debug, Default)]
pub(super) struct Flusher {
    pending: PendingWrites<Port>,
    /// The lanes know that rows are waiting.
    is_announced: bool,
    /// Rows from which on a second batch is asked for.
    crowded_at: usize,
    /// Keys without an actor, with the activations that wait for them to be settled.
    orphans: BTreeMap<usize, Vec<u64>>,
    /// Keys whose machine was told `Broken` and has not recalled yet.
    recalls: BTreeSet<usize>,
}

impl Process {
    pub(super) fn flusher_handles(&mut self, context: &mut Context, message: FlusherMsg) {
        match message {
            FlusherMsg::Submit(item) => {
                let key = self.keys[item.op().caller.key].clone();
                self.flusher.pending.push(&key, item, &mut answer);
            }
            FlusherMsg::Recall(key, number) => {
                if let Some(recalled) = self.flusher.pending.recall(&self.keys[key], number) {
                    self.give_recalled(context, key, recalled);
                }
            }
            FlusherMsg::Take { rows, bytes } => {
                let rows = self.flusher.pending.take(rows, bytes, true);
                self.flusher.is_announced = self.flusher.pending.has_ready();
                self.flusher.crowded_at = CROWDED_ROWS;
                let more = self.flusher.is_announced;
                self.cast_lanes(context, LaneMsg::Taken { rows, more });
            }
            FlusherMsg::Settled(rows) => {
                for (key, result) in rows {
                    self.settle(context, &key, result);
                }
            }
            FlusherMsg::Orphaned(key, generation) => {
                self.recall_is_over(key);
                self.flusher.orphans.entry(key).or_default().push(generation);
                self.settle_orphan(context, key);
            }
            FlusherMsg::Expire => self.expire(context),
        }
        self.announce(context);
    }

    fn announce(&mut self, context: &mut Context) {
        if !self.flusher.is_announced && self.flusher.pending.has_ready() {
            self.flusher.is_announced = true;
            self.cast_lanes(context, LaneMsg::Ready { crowded: false });
        } else if self.flusher.pending.ready_keys() >= self.flusher.crowded_at.max(CROWDED_ROWS) {
            // Said once until the lanes have taken some.
            self.flusher.crowded_at = usize::MAX;
            self.cast_lanes(context, LaneMsg::Ready { crowded: true });
        }
    }

    fn settle(&mut self, context: &mut Context, name: &EntryKey, result: RowResult) {
        let (key, who) = (number_of(name), Who::Server(self.me.server));
        let slot = &mut self.slots[key];
        if matches!(&result, RowResult::Unknown(_) | RowResult::Done(RowOutcome::Fenced)) {
            // Before anyone is answered: whoever then reads must be shown what is stored, not what was.
            slot.reads_wait = true;
        }
        let is_wanted = matches!(&result, RowResult::Done(RowOutcome::Wanted));
        let mut news = None;
        let mut publish = |writes: &mut dyn Iterator<Item = (&Op<Port>, &Arc<Entry>)>| {
            let (mut count, mut base, mut last) = (0, None, None);
            for (_, newest) in writes {
                base.get_or_insert(newest.revision - 1);
                (count, last) = (count + 1, Some(newest));
            }
            if let Some(newest) = last {
                context.note(who, "key {a} is durable at {b}", key as u64, newest.revision);
                let shared = slot.publish_durable(base.unwrap_or_default(), Arc::clone(newest), context.now);
                news = shared.map(|is_quiet| (Input::Settled(count, Arc::clone(newest)), is_quiet));
            }
        };
        let after = self.flusher.pending.settle(name, result, &mut publish, &mut answer);
        if let (Some((settled, is_quiet)), Some(actor)) = (news, self.slots[key].actor()) {
            drop(self.cast_key(context, actor, settled));
            if is_quiet {
                drop(self.cast_key(context, actor, Input::HandOver));
            }
        }
        if after.broken {
            self.tell_broken(context, key);
        }
        if let Some(recalled) = after.recalled {
            self.give_recalled(context, key, recalled);
        }
        self.settle_orphan(context, key);
        if is_wanted {
            self.cast_session(context, SessionMsg::Wanted(key));
        }
    }

    fn expire(&mut self, context: &mut Context) {
        let lies = self.mutant == Some(Mutant::SentIsFailed);
        let mut late = |op: &mut Op<Port>, result: CallResult| match result {
            Err(error) if lies => op.caller.answer(Err(CallError { outcome: Outcome::Fail, ..error })),
            result => op.caller.answer(result),
        };
        for key in self.flusher.pending.expire(context.now, &mut late) {
            self.tell_broken(context, number_of(&key));
        }
    }

    /// Has the key's machine recall what was built on a write that failed. Without a machine, all of it ends.
    fn tell_broken(&mut self, context: &mut Context, key: usize) {
        if let Activation::Live(actor) = self.slots[key].activation
            && self.cast_key(context, actor, Input::Broken).is_ok()
        {
            if self.flusher.recalls.insert(key) {
                self.slots[key].counts.open.update(|open| open + 1);
            }
            return;
        }
        let slot = &mut self.slots[key];
        slot.cached_at = None;
        if !matches!(slot.activation, Activation::Activating(_) | Activation::Leaving(..)) {
            slot.generation += 1;
        }
        self.flusher.pending.abandon(&self.keys[key], &CallError::internal(), &mut answer);
        self.settle_orphan(context, key);
    }

    fn give_recalled(&mut self, context: &mut Context, key: usize, mut recalled: Recalled<Port>) {
        for op in &mut recalled.ops {
            op.caller.set_accepted(false);
        }
        let durable = (!recalled.reload).then(|| Arc::clone(&self.slots[key].durable));
        let message = Input::Recalled(recalled.number, recalled.ops, durable);
        if let Some(actor) = self.slots[key].actor() {
            drop(self.cast_key(context, actor, message));
        }
        self.recall_is_over(key);
    }

    fn recall_is_over(&mut self, key: usize) {
        if self.flusher.recalls.remove(&key) {
            self.slots[key].counts.open.update(|open| open - 1);
        }
    }

    fn settle_orphan(&mut self, context: &mut Context, key: usize) {
        if !self.flusher.orphans.contains_key(&key) {
            return;
        }
        if self.flusher.pending.is_broken(&self.keys[key]) {
            self.flusher.pending.abandon(&self.keys[key], &CallError::internal(), &mut answer);
        }
        if !self.flusher.pending.contains(&self.keys[key]) {
            for generation in self.flusher.orphans.remove(&key).into_iter().flatten() {
                self.go_on_loading(context, key, generation);
            }
        }
    }
}

fn answer(op: &mut Op<Port>, result: CallResult) {
    op.caller.answer(result);
}
