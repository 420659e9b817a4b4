//! A clock that stands still until the test moves it.
//!
//! Owns: both kinds of time. Does not own: timers; those of tokio have their own paused time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clawstore_core::clock::{Clock, Moment, Timestamp};

/// See the module. Starts at the moment 0 and at a wall time of the test's choice.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<State>,
    is_simulated: bool,
}

#[derive(Debug)]
struct State {
    elapsed: Duration,
    wall_ticks: u64,
}

impl ManualClock {
    /// A clock whose wall shows `wall`.
    pub const fn new(wall: Timestamp) -> Self {
        let state = Mutex::new(State { elapsed: Duration::ZERO, wall_ticks: wall.ticks() });
        Self { state, is_simulated: true }
    }

    /// The same as a clock of the world, which operators and NTP set: not a simulated one.
    #[must_use]
    pub fn of_the_world(self) -> Self {
        Self { is_simulated: false, ..self }
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        Timestamp::from_ticks(self.state().wall_ticks)
    }

    fn now(&self) -> Moment {
        Moment::after_start(self.state().elapsed)
    }

    fn is_simulated(&self) -> bool {
        self.is_simulated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_by_hand() {
        let clock = ManualClock::new(Timestamp::from_unix_ms(5));
        let start = clock.now();
        clock.advance(Duration::from_millis(2));
        assert_eq!((clock.now().since(start), clock.wall().unix_ms()), (Duration::from_millis(2), 7));
        clock.set_wall(Timestamp::from_unix_ms(1));
        assert_eq!((clock.now().since(start), clock.wall().unix_ms()), (Duration::from_millis(2), 1));
    }
}
