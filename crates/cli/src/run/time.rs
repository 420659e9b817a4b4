//! Time of the game: real, or simulated.
//!
//! Owns: the simulated clock, and how much time has passed in the game. Does not own: the pace of ticks (`pacer`, `world`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clawstore::SystemClock;
use clawstore::clock::{Clock, Moment, Timestamp};

/// A clock whose wall time is simulated. Deadlines and leases of the store go by real time all the same: they guard against
/// what is really slow.
#[derive(Debug)]
pub(crate) struct SimulatedClock {
    start: Timestamp,
    /// Nanoseconds.
    elapsed: AtomicU64,
    real: SystemClock,
}

impl SimulatedClock {
    pub(crate) fn new(start: Timestamp) -> Self {
        Self { start, elapsed: AtomicU64::new(0), real: SystemClock::start() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::Relaxed))
    }

    fn advance_to(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_ticks(self.start.ticks() + self.elapsed.load(Ordering::Relaxed) / 100)
    }

    fn now(&self) -> Moment {
        self.real.now()
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// What scripts know as time, and what the store does.
#[derive(Debug, Clone)]
pub(crate) enum GameTime {
    Real { clock: Arc<SystemClock>, started: Moment },
    Simulated(Arc<SimulatedClock>),
}

impl GameTime {
    /// The machine's time, from now on.
    pub(crate) fn real() -> Self {
        let clock = Arc::new(SystemClock::start());
        Self::Real { started: clock.now(), clock }
    }

    /// Simulated time.
    pub(crate) fn simulated(start: Timestamp) -> Self {
        Self::Simulated(Arc::new(SimulatedClock::new(start)))
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Real { clock, .. } => Arc::clone(clock) as Arc<dyn Clock>,
            Self::Simulated(clock) => Arc::clone(clock) as Arc<dyn Clock>,
        }
    }

    /// Since the run started.
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::Real { clock, started } => clock.now().since(*started),
            Self::Simulated(clock) => clock.elapsed(),
        }
    }

    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated(_))
    }

    /// Real time goes on by itself.
    pub(crate) fn advance_to(&self, elapsed: Duration) {
        if let Self::Simulated(clock) = self {
            clock.advance_to(elapsed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_moves_only_when_told_and_never_back() {
        let time = GameTime::simulated(Timestamp::from_unix_ms(1_000));
        time.advance_to(Duration::from_secs(2));
        time.advance_to(Duration::from_secs(1));
        assert_eq!(time.elapsed(), Duration::from_secs(2));
        assert_eq!(time.clock().wall().unix_ms(), 3_000);
    }
}
