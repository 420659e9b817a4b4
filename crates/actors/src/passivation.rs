//! Keys leave memory.
//!
//! Owns: the sweeper of a game, which sends ticks to keys that want them, looks after the flusher's deadlines, and takes
//! out keys that are idle or, above the byte ceiling, those used longest ago. Does not own: what an actor does.
//!
//! Only a clean key leaves (A5): nothing of it is open, under the slot's lock, so nothing can come between. Its durable
//! value stays as a 4 s cache entry (`decisions.md` 9); then the slot goes too, or stays with nothing but the key's lease.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use clawstore_core::CallError;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Access, Head, Input};
use clawstore_core::limits::{ACTIVE_KEY_BYTES, CACHED_KEY_BYTES, IDLE_BEFORE_RELEASE, READ_CACHE_TTL};
use metrics::{counter, gauge};

use crate::activation::is_call;
use crate::call_port::CallPort;
use crate::flusher::FlusherMsg;
use crate::game::Game;
use crate::metric_definitions::{PASSIVATIONS_TOTAL, PENDING_BYTES};
use crate::slot::{Activation, Slot, SlotState};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Ticks of one second: the unit of `Slot::last_used`.
const TICKS_PER_SECOND: u32 = 10;
/// Ticks between two sweeps of the directory. A sweep looks at every key; above the byte ceiling it comes at once.
const TICKS_PER_SWEEP: u32 = 50;
/// A sweep above the ceiling goes down to this share of it, so that it is not needed again at once.
const SWEEP_TO: f64 = 0.9;

/// Starts the game's sweeper. It ends when the game is stopped or gone.
pub(crate) fn start_sweeper(game: &Arc<Game>) {
    let weak = Arc::downgrade(game);
    game.runtime.spawn(sweep_until_stopped(weak));
}

#[expect(clippy::disallowed_methods, reason = "the sweeper is the game's one periodic task")]
async fn sweep_until_stopped(game: Weak<Game>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for tick in 1_u32.. {
        ticks.tick().await;
        let Some(game) = game.upgrade().filter(|game| !game.is_stopped()) else { return };
        game.tick_keys();
        let _ = game.flusher.cast(FlusherMsg::Expire);
        if tick.is_multiple_of(TICKS_PER_SECOND) {
            game.seconds.fetch_add(1, Ordering::Relaxed);
        }
        if game.sweep_soon.swap(false, Ordering::Relaxed) || tick.is_multiple_of(TICKS_PER_SWEEP) {
            game.sweep();
        }
    }
}

/// One idle key, as a sweep sees it.
struct Idle {
    slot: Arc<Slot>,
    last_used: u32,
    bytes: usize,
}

impl Game {
    /// Puts a key on the list of those that get ticks, until its machine is idle again.
    pub(crate) fn wants_ticks(&self, slot: &Arc<Slot>) {
        if !slot.wants_ticks.swap(true, Ordering::AcqRel) {
            self.ticking.lock().push(Arc::clone(slot));
        }
    }

    fn tick_keys(&self) {
        let now = self.clock.now();
        let slots = std::mem::take(&mut *self.ticking.lock());
        for slot in slots {
            slot.wants_ticks.store(false, Ordering::Release);
            let (expired, still_waits) = expire_waiting(&slot, now);
            if still_waits {
                self.wants_ticks(&slot);
            }
            for mut caller in expired {
                caller.answer(Err(CallError::timed_out()));
            }
            slot.send_if_live(Input::Tick);
        }
    }

