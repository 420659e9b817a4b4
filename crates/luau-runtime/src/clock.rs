//! The one clock of a server. Owns the sum of start time and elapsed time; does not own where time comes from.

use std::fmt;
use std::time::Duration;

use crate::shared::Elapsed;

/// Start time plus the elapsed-time source that the driver handed in.
pub(crate) struct GameClock {
    start: Duration,
    elapsed: Elapsed,
}

impl GameClock {
    pub(crate) fn new(start: Duration, elapsed: Elapsed) -> Self {
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

    /// Milliseconds since the Unix epoch, exactly.
    pub(crate) fn unix_ms(&self) -> u64 {
        u64::try_from((self.start + (self.elapsed)()).as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for GameClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GameClock").field("start", &self.start).field("now", &self.now()).finish()
    }
}
