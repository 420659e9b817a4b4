//! What a game may use of its memory stores.
//!
//! Owns: the quota of memory and the request units of spec §7.1, which grow with the number of users; the ceiling of our
//! own. Does not own: the limits of one structure (`shelf`) and of one item (`call`).

use std::collections::VecDeque;

use super::error::{MemoryError, MemoryStatus};
use crate::clock::Timestamp;
use crate::limits::{
    Limits, MEMORY_BYTES_PER_GAME, MEMORY_ITEM_OVERHEAD_BYTES, MEMORY_QUOTA_BYTES, MEMORY_QUOTA_LOOK_BACK,
    MEMORY_UNITS_PER_MINUTE,
};

/// Items and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Used {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Used {
    pub(super) const fn plus(self, other: Self) -> Self {
        Self { items: self.items + other.items, bytes: self.bytes + other.bytes }
    }

    pub(super) const fn minus(self, other: Self) -> Self {
        Self { items: self.items - other.items, bytes: self.bytes - other.bytes }
    }

    /// With what keeping them takes.
    const fn resident(self) -> usize {
        self.bytes + self.items * MEMORY_ITEM_OVERHEAD_BYTES
    }
}

/// Users and units of one game.
#[derive(Debug, Default)]
pub(super) struct Quota {
    limits: Limits,
    users: u32,
    /// Numbers of users that were greater than all later ones, with the time at which they were left.
    peaks: VecDeque<(Timestamp, u32)>,
    minute: u64,
    units: u64,
}

impl Quota {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(super) fn set_users(&mut self, now: Timestamp, users: u32) {
        if users < self.users {
            while self.peaks.back().is_some_and(|(_, peak)| *peak <= self.users) {
                self.peaks.pop_back();
            }
            self.peaks.push_back((now, self.users));
        }
        self.users = users;
    }

    /// Most users within the look-back.
    fn most_users(&mut self, now: Timestamp) -> u32 {
        let look_back = u64::try_from(MEMORY_QUOTA_LOOK_BACK.as_nanos() / 100).unwrap_or(u64::MAX);
        while self.peaks.front().is_some_and(|(left, _)| left.ticks().saturating_add(look_back) < now.ticks()) {
            self.peaks.pop_front();
        }
        self.peaks.front().map_or(self.users, |(_, peak)| self.users.max(*peak))
    }

    /// Is there a unit left in this minute?
    ///
    /// # Errors
    /// `RequestThrottled`.
    pub(super) fn check_units(&mut self, now: Timestamp) -> Result<(), MemoryError> {
        let minute = now.unix_ms() / 60_000;
        if self.minute != minute {
            (self.minute, self.units) = (minute, 0);
        }
        let (base, per_user) = MEMORY_UNITS_PER_MINUTE;
        if self.limits.are_fixed() && self.units >= base + per_user * u64::from(self.users) {
            return Err(
                MemoryStatus::RequestThrottled.error("Recent requests to memory stores have hit one or more limits.")
            );
        }
        Ok(())
    }

    /// A call has cost this many units. The last one of a minute may take more than there were.
    pub(super) fn charge(&mut self, units: u64) {
        self.units += units;
    }

    /// May the game's memory become this?
    ///
    /// # Errors
    /// `TotalMemoryOverLimit`, only if it grows.
    pub(super) fn check_growth(&mut self, now: Timestamp, before: Used, after: Used) -> Result<(), MemoryError> {
        let full = || MemoryStatus::TotalMemoryOverLimit.error("The memory quota of the game is used up.");
        if after.resident() > MEMORY_BYTES_PER_GAME && after.resident() > before.resident() {
            return Err(full());
        }
        if self.limits.are_fixed() && after.bytes > before.bytes {
            let (base, per_user) = MEMORY_QUOTA_BYTES;
            if after.bytes > base + per_user * self.most_users(now) as usize {
                return Err(full());
            }
        }
        Ok(())
    }
}
