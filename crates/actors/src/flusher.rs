//! The flusher of one game: keeps accepted writes until they are durable, and answers their callers.
//!
//! Owns: the game's pending writes; the order of publication: durable value into the cell, then answers, then the key's
//! machine (`decisions.md` 6); deadlines of accepted writes. Does not own: the batch in flight (`lane`), acceptance.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clawstore_core::backend::{BatchRow, RowOutcome};
use clawstore_core::clock::{Clock, Moment};
use clawstore_core::key_machine::{Input, Item, Op};
use clawstore_core::ops::CallResult;
use clawstore_core::write_batch::{PendingWrites, Recalled, RowResult};
use clawstore_core::{CallError, Entry, EntryKey, GameId};
use metrics::counter;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::call_port::CallPort;
use crate::directory::Directory;
use crate::game::Latency;
use crate::lane::LaneMsg;
use crate::metric_definitions::FENCED_ROWS_TOTAL;
use crate::ownership::Ownership;
use crate::slot::{Activation, KeyMsg, Slot};

/// Rows that wait for a batch from which on a game is crowded (`core::turns`; see `docs/PERFORMANCE.md`).
const CROWDED_ROWS: usize = 256;

#[derive(Debug)]
pub(crate) enum FlusherMsg {
    /// A key's machine accepted something.
    Submit(Item<CallPort>),
    /// A key's machine wants back what is not settled.
    Recall(Arc<Slot>, u64),
    /// The lane takes rows for a batch.
    Take {
        /// At most so many, kept versions counted.
        rows: usize,
        /// At most so many.
        bytes: usize,
        /// The first row may be larger.
        oversized: bool,
    },
    /// Rows that were taken have ended.
    Settled(Vec<(EntryKey, RowResult)>),
    /// A key's actor died: end what nobody will recall, and say when the key is settled.
    Orphaned(EntryKey, oneshot::Sender<()>),
    /// Look for deadlines that have passed.
    Expire,
    /// End everything now: never sent FAIL, sent UNKNOWN.
    Abort,
}

pub(crate) struct FlusherActor {
    game: GameId,
    lane: ActorRef<LaneMsg>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    latency: Arc<Latency>,
    ownership: Option<Arc<Ownership>>,
    call_deadline: Duration,
}

#[derive(Default)]
pub(crate) struct FlusherState {
    pending: PendingWrites<CallPort>,
    /// The lane knows that rows are waiting.
    announced: bool,
    /// Rows from which on a second batch is asked for.
    crowded_at: usize,
    /// Keys without an actor whose next activation waits for them to be settled.
    orphans: HashMap<EntryKey, Vec<oneshot::Sender<()>>>,
    /// Keys whose machine was told `Broken` and has not recalled yet.
    recalls: HashSet<EntryKey>,
}

impl FlusherActor {
    pub(crate) fn new(
        game: GameId,
        lane: ActorRef<LaneMsg>,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        latency: Arc<Latency>,
        ownership: Option<Arc<Ownership>>,
        call_deadline: Duration,
    ) -> Self {
        Self { game, lane, directory, clock, latency, ownership, call_deadline }
    }

    fn announce(&self, state: &mut FlusherState) {
        if !state.announced && state.pending.has_ready() {
            state.announced = true;
            let _ = self.lane.cast(LaneMsg::Ready(self.game));
        } else if state.pending.ready_keys() >= state.crowded_at {
            // Said once until the lane has taken some.
            state.crowded_at = usize::MAX;
            let _ = self.lane.cast(LaneMsg::Crowded(self.game));
        }
    }

    fn take(&self, state: &mut FlusherState, rows: usize, bytes: usize, oversized: bool) {
        let rows: Vec<BatchRow> = state.pending.take(rows, bytes, oversized);
        state.announced = state.pending.has_ready();
        state.crowded_at = CROWDED_ROWS;
        let _ = self.lane.cast(LaneMsg::Taken { game: self.game, rows, more: state.announced });
    }

    fn settled(&self, state: &mut FlusherState, rows: Vec<(EntryKey, RowResult)>) {
        let now = self.clock.now();
        let mut times = Vec::with_capacity(rows.len());
        for (key, result) in rows {
            let mut news = None;
            let mut publish = |writes: &mut dyn Iterator<Item = (&Op<CallPort>, &Arc<Entry>)>| {
                let called = |op: &Op<CallPort>| (now + self.call_deadline).since(op.deadline);
                let (before, mut base) = (times.len(), None);
                let newest = writes
                    .inspect(|(op, entry)| {
                        base.get_or_insert(entry.revision - 1);
                        times.push(called(op));
                    })
                    .last();
                if let Some((op, newest)) = newest {
                    let slot = op.caller.slot();
                    let shared = slot.publish_durable(base.unwrap_or_default(), Arc::clone(newest), now);
                    news = shared.map(|is_quiet| {
                        let settled = Input::Settled(times.len() - before, Arc::clone(newest));
                        (Arc::clone(slot), settled, is_quiet)
                    });
                }
            };
            if leaves_state_unknown(&result)
                && let Some(slot) = self.directory.existing(&key)
            {
                // Before anyone is answered: whoever then reads must be shown what is stored, not what was.
                slot.reads_wait.store(true, Ordering::Release);
            }
            let outcome = if let RowResult::Done(outcome) = &result { Some(*outcome) } else { None };
            let after = state.pending.settle(&key, result, &mut publish, &mut answer);
            if let Some((slot, settled, is_quiet)) = news {
                tell_settled(&slot, settled, is_quiet);
            }
            if after.broken {
                self.tell_broken(state, &key);
            }
            if let Some(recalled) = after.recalled {
                self.give_back(state, &key, recalled);
            }
            settle_orphan(state, &key);
            match (outcome, &self.ownership) {
                (Some(RowOutcome::Wanted), Some(ownership)) => ownership.wanted(key),
                (Some(RowOutcome::Fenced), _) => counter!(FENCED_ROWS_TOTAL).increment(1),
                _ => {}
            }
        }
        self.latency.record(&times);
    }

