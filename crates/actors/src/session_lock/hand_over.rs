//! Giving keys to those who want them.
//!
//! Owns: for how long a wanted key is kept, and what becomes of one that no actor has. Does not own: leaving a key
//! (`key_actor`), when a key is shared instead (`core::lease`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use clawstore_core::EntryKey;
use clawstore_core::backend::Fence;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::Input;
use clawstore_core::limits::{HOLD_MIN, HOLD_UNSERVED_MAX};
use metrics::counter;
use ractor::ActorRef;

use super::{SessionLockActor, SessionMsg, SessionState};
use crate::metric_definitions::{HAND_OVERS_TOTAL, SHARED_KEYS_TOTAL, TRACE_LEASES};
use crate::slot::{Activation, Slot, SlotState};

/// A key that may not be given yet is looked at again this often.
const HOLD_LOOK: Duration = Duration::from_millis(5);

/// For how much longer a key is kept that others want: until it has been written once, and not for less than the least.
fn still_held(slot: &Slot, state: &SlotState, now: Moment) -> Option<Duration> {
    let held = now.since(state.granted_at);
    if held < HOLD_MIN {
        return Some(HOLD_MIN.saturating_sub(held));
    }
    let is_served = slot.open.load(Ordering::Acquire) == 0 || state.durable.revision > state.granted_revision;
    (!is_served && held < HOLD_UNSERVED_MAX).then_some(HOLD_LOOK)
}

impl SessionLockActor {
    /// Others wait for a key of this process: it is given away once it has been held for a moment. `unheard`: the fence under
    /// which the store says that it is owned here, should nobody here know of it.
    pub(super) fn wanted(
        &self,
        me: &ActorRef<SessionMsg>,
        state: &mut SessionState,
        key: EntryKey,
        unheard: Option<Fence>,
    ) {
        let now = self.clock.now();
        let is_asked_for = state.requests.contains_key(&key);
        let Some(slot) = state.slot(&key) else {
            // A grant whose answer was lost, and that nobody asked for again.
            if let Some(fence) = unheard.filter(|_| !is_asked_for) {
                self.give_away(state, key, fence);
            }
            return;
        };
        let mut slot_state = slot.lock();
        let (was_known, wait) = (slot_state.wanted_since.is_some(), still_held(&slot, &slot_state, now));
        slot_state.wanted_since.get_or_insert(now);
        match (&slot_state.activation, slot_state.lease) {
            (Activation::Live(_), Some(fence)) if wait.is_some() => {
                // Else its timer is running.
                if let Some(wait) = wait.filter(|_| !was_known) {
                    me.send_after(wait, move || SessionMsg::HandOver(key, fence));
                }
            }
            (Activation::Live(actor), Some(_)) if actor.cast(Input::HandOver).is_ok() => {}
            // Its incarnation is over: it is leaving already.
            (Activation::Live(_), None) => {}
            // Without an actor, or with one that has died; only if nothing of the key is on its way (I8).
            (Activation::Vacant | Activation::Quarantined(_), fence)
                if slot.open.load(Ordering::Acquire) == 0 && !is_asked_for =>
            {
                (slot_state.lease, slot_state.wanted_since) = (None, None);
                drop(slot_state);
                if let Some(fence) = fence.or(unheard) {
                    self.give_away(state, key, fence);
                }
            }
            // On its way in or out. The outcome of its next batch, or the next beat, says it again.
            _ => {}
        }
    }

    /// A wanted key may have been held long enough.
    pub(super) fn hand_over(&self, me: &ActorRef<SessionMsg>, state: &SessionState, key: EntryKey, fence: Fence) {
        let Some(slot) = state.slot(&key) else { return };
        let slot_state = slot.lock();
        // Under another fence it is another hold: nobody has asked for that one yet.
        if let Activation::Live(actor) = &slot_state.activation
            && slot_state.lease == Some(fence)
        {
            match still_held(&slot, &slot_state, self.clock.now()) {
                Some(wait) => drop(me.send_after(wait, move || SessionMsg::HandOver(key, fence))),
                None => drop(actor.cast(Input::HandOver)),
            }
        }
    }

    /// Gives a key to those who wait for it, or to all, if it changes hands too often.
    pub(super) fn give_away(&self, state: &mut SessionState, key: EntryKey, fence: Fence) {
        counter!(HAND_OVERS_TOTAL).increment(1);
        let may_share = self.sharing.may_share(&key.store);
        let name = key.clone();
        let draw = || {
            may_share.then(|| {
                counter!(SHARED_KEYS_TOTAL).increment(1);
                tracing::info!(target: TRACE_LEASES, key = %name, "several servers write this key: it is shared");
                Fence::from_bits(self.entropy.bits())
            })
        };
        state.leases.give_away(self.clock.now(), key, fence, draw);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clawstore_core::{Entry, GameId, StoreId};

    use super::*;

    #[test]
    fn a_key_is_kept_until_it_was_written_once_but_not_for_long() {
        let key = EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), b"k").expect("legal");
        let slot = Slot::new(key);
        let held = |ms| still_held(&slot, &slot.lock(), Moment::default() + Duration::from_millis(ms));
        assert_eq!((held(0), held(15)), (Some(HOLD_MIN), Some(Duration::from_millis(5))));
        assert_eq!(held(20), None, "no call waits");
        slot.open.store(1, Ordering::Release);
        assert_eq!((held(20), held(59), held(60)), (Some(HOLD_LOOK), Some(HOLD_LOOK), None));
        slot.publish_durable(0, Arc::new(Entry { revision: 1, ..Entry::default() }), Moment::default());
        assert_eq!((held(10), held(20)), (Some(Duration::from_millis(10)), None), "written since the grant");
        slot.lock().granted_revision = 1;
        assert_eq!(held(20), Some(HOLD_LOOK), "that was before");
    }
}
