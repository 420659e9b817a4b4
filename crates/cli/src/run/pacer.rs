//! The pace of the loop.
//!
//! Owns: when the next tick is due, and sleeping until then or until a call has ended. Does not own: what a tick does.

use std::sync::Arc;
use std::time::Duration;

use clawstore::clock::{Clock, Moment};

/// A server that is further behind than this lets the missed ticks go, instead of running them all at once.
const BEHIND_MAX: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Pacer {
    clock: Arc<dyn Clock>,
    tick: Duration,
    next: Moment,
    last: Moment,
}

impl Pacer {
    pub(super) fn new(clock: Arc<dyn Clock>, ticks_per_second: u32) -> Self {
        let (now, tick) = (clock.now(), Duration::from_secs(1) / ticks_per_second.max(1));
        Self { clock, tick, next: now + tick, last: now }
    }

    /// Returns when the next tick is due, with the time since the last one. In between it sleeps, and calls `woken` each
    /// time this thread is unparked, and again at once while it says that there is more to do.
    pub(super) fn next_tick(&mut self, mut woken: impl FnMut() -> bool) -> Duration {
        let mut is_more = false;
        loop {
            let now = self.clock.now();
            let left = self.next.since(now);
            if left.is_zero() {
                let behind = now.since(self.next);
                self.next = if behind > BEHIND_MAX { now + self.tick } else { self.next + self.tick };
                let dt = now.since(self.last);
                self.last = now;
                return dt;
            }
            if !is_more {
                // An unpark that came before this makes it return at once: nothing is missed.
                std::thread::park_timeout(left);
            }
            is_more = woken();
        }
    }
}
