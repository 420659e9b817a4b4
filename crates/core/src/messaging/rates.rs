//! How many messages Roblox lets through (spec §7.2).
//!
//! Owns: the numbers with what they grow with, and counting the last minute. Does not own: whether they hold (`Limits`),
//! nor what becomes of what is refused.

use std::collections::VecDeque;

use crate::clock::Timestamp;

/// The window of all rates.
const SECONDS: u64 = 60;

/// Roblox's numbers for a game of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageRates {
    /// Players on the server that asks.
    pub players: u32,
    /// Servers of the game.
    pub servers: u32,
}

impl MessageRates {
    /// Requests to subscribe, per server and minute.
    pub const SUBSCRIBES: u32 = 240;

    /// Messages that the server may publish in a minute.
    pub const fn published(self) -> u32 {
        240_u32.saturating_mul(self.players).saturating_add(600)
    }

    /// Messages of one topic that all servers may receive in a minute.
    pub const fn received_per_topic(self) -> u32 {
        80_u32.saturating_mul(self.servers).saturating_add(40)
    }

    /// Messages of all topics that all servers may receive in a minute.
    pub const fn received_per_game(self) -> u32 {
        200_u32.saturating_mul(self.servers).saturating_add(400)
    }

    /// Subscriptions that the server may hold at once.
    pub const fn subscriptions(self) -> u32 {
        8_u32.saturating_mul(self.players).saturating_add(20)
    }
}

/// Counts what has happened within the last minute, to the second: what happened longer than 60 s ago may count for up to
/// one second more, never less.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Second and count, oldest first.
    seconds: VecDeque<(u64, u32)>,
    total: u32,
}

impl Window {
    /// Counts one more if that stays within `limit`.
    pub fn admit(&mut self, now: Timestamp, limit: u32) -> bool {
        let has_room = self.has_room(now, limit);
        if has_room {
            self.count(now);
        }
        has_room
    }

    /// Would one more stay within `limit`?
    pub fn has_room(&mut self, now: Timestamp, limit: u32) -> bool {
        let now = self.second(now);
        while let Some((second, count)) = self.seconds.front().copied().filter(|(second, _)| second + SECONDS < now) {
            debug_assert!(second < now);
            self.seconds.pop_front();
            self.total -= count;
        }
        self.total < limit
    }

    /// Counts one.
    pub fn count(&mut self, now: Timestamp) {
        let now = self.second(now);
        match self.seconds.back_mut() {
            Some((second, count)) if *second == now => *count += 1,
            _ => self.seconds.push_back((now, 1)),
        }
        self.total += 1;
    }

    /// A wall clock may be set back: the window stands still then.
    fn second(&self, now: Timestamp) -> u64 {
        let newest = self.seconds.back().map_or(0, |(second, _)| *second);
        (now.unix_ms() / 1_000).max(newest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain list of times: never more than the limit in any 60 s, and never refused while the last 61 s
        /// have room.
        #[test]
        fn a_window_counts_the_last_minute(pauses in prop::collection::vec(0_u64..20_000, 1..200), limit in 1_u32..12) {
            let (mut window, mut admitted, mut now) = (Window::default(), Vec::<u64>::new(), 1_000_000_u64);
            for pause in pauses {
                now += pause;
                let within = |ms: u64| admitted.iter().filter(|at| now - **at < ms).count();
                let (minute, longer) = (within(60_000), within(61_000));
                if window.admit(Timestamp::from_unix_ms(now), limit) {
                    prop_assert!(minute < limit as usize);
                    admitted.push(now);
                } else {
                    prop_assert!(longer >= limit as usize);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_room() {
        let mut window = Window::default();
        assert!(window.admit(Timestamp::from_unix_ms(100_000), 1));
        assert!(!window.admit(Timestamp::from_unix_ms(10_000), 1));
        assert!(window.admit(Timestamp::from_unix_ms(161_000), 1));
    }
}