    fn expire(&self, state: &mut FlusherState, now: Moment) {
        for key in state.pending.expire(now, &mut answer) {
            self.tell_broken(state, &key);
        }
    }

    /// Has the key's machine recall what was built on a write that failed. Without a machine, all of it ends.
    fn tell_broken(&self, state: &mut FlusherState, key: &EntryKey) {
        let slot = self.directory.existing(key);
        if slot.is_some_and(|slot| begin_recall(state, &slot)) {
            return;
        }
        state.pending.abandon(key, &CallError::internal(), &mut answer);
        settle_orphan(state, key);
    }

    fn recall(&self, state: &mut FlusherState, slot: &Arc<Slot>, number: u64) {
        if let Some(recalled) = state.pending.recall(&slot.key, number) {
            self.give_back(state, &slot.key, recalled);
        }
    }

    fn give_back(&self, state: &mut FlusherState, key: &EntryKey, mut recalled: Recalled<CallPort>) {
        // A slot whose machine awaits a recall is open, and so still in the directory.
        let Some(slot) = self.directory.existing(key) else { return };
        for op in &mut recalled.ops {
            op.caller.set_accepted(false);
        }
        let durable = (!recalled.reload).then(|| Arc::clone(&slot.lock().durable));
        slot.send_if_live(Input::Recalled(recalled.number, recalled.ops, durable));
        self.recall_is_over(state, &slot);
    }

    fn recall_is_over(&self, state: &mut FlusherState, slot: &Slot) {
        if state.recalls.remove(&slot.key) {
            slot.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The key has no actor: nobody will recall what is broken. Says so once nothing of the key is left.
    fn orphaned(&self, state: &mut FlusherState, key: EntryKey, settled: oneshot::Sender<()>) {
        if let Some(slot) = self.directory.existing(&key) {
            self.recall_is_over(state, &slot);
        }
        state.orphans.entry(key.clone()).or_default().push(settled);
        settle_orphan(state, &key);
    }

    /// Deadlines of everything have passed: shutdown has run out of time.
    fn abort(&self, state: &mut FlusherState) {
        let forever = self.clock.now() + Duration::from_secs(u64::from(u32::MAX));
        state.pending.expire(forever, &mut answer);
    }
}

/// Tells a live actor `Broken`. It stays until the recall is over (A5).
fn begin_recall(state: &mut FlusherState, slot: &Slot) -> bool {
    let mut slot_state = slot.lock();
    if let Activation::Live(actor) = &slot_state.activation
        && actor.cast(Input::Broken).is_ok()
    {
        if state.recalls.insert(slot.key.clone()) {
            slot.open.fetch_add(1, Ordering::AcqRel);
        }
        return true;
    }
    // The next activation reads the state; a cache entry, or a flight on its way, may not be what is stored. An activation
    // that is on its way goes on: it waits for what is here (I8).
    slot_state.cached_at = None;
    if !matches!(slot_state.activation, Activation::Activating(_) | Activation::Leaving(..)) {
        slot_state.generation += 1;
    }
    false
}

/// A machine that shares its key learns from here what is stored; one that is alone with it looks into the slot.
fn tell_settled(slot: &Slot, settled: KeyMsg, is_quiet: bool) {
    slot.send_if_live(settled);
    if is_quiet {
        slot.send_if_live(Input::HandOver);
    }
}

fn leaves_state_unknown(result: &RowResult) -> bool {
    matches!(result, RowResult::Unknown(_) | RowResult::Done(RowOutcome::Fenced))
}

fn answer(op: &mut Op<CallPort>, result: CallResult) {
    op.caller.answer(result);
}

fn settle_orphan(state: &mut FlusherState, key: &EntryKey) {
    if !state.orphans.contains_key(key) {
        return;
    }
    if state.pending.is_broken(key) {
        state.pending.abandon(key, &CallError::internal(), &mut answer);
    }
    if !state.pending.contains(key) {
        for settled in state.orphans.remove(key).into_iter().flatten() {
            // An activation that was given up waits for nothing.
            let _ = settled.send(());
        }
    }
}

impl Actor for FlusherActor {
    type Msg = FlusherMsg;
    type State = FlusherState;
    type Arguments = ();

    async fn pre_start(&self, _me: ActorRef<FlusherMsg>, (): ()) -> Result<FlusherState, ActorProcessingErr> {
        Ok(FlusherState { crowded_at: CROWDED_ROWS, ..FlusherState::default() })
    }

    async fn handle(
        &self,
        _me: ActorRef<FlusherMsg>,
        msg: FlusherMsg,
        state: &mut FlusherState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            FlusherMsg::Submit(item) => {
                let slot = Arc::clone(item.op().caller.slot());
                state.pending.push(&slot.key, item, &mut answer);
            }
            FlusherMsg::Recall(slot, number) => self.recall(state, &slot, number),
            FlusherMsg::Take { rows, bytes, oversized } => self.take(state, rows, bytes, oversized),
            FlusherMsg::Settled(rows) => self.settled(state, rows),
            FlusherMsg::Orphaned(key, settled) => self.orphaned(state, key, settled),
            FlusherMsg::Expire => self.expire(state, self.clock.now()),
            FlusherMsg::Abort => self.abort(state),
        }
        self.announce(state);
        Ok(())
    }
}
