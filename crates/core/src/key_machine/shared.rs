//! Keys that nobody owns and all servers write (`docs/adr/0025`).
//!
//! Owns: which increments travel as sums; what waits until the stored state is known here again; answers that show the state of
//! a shared key without writing it, which the store must confirm first. Does not own: when a key is shared (`lease`), sums in
//! batches (`write_batch`), what happens to a write that another server was faster than (`recall`).
//!
//! A write of a state is a compare-and-set: it names the revision that it was built on. Increments need no state, as long as
//! nothing else waits: they are sent at once, and none of them can lose a race. Whatever else is called meanwhile waits for
//! them, and everything behind it too, so that the calls of a VM keep their order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Access, Caller, Effect, Head, Item, KeyMachine, Op};
use crate::backend::Number;
use crate::clock::Moment;
use crate::entry::Entry;
use crate::entry_key::StoreKind;
use crate::error::CallError;
use crate::ops::{CallResult, Request};
use crate::versioning::Retention;

/// What a machine knows of a key that it shares.
#[derive(Debug)]
pub(super) struct Shared<C> {
    /// No increment of this store ever travels as a sum: every revision is kept.
    keeps_all: bool,
    /// The last sum did not fit, and no write has been durable since.
    sums_failed: bool,
    /// Increments on their way. What is stored is not known here until they are settled.
    on_the_way: usize,
    /// A call waits that shows the state, until the states on their way are settled: they may have been stored before it was called,
    /// and others may have written since.
    shows: bool,
    /// Answers that show the head, and wait for the store to say that it is still the newest revision.
    unconfirmed: VecDeque<(Box<Op<C>>, CallResult)>,
    /// How many of them the question on its way is for; the others were called after it was asked.
    asked: usize,
    /// Number of the last question.
    questions: u64,
}

impl<C> Shared<C> {
    pub(super) fn new(kind: StoreKind, retention: Retention, access: Access) -> Option<Box<Self>> {
        let (unconfirmed, asked, questions) = (VecDeque::new(), 0, 0);
        let keeps_all = kind == StoreKind::Standard && retention == Retention::EveryWrite;
        let sums_failed = access == Access::States;
        let shared = Self { keeps_all, sums_failed, on_the_way: 0, shows: false, unconfirmed, asked, questions };
        (access != Access::Alone).then(|| Box::new(shared))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    fn ask(&mut self, out: &mut Vec<Effect<C>>) {
        self.questions += 1;
        self.asked = self.unconfirmed.len();
        out.push(Effect::Confirm(self.questions));
    }
}

impl<C: Caller> KeyMachine<C> {
    /// How the key's next machine begins, if it is still shared then.
    pub fn access(&self) -> Access {
        match &self.shared {
            None => Access::Alone,
            // Once only: where others add without end, a state would always come too late.
            Some(shared) if self.stale && shared.on_the_way > 0 => Access::States,
            Some(_) => Access::Sums,
        }
    }

    /// Is something on its way after which the stored state may be another?
    pub(super) fn is_state_unknown(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.on_the_way > 0 || shared.shows || !shared.is_idle())
    }

    /// Must a call wait for what is on its way?
    pub(super) fn waits_for_state(&self, op: &Op<C>) -> bool {
        let Some(shared) = self.shared.as_ref().filter(|_| self.is_state_unknown()) else { return false };
        if shared.on_the_way > 0 {
            return !self.queue.is_empty() || !self.travels_as_sum(op);
        }
        match &op.request {
            _ if shared.shows => true,
            Request::Get => false,
            Request::Update(update) => update.result.is_some() || !self.queue.is_empty(),
            _ => true,
        }
    }

    /// An increment that changes the state by as much, whatever it is: as far as this is known here.
    pub(super) fn travels_as_sum(&self, op: &Op<C>) -> bool {
        let Some(shared) = &self.shared else { return false };
        let Request::Increment(increment) = &op.request else { return false };
        let is_calm =
            self.held.is_empty() && shared.is_idle() && !shared.shows && self.durable == self.head.entry.revision;
        let may_be_sum = is_calm && !shared.keeps_all && !shared.sums_failed;
        may_be_sum && increment.fits_a_sum() && Number::of(&self.head.entry).is_some()
    }

