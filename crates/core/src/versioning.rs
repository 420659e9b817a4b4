//! Which superseded revisions are kept as versions, and for how long.
//!
//! Owns: the retention rule (spec §2.7; `decisions.md` 10), per store, and when kept history ends (`decisions.md` 11). Does not
//! own: where versions are stored, deleting them (backends), or the calls that read them.

use std::collections::BTreeMap;

use crate::backend::{Kept, StoreCutoff, Sweep};
use crate::clock::{Clock, Timestamp};
use crate::entry::Entry;
use crate::entry_key::{GameId, StoreId, StoreKind};
use crate::limits::{HISTORY_DAYS_MAX, SWEEP_ROWS};

/// Which superseded revisions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retention {
    /// Roblox's rule: the first write of each UTC clock hour keeps what it supersedes.
    #[default]
    Hourly,
    /// Every superseded revision is kept.
    EveryWrite,
}

impl Retention {
    /// Must `old` be kept now that `new` supersedes it? Ordered stores have no versions (spec §3.4).
    pub fn keeps(self, kind: StoreKind, old: &Entry, new: &Entry) -> bool {
        if old.revision == 0 || kind == StoreKind::Ordered {
            return false;
        }
        match self {
            Self::EveryWrite => true,
            // A tombstone always keeps the version it removes (spec §2.6).
            Self::Hourly => new.value.is_none() || old.updated.hour() < new.updated.hour(),
        }
    }
}

/// How a store keeps history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Which revisions.
    pub retention: Retention,
    /// For how many days after they were superseded; 1 to [`HISTORY_DAYS_MAX`].
    pub days: u16,
}

impl Default for History {
    fn default() -> Self {
        Self { retention: Retention::default(), days: HISTORY_DAYS_MAX }
    }
}

/// How the stores of a process keep history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versioning {
    /// Of stores that are not named.
    pub default: History,
    /// By name, in all games and scopes.
    pub stores: BTreeMap<Box<str>, History>,
}

impl Versioning {
    /// All stores keep these revisions, for as long as can be.
    pub fn all(retention: Retention) -> Self {
        Self { default: History { retention, ..History::default() }, ..Self::default() }
    }

    /// Of one store.
    pub fn of(&self, store: &StoreId) -> History {
        self.stores.get(&store.name).copied().unwrap_or(self.default)
    }

    /// What of a store's history is still kept at `now`. Tombstones are kept for as long as can be (spec §2.6).
    pub fn kept(&self, store: &StoreId, now: Timestamp) -> Kept {
        Kept {
            versions_since: now.days_before(self.of(store).days),
            tombstones_since: now.days_before(HISTORY_DAYS_MAX),
        }
    }

    /// What of a whole game's stores is still kept at `now`, as far as it shows in a list of them.
    pub fn kept_tombstones(&self, now: Timestamp) -> Kept {
        let since = now.days_before(HISTORY_DAYS_MAX);
        Kept { versions_since: since, tombstones_since: since }
    }

    /// What may be deleted now, in the stores of these games.
    pub fn sweep(&self, games: &[GameId], clock: &dyn Clock) -> Sweep {
        let now = clock.wall();
        let cutoff = |game: &GameId, store: &str, history: &History| StoreCutoff {
            game: *game,
            store: store.into(),
            kept_since: now.days_before(history.days),
        };
        let of_game = |game| self.stores.iter().map(move |(store, history)| cutoff(game, store, history));
        Sweep {
            kept_since: now.days_before(HISTORY_DAYS_MAX),
            shorter: games.iter().flat_map(of_game).collect(),
            rows: SWEEP_ROWS,
            is_simulated: clock.is_simulated(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Moment, Timestamp};
    use crate::value::Value;

    /// The 40th day of a simulation.
    #[derive(Debug)]
    struct Day40;

    impl Clock for Day40 {
        fn wall(&self) -> Timestamp {
            Timestamp::from_unix_ms(40 * 86_400_000)
        }

        fn now(&self) -> Moment {
            Moment::default()
        }

        fn is_simulated(&self) -> bool {
            true
        }
    }

    fn entry(revision: u64, minute: u64, value: Option<i64>) -> Entry {
        let updated = Timestamp::from_unix_ms(minute * 60_000);
        Entry { revision, updated, value: value.map(Value::integer), ..Entry::default() }
    }

    #[test]
    fn first_write_of_an_hour_keeps_what_it_supersedes() {
        let keeps = |old: &Entry, new: &Entry| Retention::Hourly.keeps(StoreKind::Standard, old, new);
        assert!(keeps(&entry(1, 59, Some(1)), &entry(2, 60, Some(2))));
        assert!(!keeps(&entry(2, 60, Some(1)), &entry(3, 119, Some(2))));
        assert!(keeps(&entry(2, 60, Some(1)), &entry(3, 61, None)), "a removal keeps what it removes");
        assert!(!keeps(&Entry::default(), &entry(1, 61, Some(1))), "there is nothing before the first write");
        let every = |kind| Retention::EveryWrite.keeps(kind, &entry(2, 60, Some(1)), &entry(3, 60, Some(2)));
        assert!(every(StoreKind::Standard) && !every(StoreKind::Ordered));
    }

    #[test]
    fn stores_keep_history_for_as_long_as_they_say() {
        let own = History { retention: Retention::EveryWrite, days: 7 };
        let versioning = Versioning { stores: [("Coins".into(), own)].into(), ..Versioning::default() };
        let store = |name: &str| {
            StoreId::new(GameId::Number(1), StoreKind::Standard, name.as_bytes(), b"global").expect("a legal name")
        };
        let day = |day: u64| Timestamp::from_unix_ms(day * 86_400_000);
        let (short, long) = (versioning.kept(&store("Coins"), day(40)), versioning.kept(&store("Other"), day(40)));
        assert_eq!((short.versions_since, short.tombstones_since), (day(33), day(10)));
        assert_eq!((long.versions_since, long.tombstones_since), (day(10), day(10)));
        assert_eq!(versioning.kept_tombstones(day(40)), long);
        let sweep = versioning.sweep(&[GameId::Number(1), GameId::Number(2)], &Day40);
        let cutoffs: Vec<_> = sweep.shorter.iter().map(|cutoff| (cutoff.game.number(), &*cutoff.store)).collect();
        assert_eq!(cutoffs, [(1, "Coins"), (2, "Coins")]);
        assert!(sweep.shorter.iter().all(|cutoff| cutoff.kept_since == day(33)));
        assert_eq!((sweep.kept_since, sweep.rows, sweep.is_simulated), (day(10), SWEEP_ROWS, true));
        assert_eq!(versioning.of(&store("Other")), History::default());
        assert_eq!(Versioning::all(Retention::EveryWrite).of(&store("Other")).retention, Retention::EveryWrite);
    }
}
