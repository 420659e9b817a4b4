//! Time as the rules see it: handed in, never asked for.
//!
//! Owns: the two kinds of time. Wall time ([`Timestamp`]) only labels versions; order is by revision and no wall
//! clock decides anything (`decisions.md` 12). Elapsed time ([`Moment`]) runs deadlines. Does not own: a real clock.

use std::ops::Add;
use std::time::Duration;

/// 100-nanosecond ticks from 0001-01-01 to 1970-01-01, the epoch of version ids (spec §2.7).
const DOTNET_EPOCH_TICKS: u64 = 621_355_968_000_000_000;

const TICKS_PER_DAY: u64 = 86_400 * 10_000_000;

/// Wall time: 100-nanosecond ticks since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From ticks of 100 ns since the Unix epoch.
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// From milliseconds since the Unix epoch; the last time there is for more than fit.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(10_000))
    }

    /// The last tick of a millisecond since the Unix epoch: what is shown in milliseconds is cut off.
    pub const fn end_of_unix_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(10_000).saturating_add(9_999))
    }

    /// From ticks of 100 ns since 0001-01-01; `None` before 1970.
    pub const fn from_dotnet_ticks(ticks: u64) -> Option<Self> {
        match ticks.checked_sub(DOTNET_EPOCH_TICKS) {
            Some(ticks) => Some(Self(ticks)),
            None => None,
        }
    }

    /// Ticks of 100 ns since the Unix epoch.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, as `DataStoreKeyInfo.CreatedTime` shows them (spec §2.8).
    pub const fn unix_ms(self) -> u64 {
        self.0 / 10_000
    }

    /// Ticks of 100 ns since 0001-01-01, as version ids show them (spec §2.7).
    pub const fn dotnet_ticks(self) -> u64 {
        self.0 + DOTNET_EPOCH_TICKS
    }

    /// The UTC clock hour, counted from the Unix epoch (spec §2.7: one backup an hour).
    pub const fn hour(self) -> u64 {
        self.0 / (3_600 * 10_000_000)
    }

    /// This many days of 24 hours earlier; the epoch if that is before it.
    pub const fn days_before(self, days: u16) -> Self {
        Self(self.0.saturating_sub(days as u64 * TICKS_PER_DAY))
    }

    /// The UTC day, counted from the Unix epoch.
    pub const fn day(self) -> u64 {
        self.0 / TICKS_PER_DAY
    }

    /// This much later.
    pub fn later(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos() / 100).unwrap_or(u64::MAX)))
    }

    /// The next tick: times of one key's versions never stand still (`decisions.md` 12).
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Elapsed time since the process started: what deadlines are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// A moment this long after the start of the process.
    pub const fn after_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0 + rhs)
    }
}

/// Both kinds of time. The one seam through which time enters.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall time, for version ids and times only.
    fn wall(&self) -> Timestamp;
    /// Elapsed time, for deadlines and cache ages.
    fn now(&self) -> Moment;
    /// Whether its wall time is made up, so that it may be far from a database's. Default: it is the world's.
    fn is_simulated(&self) -> bool {
        false
    }
    /// What rates and waits go by: simulated time where there is some, else time since the start of the process, which
    /// nobody sets back.
    fn steady(&self) -> Timestamp {
        match self.is_simulated() {
            true => self.wall(),
            false => Timestamp::default().later(self.now().since(Moment::default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_cut_into_days_hours_and_ticks() {
        let day = 86_400_000;
        let at = Timestamp::from_unix_ms(3 * day + 2 * 3_600_000 + 5);
        assert_eq!((at.day(), at.hour(), at.unix_ms()), (3, 74, 3 * day + 2 * 3_600_000 + 5));
        assert_eq!(at.next().ticks(), at.ticks() + 1);
        assert_eq!(Timestamp::from_unix_ms(day).day(), 1);
        assert_eq!(Timestamp::from_ticks(day * 10_000 - 1).day(), 0);
        assert_eq!(at.days_before(2), Timestamp::from_unix_ms(day + 2 * 3_600_000 + 5));
        assert_eq!(at.days_before(4), Timestamp::default(), "there is nothing before the epoch");
        assert_eq!(at.later(Duration::from_micros(25)).ticks(), at.ticks() + 250);
        assert_eq!(at.later(Duration::MAX).ticks(), u64::MAX);
        assert_eq!(Timestamp::end_of_unix_ms(7).next(), Timestamp::from_unix_ms(8));
        assert_eq!(Timestamp::from_dotnet_ticks(at.dotnet_ticks()), Some(at));
        assert_eq!(Timestamp::from_dotnet_ticks(DOTNET_EPOCH_TICKS - 1), None);
    }

    #[test]
    fn elapsed_time_never_runs_backwards() {
        let (early, late) = (Moment::default(), Moment::default() + Duration::from_secs(2));
        assert_eq!((late.since(early), early.since(late)), (Duration::from_secs(2), Duration::ZERO));
    }

    #[derive(Debug)]
    struct Set(Timestamp, bool);

    impl Clock for Set {
        fn wall(&self) -> Timestamp {
            self.0
        }
        fn now(&self) -> Moment {
            Moment::after_start(Duration::from_secs(3))
        }
        fn is_simulated(&self) -> bool {
            self.1
        }
    }

    #[derive(Debug)]
    struct World;

    impl Clock for World {
        fn wall(&self) -> Timestamp {
            Timestamp::default()
        }
        fn now(&self) -> Moment {
            Moment::default()
        }
    }

    #[test]
    fn rates_go_by_time_that_nobody_sets_back() {
        let wall = Timestamp::from_unix_ms(9_000);
        assert_eq!(Set(wall, true).steady(), wall, "made up: by what scripts see");
        assert_eq!(Set(wall, false).steady(), Timestamp::from_unix_ms(3_000));
        assert!(!World.is_simulated(), "unless a clock says so");
    }
}
