//! Giving keys to those who want them (mirrors `actors::session_lock::hand_over`).
//!
//! Owns: for how long a wanted key is kept, and what becomes of one that no actor has. Does not own: leaving a key
//! (`key_actor`), when a key is shared instead (`core::lease`).

use std::time::Duration;

use clawstore_core::backend::Fence;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::Input;
use clawstore_core::limits::{HOLD_MIN, HOLD_UNSERVED_MAX};

use super::slot::{Activation, Slot};
use super::{Process, ServerEvent, Timer};
use crate::simulation::context::Context;
use crate::simulation::trace::Who;

/// A key that may not be given yet is looked at again this often.
const HOLD_LOOK: Duration = Duration::from_millis(5);

/// For how much longer a key is kept that others want.
fn still_held(slot: &Slot, now: Moment) -> Option<Duration> {
    let held = now.since(slot.granted_at);
    if held < HOLD_MIN {
        return Some(HOLD_MIN.saturating_sub(held));
    }
    let is_served = slot.is_clean() || slot.durable.revision > slot.granted_revision;
    (!is_served && held < HOLD_UNSERVED_MAX).then_some(HOLD_LOOK)
}

impl Process {
    /// Others wait for a key of this process. `unheard`: the fence under which the store says that it is owned here.
    pub(super) fn wanted(&mut self, context: &mut Context, key: usize, unheard: Option<Fence>) {
        let is_asked_for = self.session.as_ref().is_some_and(|session| session.requests.contains_key(&key));
        let slot = &mut self.slots[key];
        let (was_known, wait) = (slot.wanted_since.is_some(), still_held(slot, context.now));
        slot.wanted_since.get_or_insert(context.now);
        match (&slot.activation, slot.lease) {
            (Activation::Live(_), Some(fence)) if wait.is_some() => {
                // Else its timer is running.
                if let Some(wait) = wait.filter(|_| !was_known) {
                    context.tell(self.me, wait, ServerEvent::Rings(Timer::HandOver(key, fence)));
                }
            }
            (Activation::Live(actor), Some(_)) => {
                let actor = *actor;
                drop(self.cast_key(context, actor, Input::HandOver));
            }
            (Activation::Vacant, _) => self.give_unused(context, key, unheard, is_asked_for),
            // Its incarnation is over: it is leaving already; or on its way in or out, and it will be said again.
            _ => {}
        }
    }

    /// Without an actor; only if nothing of the key is on its way (I8).
    fn give_unused(&mut self, context: &mut Context, key: usize, unheard: Option<Fence>, is_asked_for: bool) {
        let slot = &mut self.slots[key];
        if slot.is_clean() && !is_asked_for {
            slot.wanted_since = None;
            if let Some(fence) = slot.lease.take().or(unheard) {
                self.give_away(context, key, fence);
            }
        }
    }

    /// A wanted key may have been held long enough.
    pub(super) fn hand_over(&mut self, context: &mut Context, key: usize, fence: Fence) {
        let slot = &self.slots[key];
        // Under another fence it is another hold: nobody has asked for that one yet.
        if let Activation::Live(actor) = slot.activation
            && slot.lease == Some(fence)
        {
            match still_held(slot, context.now) {
                Some(wait) => context.tell(self.me, wait, ServerEvent::Rings(Timer::HandOver(key, fence))),
                None => drop(self.cast_key(context, actor, Input::HandOver)),
            }
        }
    }

    /// Gives a key to those who wait for it, or to all, if it changes hands too often.
    pub(super) fn give_away(&mut self, context: &mut Context, key: usize, fence: Fence) {
        let name = self.keys[key].clone();
        let Some(session) = &mut self.session else { return };
        let may_share = context.setup.sharing;
        let drawn = Fence::from_bits(context.rng.bits());
        context.note(Who::Server(self.me.server), "gives key {a} away", key as u64, 0);
        session.leases.give_away(context.now, name, fence, || may_share.then_some(drawn));
    }
}
