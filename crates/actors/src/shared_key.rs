//! What a process remembers of a key that it shares with others.
//!
//! Owns: under which fence all write it, whether anybody else still does, and when it is to be owned again: because nobody else
//! has written it for long, or because a call has lost races for long. Does not own: what the machine does with its calls
//! (`core::key_machine`), when a key is shared (`core::lease`).

use std::time::Duration;

use clawstore_core::backend::Fence;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::Access;
use clawstore_core::limits::{RACES_PATIENCE, SHARED_QUIET};

/// Part of a slot.
#[derive(Debug, Default)]
pub(crate) struct SharedKey {
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
    /// The key has an actor, which shares it under this fence or has it alone.
    pub(crate) fn begin(&mut self, now: Moment, fence: Option<Fence>) {
        *self = Self { fence, others_wrote_at: now, ..Self::default() };
    }

    /// How the machine that shares the key begins.
    pub(crate) fn access(&self) -> Access {
        self.next.unwrap_or(Access::Sums)
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.fence.is_some()
    }

    pub(crate) fn others_wrote(&mut self, now: Moment) {
        self.others_wrote_at = now;
    }

    /// This process has written. True if nobody else has for long: the key is to be owned again.
    pub(crate) fn is_quiet(&mut self, now: Moment) -> bool {
        let is_quiet = now.since(self.others_wrote_at) >= SHARED_QUIET;
        if is_quiet {
            self.instead_of = self.fence;
        }
        is_quiet
    }

    /// The actor leaves. `lost`: somebody else was faster. `waited`: for how long its oldest call has been waiting.
    pub(crate) fn end(&mut self, next: Access, lost: bool, waited: Duration) {
        let fence = self.fence.take();
        self.next = fence.map(|_| next);
        if lost && waited >= RACES_PATIENCE {
            self.instead_of = fence;
        }
    }

    /// Under which fence the key is shared that is to be owned.
    pub(crate) fn take_instead_of(&mut self) -> Option<Fence> {
        self.instead_of.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::after_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_key_that_nobody_else_writes_is_owned_again() {
        let mut key = SharedKey::default();
        key.begin(at(0), Some(Fence(7)));
        assert!(!key.is_quiet(at(59)));
        key.others_wrote(at(59));
        assert!(!key.is_quiet(at(118)) && key.is_quiet(at(119)));
        key.end(Access::Sums, false, Duration::ZERO);
        assert_eq!((key.take_instead_of(), key.take_instead_of()), (Some(Fence(7)), None));
    }

    #[test]
    fn a_call_that_loses_for_long_gets_the_key_alone() {
        let lost_after = |waited| {
            let mut key = SharedKey::default();
            key.begin(at(0), Some(Fence(7)));
            key.end(Access::States, true, waited);
            (key.take_instead_of(), key.access())
        };
        assert_eq!(lost_after(RACES_PATIENCE), (Some(Fence(7)), Access::States));
        assert_eq!(lost_after(RACES_PATIENCE / 2), (None, Access::States));
    }
}
