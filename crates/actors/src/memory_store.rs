//! The memory stores of a game, kept in this process.
//!
//! Owns: the one lock around them, and asking the clock under it; how many players quotas are made of; bringing answers to a
//! VM. Does not own: their rules (`core::memory_store`). A call
//! never waits for anything but the lock, which is held for a few microseconds: a range of 200 items is the longest.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use clawstore_core::clock::Clock;
use clawstore_core::limits::Limits;
use clawstore_core::memory_store::{GameMemory, MemoryAnswer, MemoryCall, MemoryError, MemoryReply, MemoryStores};
use clawstore_core::ops::{CallResult, Reply};
use parking_lot::Mutex;

use crate::game::Game;
use crate::inbox::{Inbox, VmEvent};

/// Shared by all servers of a game in this process, and gone with it.
#[derive(Debug)]
pub struct InProcess {
    clock: Arc<dyn Clock>,
    memory: Mutex<GameMemory>,
}

impl InProcess {
    /// Empty. Items expire by the wall time of `clock`, which scripts see too.
    pub fn new(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self { clock, memory: Mutex::new(GameMemory::new(limits)) }
    }
}

impl MemoryStores for InProcess {
    fn call(&self, call: MemoryCall, answer: MemoryAnswer) {
        let mut memory = self.memory.lock();
        let result = memory.call(self.clock.wall(), call);
        // Not under the lock: answering runs the host's wake-up.
        drop(memory);
        answer(result);
    }

    fn set_users(&self, users: u32) {
        let mut memory = self.memory.lock();
        memory.set_users(self.clock.wall(), users);
    }
}

/// The counts of players of a game's servers, each kept by its host.
#[derive(Debug, Default)]
pub(crate) struct PlayerCounts(Mutex<Vec<Weak<AtomicU32>>>);

impl PlayerCounts {
    pub(crate) fn join(&self, players: &Arc<AtomicU32>) {
        let mut counts = self.0.lock();
        counts.retain(|count| count.strong_count() > 0);
        // A host may open several VMs as one server.
        if !counts.iter().any(|count| count.as_ptr() == Arc::as_ptr(players)) {
            counts.push(Arc::downgrade(players));
        }
    }

    pub(crate) fn sum(&self) -> u32 {
        self.0.lock().iter().filter_map(Weak::upgrade).map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Game {
    pub(crate) fn memory_call(&self, call: MemoryCall, answer: MemoryAnswer) {
        if self.config.limits.are_fixed() {
            self.memory_stores.set_users(self.player_counts.sum());
        }
        self.memory_stores.call(call, answer);
    }
}

/// Brings the answer of a call to the inbox of its VM; also if whoever keeps the data drops it.
pub(crate) struct ToInbox {
    inbox: Arc<Inbox>,
    op: u64,
    direct: Option<Arc<Direct>>,
    is_sent: bool,
}

/// Takes an answer that comes while the call is being made.
#[derive(Debug, Default)]
pub(crate) struct Direct(Mutex<Hand>);

#[derive(Debug, Default)]
enum Hand {
    #[default]
    Open,
    Full(CallResult),
    /// The caller has gone on: the inbox it is.
    Closed,
}

impl Direct {
    /// The answer, if it is there. From now on it goes to the inbox.
    pub(crate) fn take(&self) -> Option<CallResult> {
        match std::mem::replace(&mut *self.0.lock(), Hand::Closed) {
            Hand::Full(result) => Some(result),
            Hand::Open | Hand::Closed => None,
        }
    }
}

impl ToInbox {
    /// The answer of the call with this number in the VM.
    pub(crate) fn answer(inbox: Arc<Inbox>, op: u64) -> MemoryAnswer {
        Self { inbox, op, direct: None, is_sent: false }.into_answer()
    }

    /// The same, with a hand that takes it before the inbox does.
    pub(crate) fn direct(inbox: Arc<Inbox>, op: u64) -> (MemoryAnswer, Arc<Direct>) {
        let direct = Arc::new(Direct::default());
        (Self { inbox, op, direct: Some(Arc::clone(&direct)), is_sent: false }.into_answer(), direct)
    }

    fn into_answer(mut self) -> MemoryAnswer {
        Box::new(move |result| self.send(result))
    }

    fn send(&mut self, result: Result<MemoryReply, MemoryError>) {
        self.is_sent = true;
        let result: CallResult = result.map(Reply::Memory).map_err(Into::into);
        if let Some(direct) = &self.direct {
            let mut hand = direct.0.lock();
            if matches!(*hand, Hand::Open) {
                *hand = Hand::Full(result);
                return;
            }
        }
        self.inbox.push(VmEvent::Done { op: self.op, result });
    }
}

impl Drop for ToInbox {
    fn drop(&mut self) {
        if !self.is_sent {
            self.send(Err(MemoryError::internal()));
        }
    }
}

#[cfg(test)]
mod tests {
    use clawstore_core::CallError;
    use clawstore_core::memory_store::SortedMapCall;
    use clawstore_testkit::ManualClock;

    use super::*;

    fn ended(inbox: &Inbox) -> Vec<(u64, Result<Reply, CallError>)> {
        let mut events = Vec::new();
        inbox.take(&mut events);
        let ended = events.into_iter().map(|event| match event {
            VmEvent::Done { op, result } => (op, result),
            other => panic!("not an end: {other:?}"),
        });
        ended.collect()
    }

    #[test]
    fn answers_reach_the_inbox_once_also_when_they_are_dropped() {
        let inbox = Arc::new(Inbox::default());
        let stores = InProcess::new(Arc::new(ManualClock::default()), Limits::Off);
        let size = MemoryCall::SortedMap("m".into(), SortedMapCall::Size);
        stores.call(size, ToInbox::answer(Arc::clone(&inbox), 7));
        assert_eq!(ended(&inbox), [(7, Ok(Reply::Memory(MemoryReply::Size(0))))]);
        drop(ToInbox::answer(Arc::clone(&inbox), 8));
        assert_eq!(ended(&inbox), [(8, Err(MemoryError::internal().into()))]);
    }

    #[test]
    fn an_answer_that_comes_after_the_call_was_made_reaches_the_inbox() {
        let inbox = Arc::new(Inbox::default());
        let (early, hand) = ToInbox::direct(Arc::clone(&inbox), 1);
        early(Ok(MemoryReply::Done));
        assert_eq!(hand.take(), Some(Ok(Reply::Memory(MemoryReply::Done))));
        let (late, hand) = ToInbox::direct(Arc::clone(&inbox), 2);
        assert_eq!((hand.take(), ended(&inbox)), (None, Vec::new()));
        late(Ok(MemoryReply::Done));
        assert_eq!(ended(&inbox), [(2, Ok(Reply::Memory(MemoryReply::Done)))]);
    }

    #[test]
    fn quotas_follow_the_players_of_all_servers() {
        let counts = PlayerCounts::default();
        let [a, b] = [2, 3].map(|players| Arc::new(AtomicU32::new(players)));
        counts.join(&a);
        counts.join(&b);
        counts.join(&a);
        assert_eq!(counts.sum(), 5);
        drop(a);
        b.store(1, Ordering::Relaxed);
        assert_eq!(counts.sum(), 1);
    }
}
