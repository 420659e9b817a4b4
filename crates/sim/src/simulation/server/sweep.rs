//! Deadlines and keys that leave memory (mirrors `actors::passivation`).
//!
//! Owns: the ticks of a process: keys that want them, deadlines of those who wait, keys that are idle. Does not own: what an actor
//! does.

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::CallError;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Access, Head, Input};
use clawstore_core::limits::{READ_CACHE_TTL, TRUST_AFTER_BEAT};

use super::calls::take_expired;
use super::flusher::FlusherMsg;
use super::session::SessionMsg;
use super::slot::{Activation, is_call};
use super::{Process, ServerEvent};
use crate::simulation::context::Context;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two looks at idle keys.
const TICKS_PER_SWEEP: u32 = 10;

impl Process {
    pub(super) fn sweep(&mut self, context: &mut Context, tick: u32) {
        context.tell(self.me, TICK, ServerEvent::Sweeps(tick + 1));
        for key in 0..self.slots.len() {
            if std::mem::take(&mut self.slots[key].wants_ticks) {
                self.tick_key(context, key);
            }
        }
        self.cast_flusher(context, FlusherMsg::Expire);
        if tick.is_multiple_of(TICKS_PER_SWEEP) {
            for key in 0..self.slots.len() {
                self.leave_memory(context, key);
            }
        }
    }

    fn tick_key(&mut self, context: &mut Context, key: usize) {
        let slot = &mut self.slots[key];
        let mut expired = Vec::new();
        for flight in &mut slot.flights {
            let late = flight.waiters.extract_if(.., |(deadline, _)| *deadline <= context.now);
            expired.extend(late.map(|(_, port)| port));
        }
        slot.wants_ticks = !slot.flights.is_empty();
        if let Activation::Activating(waiting) | Activation::Leaving(_, waiting) = &mut slot.activation {
            expired.extend(take_expired(waiting, context.now));
            slot.wants_ticks = true;
        }
        if matches!(&slot.activation, Activation::Activating(waiting) if !waiting.iter().any(is_call)) {
            // Nobody waits for the key any more: it is not asked for either.
            slot.activation = Activation::Vacant;
            slot.generation += 1;
        }
        let actor = slot.actor();
        for mut port in expired {
            port.answer(Err(CallError::timed_out()));
        }
        if let Some(actor) = actor {
            drop(self.cast_key(context, actor, Input::Tick));
        }
    }

    fn leave_memory(&mut self, context: &mut Context, key: usize) {
        let owned_value_is_of = self.owned_value_is_of(key);
        let slot = &mut self.slots[key];
        let is_idle = context.now.since(slot.last_used) > context.setup.idle;
        match slot.activation {
            // Only a clean key leaves (A5).
            Activation::Live(actor) if is_idle && slot.is_clean() => {
                slot.activation = Activation::Vacant;
                slot.cached_at = owned_value_is_of;
                slot.shared.end(Access::Sums, false, Duration::ZERO);
                self.actors.remove(&actor);
                self.mailboxes.remove(&actor);
            }
            Activation::Vacant if slot.flights.is_empty() && slot.is_clean() => {
                let is_fresh = slot.cached_at.is_some_and(|at| context.now.since(at) < READ_CACHE_TTL);
                if is_fresh || slot.lease.is_none() {
                    return;
                }
                // The lease stays without the value, or goes back.
                (slot.durable, slot.cached_at) = (Arc::default(), None);
                slot.head = Head::stored(Arc::default());
                if context.rng.chance(20)
                    && let Some(fence) = slot.lease.take()
                {
                    self.cast_session(context, SessionMsg::GiveBack { key, fence, wanted: false });
                }
            }
            _ => {}
        }
    }

    /// As of when an owned value that stays behind as a cache entry is known to be the stored one.
    pub(super) fn owned_value_is_of(&self, key: usize) -> Option<Moment> {
        let slot = &self.slots[key];
        if slot.shared.is_shared() {
            return slot.cached_at;
        }
        let until = self.shared.trusted_until.get().since(Moment::default());
        let since = until.checked_sub(TRUST_AFTER_BEAT).map(Moment::after_start);
        since.filter(|_| slot.lease.is_some())
    }
}
