//! What several servers call on the keys that they share.
//!
//! Owns: how many keys there are, which of them are hot, which are at home at a server, and the calls on each. Does not own:
//! a caller's random choices and numbers (`calls`), making the calls (`victim`).
//!
//! Keys are numbered; a third of them are counters, a third lists, a third plain values. The first few are hot. As in a
//! game, most calls of a server are on keys that are at home there, and some on those of others.

use super::calls::Kind;
use crate::random::Random;

/// Hot keys: two of each kind.
const HOT: u64 = 6;
/// Kinds of keys.
const KINDS: u64 = 3;
/// Of calls on keys that are not hot: so many in a hundred go to keys at home.
const AT_HOME: u64 = 67;
/// Appends to one list by one process in one round: a list is read and written as a whole, so it must stay short.
const APPENDS_MAX: u32 = 60;

/// The share of one server.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Mix {
    /// Keys in all.
    #[arg(long, default_value_t = 2_000)]
    keys: u64,
    /// Calls on hot keys, in a hundred.
    #[arg(long, default_value_t = 10)]
    hot: u64,
    /// Number of this server.
    #[arg(long, default_value_t = 0)]
    slot: u64,
    /// How many servers there are.
    #[arg(long, default_value_t = 1)]
    slots: u64,
}

impl Mix {
    pub(crate) fn keys(self) -> u64 {
        self.keys
    }

    pub(crate) fn appends_max(self) -> u32 {
        APPENDS_MAX
    }

    /// Keys that this server is to write, so that all servers together write each once. Others than the last time.
    pub(crate) fn sweep(self, turn: u64) -> impl Iterator<Item = u64> {
        (0..self.keys).filter(move |key| (key / KINDS + turn) % self.slots == self.slot)
    }

    /// The call that writes a key of this number.
    pub(crate) fn write_of(key: u64, epoch: u64) -> (Kind, String) {
        match key % KINDS {
            0 => (Kind::Increment, format!("counter_{key}")),
            1 => (Kind::Append, format!("list_{epoch}_{key}")),
            _ => (Kind::Set, format!("set_{key}")),
        }
    }

    /// One call. A list that is long enough is only read.
    pub(crate) fn draw(self, random: &mut Random, epoch: u64, may_append: impl Fn(u64) -> bool) -> (Kind, String) {
        let (key, percent) = (self.draw_key(random), random.below(100));
        match Self::write_of(key, epoch) {
            (Kind::Increment, counter) if percent < 25 => (Kind::Bump, counter),
            (Kind::Increment, counter) if percent < 45 => (Kind::Get, counter),
            (Kind::Append, list) if percent < 30 || !may_append(key) => (Kind::Last, list),
            (Kind::Set, value) if percent < 50 => (Kind::Read, value),
            call => call,
        }
    }

    fn draw_key(self, random: &mut Random) -> u64 {
        if random.below(100) < self.hot {
            return random.below(HOT.min(self.keys));
        }
        let key = random.below(self.keys);
        if random.below(100) >= AT_HOME {
            return key;
        }
        // The same kind, in the nearest group of three that is at home here.
        let group = key / KINDS;
        let home = (group - group % self.slots + self.slot) * KINDS + key % KINDS;
        if home < self.keys { home } else { key }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const MIX: Mix = Mix { keys: 2_000, hot: 10, slot: 1, slots: 3 };

    #[test]
    fn hot_keys_get_their_share_and_home_keys_most_of_the_rest() {
        let (mut random, mut calls) = (Random::new(7, 7), HashMap::<u64, u64>::new());
        let drawn: Vec<u64> = (0..100_000).map(|_| MIX.draw_key(&mut random)).collect();
        drawn.iter().for_each(|key| *calls.entry(*key).or_default() += 1);
        assert!(drawn.iter().all(|key| *key < MIX.keys) && calls.len() == 2_000, "all keys are called");
        let hot: u64 = (0..HOT).map(|key| calls[&key]).sum();
        assert!((9_000..12_500).contains(&hot), "{hot} of 100,000 calls on hot keys");
        let home: u64 = calls.iter().filter(|(key, _)| **key / KINDS % 3 == 1).map(|(_, count)| count).sum();
        assert!((60_000..80_000).contains(&home), "{home} of 100,000 calls at home");
    }

    #[test]
    fn a_sweep_of_all_servers_writes_each_key_once_and_changes_hands() {
        for turn in 0..2 {
            let of = |slot| Mix { slot, ..MIX }.sweep(turn).collect::<Vec<_>>();
            let mut all = [of(0), of(1), of(2)].concat();
            all.sort_unstable();
            assert_eq!(all, (0..2_000).collect::<Vec<_>>());
        }
        assert_ne!(MIX.sweep(0).next(), MIX.sweep(1).next());
    }

    #[test]
    fn a_key_has_calls_of_its_kind_only() {
        let mut random = Random::new(7, 8);
        for _ in 0..10_000 {
            let (kind, key) = MIX.draw(&mut random, 3, |list| list > 1_000);
            let is_right = match kind {
                Kind::Increment | Kind::Bump | Kind::Get => key.starts_with("counter_"),
                Kind::Last => key.starts_with("list_3_"),
                Kind::Append => key.strip_prefix("list_3_").is_some_and(|list| list.parse::<u64>().unwrap() > 1_000),
                Kind::Set | Kind::Read => key.starts_with("set_"),
            };
            assert!(is_right, "{kind:?} {key}");
        }
    }
}
