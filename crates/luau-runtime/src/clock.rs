//! The one clock of a server. Owns the sum of start time and elapsed time; does not own where time comes from.

use std::fmt;
use std::time::Duration;

/// Start time plus the elapsed-time source that the driver handed in.
pub(crate) struct GameClock {
    start: Duration,
    elapsed: Box<dyn Fn() -> Duration>,
}

impl GameClock {
    pub(crate) fn new(start: Duration, elapsed: Box<dyn Fn() -> Duration>) -> Self {
        Self { start, elapsed }
    }

    /// Seconds since the server started.
    pub(crate) fn now(&self) -> f64 {
        (self.elapsed)().as_secs_f64()
    }

    /// Seconds since the Unix epoch.
    pub(crate) fn unix(&self) -> f64 {
        (self.start + (self.elapsed)()).as_secs_f64()
    }
}

impl fmt::Debug for GameClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GameClock").field("start", &self.start).field("now", &self.now()).finish()
    }
}
