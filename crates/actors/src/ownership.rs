//! What games see of the process's leases.
//!
//! Owns: asking the session lock for keys and giving them back, and what it knows that nobody can wait for: the incarnation, and
//! until when owned values may be shown. Does not own: the session lock itself (`session_lock`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use clawstore_core::backend::{Fence, Incarnation, LaneId};
use clawstore_core::clock::Moment;
use clawstore_core::limits::TRUST_AFTER_BEAT;
use clawstore_core::lost_history::Acknowledged;
use clawstore_core::{Entry, EntryKey, GameId};
use parking_lot::Mutex;
use ractor::ActorRef;
use tokio::sync::oneshot;

use crate::game::Game;
use crate::lane::LaneMsg;
use crate::session_lock::{Answer, SessionMsg, Want};
use crate::slot::Slot;

/// A key that may be written.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) entry: Entry,
    pub(crate) fence: Fence,
    /// To whom it was granted: it counts while this is the process's incarnation.
    pub(crate) incarnation: Incarnation,
    /// Nobody owns the key: others write it too, under the same fence.
    pub(crate) is_shared: bool,
}

/// What the session lock knows, for those who cannot wait for a message.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// 0 while there is none.
    pub(crate) incarnation: AtomicU64,
    /// Nanoseconds of the process's clock until which owned values may be shown.
    pub(crate) trusted_until: AtomicU64,
    /// The last batches that were acknowledged.
    pub(crate) acknowledged: Mutex<Acknowledged>,
    /// How often the store was found to have lost acknowledged writes.
    pub(crate) losses: AtomicU64,
}

/// What games see of the process's leases.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub(crate) session: ActorRef<SessionMsg>,
    pub(crate) standing: Arc<Standing>,
}

impl Ownership {
    /// May a value that is owned be shown without asking the store (`ownership-protocol.md` A8)?
    pub(crate) fn is_trusted(&self, now: Moment) -> bool {
        nanos(now) < self.standing.trusted_until.load(Ordering::Acquire)
    }

    /// When owned values were surely the stored ones: at the last beat that succeeded nobody else had the keys. `None` while there
    /// is no incarnation.
    pub(crate) fn owned_at(&self) -> Option<Moment> {
        let until = Duration::from_nanos(self.standing.trusted_until.load(Ordering::Acquire));
        until.checked_sub(TRUST_AFTER_BEAT).map(Moment::after_start)
    }

    /// The process's incarnation; 0 while there is none.
    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.standing.incarnation.load(Ordering::Acquire))
    }

    /// Is this the process's incarnation?
    pub(crate) fn is_current(&self, incarnation: Incarnation) -> bool {
        self.incarnation() == incarnation
    }

    /// Waits until the key is owned or shared. `fence`: of the lease that this process has kept. `instead_of`: of a shared key that
    /// is to be owned again. `None`: its activation is not wanted any more, or the process ends.
    pub(crate) async fn acquire(
        &self,
        slot: &Arc<Slot>,
        generation: u64,
        fence: Option<Fence>,
        instead_of: Option<Fence>,
    ) -> Option<Answer<Grant>> {
        let (reply, answer) = oneshot::channel();
        let want = Want { slot: Arc::clone(slot), generation, fence, instead_of, reply };
        self.session.cast(SessionMsg::Want(want)).ok()?;
        answer.await.ok()
    }

    pub(crate) fn give_back(&self, key: EntryKey, fence: Fence, wanted: bool) {
        // A session that has ended has given back everything.
        let _ = self.session.cast(SessionMsg::GiveBack { key, fence, wanted });
    }

    pub(crate) fn wanted(&self, key: EntryKey) {
        let _ = self.session.cast(SessionMsg::Wanted(key));
    }

    pub(crate) fn over(&self, incarnation: Incarnation) {
        let _ = self.session.cast(SessionMsg::Over(incarnation));
    }

    /// A batch was acknowledged. Called before anybody is told of it.
    pub(crate) fn acknowledged(&self, lane: LaneId, seq: u64) {
        self.standing.acknowledged.lock().acknowledged(lane, seq);
    }

    /// How often the store was found to have lost acknowledged writes.
    pub(crate) fn losses(&self) -> u64 {
        self.standing.losses.load(Ordering::Acquire)
    }

    pub(crate) fn tell_lane(&self, lane: ActorRef<LaneMsg>) {
        let _ = self.session.cast(SessionMsg::Lane(lane));
    }

    pub(crate) fn register(&self, game: GameId, weak: Weak<Game>) {
        let _ = self.session.cast(SessionMsg::Register(game, weak));
    }

    /// Nothing will be written any more: others may have the keys.
    pub(crate) fn halt(&self) {
        let _ = self.session.cast(SessionMsg::Halt);
    }

    /// Ends the incarnation in order; waits at most `patience`.
    pub(crate) async fn leave(&self, patience: Duration) {
        let (left, wait) = oneshot::channel();
        if self.session.cast(SessionMsg::Leave(left)).is_ok() {
            // Without an answer the leases end as those of the dead do.
            let _ = crate::client::timeout_at(tokio::time::Instant::now() + patience, wait).await;
        }
        self.session.stop(None);
    }
}

pub(crate) fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since(Moment::default()).as_nanos()).unwrap_or(u64::MAX)
}
