//! A clock that stands still until the test moves it.
//!
//! Owns: both kinds of time, and a panic on demand (any call of the clock is a place where the code under test may be
//! made to fail). Does not own: timers; those of tokio have their own paused time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clawstore_core::clock::{Clock, Moment, Timestamp};

/// See the module. Starts at the moment 0 and at a wall time of the test's choice.
#[derive(Debug)]
pub struct ManualClock(Mutex<State>);

#[derive(Debug)]
struct State {
    elapsed: Duration,
    wall_ticks: u64,
    /// Calls until the one that panics; 0: none does.
    panic_in: u64,
}

impl ManualClock {
    /// A clock whose wall shows `wall`.
    pub const fn new(wall: Timestamp) -> Self {
        Self(Mutex::new(State { elapsed: Duration::ZERO, wall_ticks: wall.ticks(), panic_in: 0 }))
    }

    /// Moves both kinds of time on. Wall time moves in whole ticks of 100 ns.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.elapsed += by;
        state.wall_ticks += (by.as_nanos() / 100) as u64;
    }

    /// Sets wall time alone, also backwards: what an operator or NTP does.
    pub fn set_wall(&self, wall: Timestamp) {
        self.state().wall_ticks = wall.ticks();
    }

    /// Makes the n-th following call of `now` or `wall` panic, once; 0 takes it back.
    pub fn arm_panic(&self, n: u64) {
        self.state().panic_in = n;
    }

    fn called(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if state.panic_in > 0 {
            state.panic_in -= 1;
            if state.panic_in == 0 {
                drop(state);
                panic!("the clock was armed to panic");
            }
        }
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    /// 2026-01-01, so that times in failures look like times.
    fn default() -> Self {
        Self::new(Timestamp::from_unix_ms(1_767_225_600_000))
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_ticks(self.called().wall_ticks)
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.called().elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn time_moves_by_hand() {
        let clock = ManualClock::new(Timestamp::from_unix_ms(5));
        let start = clock.now();
        clock.advance(Duration::from_millis(2));
        assert_eq!((clock.now().since(start), clock.wall().unix_ms()), (Duration::from_millis(2), 7));
        clock.set_wall(Timestamp::from_unix_ms(1));
        assert_eq!((clock.now().since(start), clock.wall().unix_ms()), (Duration::from_millis(2), 1));
    }

    #[test]
    fn the_armed_call_panics_once() {
        let clock = ManualClock::default();
        clock.arm_panic(2);
        let panics = |call: &dyn Fn()| catch_unwind(AssertUnwindSafe(call)).is_err();
        let calls = [0; 4].map(|_| panics(&|| _ = clock.now()));
        assert_eq!(calls, [false, true, false, false]);
    }
}
