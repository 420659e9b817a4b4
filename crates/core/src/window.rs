//! A sliding minute: how much of something has happened within the last 60 s.
//!
//! Owns: counting, to the second. Does not own: what is counted, nor how much is too much.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;

/// The window of all rates.
const SECONDS: u64 = 60;

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
            self.count(now, 1);
        }
        has_room
    }

    /// Would one more stay within `limit`?
    pub fn has_room(&mut self, now: Timestamp, limit: u32) -> bool {
        self.room_in(now, 1, limit).is_zero() && limit > 0
    }

    /// After what time `amount` more stays within `limit`, if nothing else is counted until then; zero: now. What is more
    /// than the limit by itself waits until the window is empty.
    pub fn room_in(&mut self, now: Timestamp, amount: u32, limit: u32) -> Duration {
        self.forget_before(now);
        let mut left = self.total;
        for (second, count) in &self.seconds {
            if left == 0 || left.saturating_add(amount) <= limit {
                break;
            }
            left -= count;
            if left == 0 || left.saturating_add(amount) <= limit {
                let at = Timestamp::from_unix_ms((second + SECONDS + 1) * 1_000);
                return Duration::from_nanos(at.ticks().saturating_sub(now.ticks()).max(1).saturating_mul(100));
            }
        }
        Duration::ZERO
    }

    /// Counts this much.
    pub fn count(&mut self, now: Timestamp, amount: u32) {
        let now = self.second(now);
        // What does not fit any more is too much for every limit.
        let amount = amount.min(u32::MAX - self.total);
        match self.seconds.back_mut() {
            Some((second, count)) if *second == now => *count += amount,
            _ => self.seconds.push_back((now, amount)),
        }
        self.total += amount;
    }

    /// Nothing has happened within the last minute.
    pub fn is_empty(&mut self, now: Timestamp) -> bool {
        self.forget_before(now);
        self.seconds.is_empty()
    }

    fn forget_before(&mut self, now: Timestamp) {
        let now = self.second(now);
        while let Some((second, count)) = self.seconds.front().copied().filter(|(second, _)| second + SECONDS < now) {
            debug_assert!(second < now);
            self.seconds.pop_front();
            self.total -= count;
        }
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

        /// The time it tells is the first at which there is room.
        #[test]
        fn room_comes_when_it_is_said_to_come(
            events in prop::collection::vec((0_u64..20_000, 1_u32..9), 1..60),
            amount in 1_u32..12,
            limit in 1_u32..12,
        ) {
            let (mut window, mut now) = (Window::default(), 1_000_000_u64);
            for (pause, count) in events {
                now += pause;
                window.count(Timestamp::from_unix_ms(now), count);
            }
            let wait = window.room_in(Timestamp::from_unix_ms(now), amount, limit);
            let at = |wait: Duration| Timestamp::from_unix_ms(now).later(wait);
            prop_assert!(window.clone().room_in(at(wait), amount, limit).is_zero());
            if let Some(sooner) = wait.checked_sub(Duration::from_millis(1)) {
                prop_assert!(!window.room_in(at(sooner), amount, limit).is_zero());
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

    #[test]
    fn what_is_more_than_the_limit_needs_an_empty_window() {
        let (mut window, now) = (Window::default(), Timestamp::from_unix_ms(100_000));
        assert!(window.room_in(now, 9, 5).is_zero());
        window.count(now, 9);
        assert_eq!(window.room_in(now, 1, 5), Duration::from_secs(61));
        assert!(!window.is_empty(now) && window.is_empty(now.later(Duration::from_secs(61))));
    }

    #[test]
    fn nothing_fits_where_nothing_is_allowed() {
        assert!(!Window::default().admit(Timestamp::from_unix_ms(100_000), 0));
    }
}