    /// Takes out what is idle, then, if memory is short, what was used longest ago.
    pub(crate) fn sweep(&self) {
        let now = self.seconds.load(Ordering::Relaxed);
        let idle_seconds = u32::try_from(self.config.idle_before_passivation.as_secs()).unwrap_or(u32::MAX).max(1);
        let release_seconds = u32::try_from(IDLE_BEFORE_RELEASE.as_secs()).unwrap_or(u32::MAX);
        let (mut resident, mut idle, mut expired) = (0, Vec::new(), Vec::new());
        self.directory.for_each(|slot| {
            let (bytes, is_live, is_expired) = self.weigh(slot);
            resident += bytes;
            let last_used = slot.last_used.load(Ordering::Relaxed);
            if is_live && slot.open.load(Ordering::Acquire) == 0 {
                idle.push(Idle { slot: Arc::clone(slot), last_used, bytes });
            } else if is_expired {
                expired.push(Idle { slot: Arc::clone(slot), last_used, bytes });
            }
        });
        for Idle { slot, last_used, .. } in expired {
            let is_old = now.saturating_sub(last_used) > release_seconds;
            self.remove_expired(&slot, is_old || resident > self.config.cache_bytes);
        }
        let ceiling = self.config.cache_bytes;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a share of a size"
        )]
        let target = if resident > ceiling { (ceiling as f64 * SWEEP_TO) as usize } else { usize::MAX };
        idle.sort_unstable_by_key(|key| key.last_used);
        for key in idle {
            if resident > target || now.saturating_sub(key.last_used) > idle_seconds {
                self.passivate(&key.slot);
                resident -= key.bytes;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!(PENDING_BYTES).set(self.admission.process.in_use() as f64);
    }

    /// Resident bytes of a key; is it live; is it vacant with nothing worth keeping?
    fn weigh(&self, slot: &Slot) -> (usize, bool, bool) {
        let state = slot.lock();
        let payload = state.durable.payload_bytes();
        match state.activation {
            Activation::Live(_) => (ACTIVE_KEY_BYTES + payload, true, false),
            Activation::Vacant => {
                let now = self.clock.now();
                let fresh = state.cached_at.is_some_and(|at| now.since(at) < READ_CACHE_TTL);
                (CACHED_KEY_BYTES + payload, false, !fresh && state.flights.is_empty())
            }
            Activation::Quarantined(until) => (CACHED_KEY_BYTES + payload, false, until <= self.clock.now()),
            _ => (ACTIVE_KEY_BYTES + payload, false, false),
        }
    }

    /// Ends the actor of a clean key.
    pub(crate) fn passivate(&self, slot: &Slot) {
        let mut state = slot.lock();
        // Looked at again under the lock: calls enter through it.
        if slot.open.load(Ordering::Acquire) > 0 {
            return;
        }
        if let Activation::Live(actor) = &state.activation {
            actor.stop(None);
            state.activation = Activation::Vacant;
            state.cached_at = self.owned_value_is_of(&state);
            state.shared.end(Access::Sums, false, Duration::ZERO);
            drop(state);
            self.key_left();
            counter!(PASSIVATIONS_TOTAL).increment(1);
        }
    }

    /// As of when an owned value that stays behind as a cache entry is known to be the stored one.
    pub(crate) fn owned_value_is_of(&self, state: &SlotState) -> Option<Moment> {
        match &self.ownership {
            None => Some(self.clock.now()),
            Some(_) if state.shared.is_shared() => state.cached_at,
            Some(ownership) => ownership.owned_at().filter(|_| state.lease.is_some()),
        }
    }

    /// Takes out a slot that nobody uses. One with a lease keeps that, without the value, unless it is to be given back
    /// (`decisions.md` 13): its next activation need not write the row.
    pub(crate) fn remove_expired(&self, slot: &Arc<Slot>, gives_back: bool) {
        let mut state = slot.lock();
        let unused = state.flights.is_empty() && slot.open.load(Ordering::Acquire) == 0;
        if !matches!(state.activation, Activation::Vacant | Activation::Quarantined(_)) || !unused {
            return;
        }
        if state.lease.is_some() && !gives_back {
            (state.durable, state.cached_at) = (Arc::default(), None);
            state.head = Head::stored(Arc::default());
            return;
        }
        let lease = state.lease.take();
        state.activation = Activation::Removed;
        drop(state);
        if let (Some(ownership), Some(fence)) = (&self.ownership, lease) {
            ownership.give_back(slot.key.clone(), fence, false);
        }
        self.directory.remove(slot);
    }
}

/// Takes out the calls whose deadline has passed while they waited for an activation or a read. True if others wait on.
fn expire_waiting(slot: &Slot, now: Moment) -> (Vec<CallPort>, bool) {
    let mut expired = Vec::new();
    let mut state = slot.lock();
    for flight in &mut state.flights {
        let late = flight.waiters.extract_if(.., |(deadline, _)| *deadline <= now);
        expired.extend(late.map(|(_, caller)| caller));
    }
    let mut still_waits = !state.flights.is_empty();
    if let Activation::Activating(waiting) | Activation::Leaving(_, waiting) = &mut state.activation {
        for msg in std::mem::take(waiting) {
            match msg {
                Input::Call(op) if op.deadline <= now => expired.push(op.caller),
                msg => waiting.push_back(msg),
            }
        }
        still_waits = true;
    }
    if matches!(&state.activation, Activation::Activating(waiting) if !waiting.iter().any(is_call)) {
        // Nobody waits for the key any more: it is not asked for either.
        state.activation = Activation::Vacant;
        state.generation += 1;
    }
    (expired, still_waits)
}
