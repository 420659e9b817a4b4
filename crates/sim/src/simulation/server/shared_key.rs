//! What a process remembers of a key that it shares with others (mirrors `actors::shared_key`).
//!
//! Owns: under which fence all write it, whether anybody else still does, and when it is to be owned again. Does not own: what the
//! machine does with its calls (`core::key_machine`), when a key is shared (`core::lease`).

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::Entry;
use clawstore_core::backend::Fence;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::Access;
use clawstore_core::limits::{RACES_PATIENCE, SHARED_QUIET};

use super::slot::Slot;

/// Part of a slot.
#[derive(Debug, Default)]
pub(super) struct SharedKey {
    /// The fence of all; `None` while the key is not shared, or has no actor here.
    fence: Option<Fence>,
    /// When somebody else was last seen to have written it.
    others_wrote_at: Moment,
    /// The next activation takes the key for this process alone, if it is still shared under this fence.
    instead_of: Option<Fence>,
    /// How the next machine begins if it is shared.
    next: Option<Access>,
}

impl SharedKey {
    pub(super) fn begin(&mut self, now: Moment, fence: Option<Fence>) {
        *self = Self { fence, others_wrote_at: now, ..Self::default() };
    }

    pub(super) fn access(&self) -> Access {
        self.next.unwrap_or(Access::Sums)
    }

    pub(super) fn is_shared(&self) -> bool {
        self.fence.is_some()
    }

    pub(super) fn others_wrote(&mut self, now: Moment) {
        self.others_wrote_at = now;
    }

    fn is_quiet(&mut self, now: Moment) -> bool {
        let is_quiet = now.since(self.others_wrote_at) >= SHARED_QUIET;
        if is_quiet {
            self.instead_of = self.fence;
        }
        is_quiet
    }

    /// The actor leaves. `lost`: somebody else was faster. `waited`: for how long its oldest call has been waiting.
    pub(super) fn end(&mut self, next: Access, lost: bool, waited: Duration) {
        let fence = self.fence.take();
        self.next = fence.map(|_| next);
        if lost && waited >= RACES_PATIENCE {
            self.instead_of = fence;
        }
    }

    pub(super) fn take_instead_of(&mut self) -> Option<Fence> {
        self.instead_of.take()
    }
}

impl Slot {
    /// Makes a durable state that was built on revision `base` visible to reads. `None` if the key is not shared; else, whether it
    /// is to be owned again.
    pub(super) fn publish_durable(&mut self, base: u64, entry: Arc<Entry>, now: Moment) -> Option<bool> {
        if !self.shared.is_shared() {
            self.durable = entry;
            return None;
        }
        let is_next = base == self.durable.revision;
        // A read may have seen a later one.
        if entry.revision > self.durable.revision {
            self.durable = entry;
        }
        if !is_next {
            self.shared.others_wrote(now);
        }
        Some(self.shared.is_quiet(now))
    }
}
