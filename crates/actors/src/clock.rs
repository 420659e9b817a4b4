//! The real clock.
//!
//! Owns: reading the machine's clocks, which nothing else here does. Elapsed time counts suspension too
//! (`CLOCK_BOOTTIME`), because cache ages are made of it (`ownership-protocol.md` A7).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clawstore_core::clock::{Clock, Moment, Timestamp};

/// Wall time and elapsed time of this machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Duration,
}

impl SystemClock {
    /// A clock whose elapsed time starts now.
    pub fn start() -> Self {
        Self { start: elapsed() }
    }
}

#[cfg(target_os = "linux")]
fn elapsed() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
fn elapsed() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads wall time")]
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ticks(u64::try_from(since_epoch.as_nanos() / 100).unwrap_or(u64::MAX))
    }

    fn now(&self) -> Moment {
        Moment::after_start(elapsed().saturating_sub(self.start))
    }
}