    pub(super) fn add(&mut self, op: Box<Op<C>>, out: &mut Vec<Effect<C>>) {
        if let Some(shared) = &mut self.shared {
            shared.on_the_way += 1;
            out.push(Effect::Submit(Item::Add { op, fence: self.fence }));
        }
    }

    /// Writes of this machine are durable, `newest` the last of them.
    pub(super) fn settled(&mut self, now: Moment, writes: usize, newest: Arc<Entry>, out: &mut Vec<Effect<C>>) {
        let Some(shared) = self.shared.as_mut().filter(|_| !self.recalling) else { return };
        if shared.on_the_way == 0 {
            (self.durable, shared.sums_failed) = (newest.revision, false);
            if self.durable == self.head.entry.revision && std::mem::take(&mut shared.shows) {
                self.go_on(now, out);
            }
            return;
        }
        shared.on_the_way = shared.on_the_way.saturating_sub(writes);
        if shared.on_the_way == 0 {
            self.durable = newest.revision;
            self.head = Head::of_run(newest, self.recalls);
            self.go_on(now, out);
        }
    }

    /// Gives an answer that shows the head, once that is durable and the store has said that nobody has written since.
    pub(super) fn answer_once_confirmed(&mut self, op: Box<Op<C>>, result: CallResult, out: &mut Vec<Effect<C>>) {
        let Some(shared) = &mut self.shared else { return };
        if self.durable != self.head.entry.revision {
            shared.shows = true;
            self.queue.push_back(op);
            return;
        }
        if op.request == Request::Get {
            out.push(Effect::Look(op));
            return;
        }
        shared.unconfirmed.push_back((op, result));
        if shared.asked == 0 {
            shared.ask(out);
        }
    }

    pub(super) fn confirmed(
        &mut self,
        now: Moment,
        number: u64,
        revision: Result<u64, CallError>,
        out: &mut Vec<Effect<C>>,
    ) {
        let known = self.head.entry.revision;
        let Some(shared) = self.shared.as_mut().filter(|shared| shared.questions == number) else { return };
        if revision.as_ref().is_ok_and(|&revision| revision != known) {
            self.stale = true;
            self.recall(out);
            return;
        }
        for (op, result) in shared.unconfirmed.drain(..shared.asked) {
            out.push(Effect::Answer(op, revision.as_ref().map_err(CallError::clone).and(result)));
        }
        shared.asked = 0;
        if shared.is_idle() {
            self.go_on(now, out);
        } else {
            shared.ask(out);
        }
    }

    /// Nothing is on its way any more, and all that is known here is durable.
    pub(super) fn settle_all(&mut self) {
        if let Some(shared) = &mut self.shared {
            (shared.on_the_way, shared.shows) = (0, false);
        }
    }

    /// Ends the calls whose answers the store has not confirmed by their deadlines. What waited behind the last of them goes on.
    pub(super) fn expire_unconfirmed(&mut self, now: Moment, out: &mut Vec<Effect<C>>) {
        let Some(shared) = self.shared.as_mut().filter(|shared| !shared.is_idle()) else { return };
        let asked = shared.asked;
        for (place, (op, result)) in std::mem::take(&mut shared.unconfirmed).into_iter().enumerate() {
            if op.deadline > now {
                shared.unconfirmed.push_back((op, result));
                continue;
            }
            shared.asked -= usize::from(place < asked);
            out.push(Effect::Answer(op, Err(CallError::timed_out())));
        }
        if shared.is_idle() {
            // The answer to the question is for nobody any more.
            shared.questions += 1;
            self.go_on(now, out);
        }
    }

    /// Calls whose answers the store has not confirmed, to be made again.
    pub(super) fn take_unconfirmed(&mut self) -> VecDeque<Box<Op<C>>> {
        let Some(shared) = &mut self.shared else { return VecDeque::new() };
        (shared.asked, shared.questions) = (0, shared.questions + 1);
        shared.unconfirmed.drain(..).map(|(op, _)| op).collect()
    }

    /// The state is known again: what waited for it goes on.
    fn go_on(&mut self, now: Moment, out: &mut Vec<Effect<C>>) {
        if self.recalling {
            return;
        }
        let queue = std::mem::take(&mut self.queue);
        self.admit_all(now, queue, out);
        self.ask_again(now, out);
    }
}
