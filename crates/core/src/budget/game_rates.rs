//! What all servers of a game may do together: requests of the game, and requests and bytes of each key (spec §6.2, §6.8).
//!
//! Owns: counting the last minute, in this process: servers of other processes are not counted. Does not own: the lock around
//! it (`actors/rates`), what waits for room (`queues`).

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{Charge, RequestType, Room};
use crate::clock::Timestamp;
use crate::entry_key::EntryKey;
use crate::error::CallError;
use crate::limits::{
    CALL_OVERHEAD_BYTES, CLASSIC_GAME_REQUESTS_PER_MINUTE, CLASSIC_KEY_REQUESTS_PER_MINUTE, KEY_READ_KB_PER_MINUTE,
    KEY_WRITE_KB_PER_MINUTE, Limits,
};
use crate::window::Window;

/// Keys that are counted before those without anything in the last minute are looked for.
const KEYS_BEFORE_SWEEP: usize = 1_024;

/// See the module.
#[derive(Debug)]
pub struct GameRates {
    limits: Limits,
    requests: [Window; RequestType::COUNT],
    /// Of all types.
    all: Window,
    keys: HashMap<EntryKey, KeyUse, FixedState>,
    sweep_at: usize,
}

/// KB of one key; with [`Limits::RobloxClassic`], requests, all of them as `written`.
#[derive(Debug, Default)]
struct KeyUse {
    read: Window,
    written: Window,
}

/// Bytes, rounded up to 1 KB; at least one (spec §6.8).
fn kb(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX).max(1)
}

impl GameRates {
    /// Nothing has been counted.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            requests: Default::default(),
            all: Window::default(),
            keys: HashMap::default(),
            sweep_at: KEYS_BEFORE_SWEEP,
        }
    }

    /// Counts a call on this key, if there is room for it. `users`: players of all servers. Of a read 1 KB is counted, and of an
    /// update 1 KB written: what they bring and write is known later ([`Self::has_read`], [`Self::has_updated`]).
    pub fn admit(&mut self, now: Timestamp, users: u32, key: Option<&EntryKey>, charge: &Charge) -> Room {
        match self.limits {
            Limits::Off | Limits::Fair => Room::Now,
            Limits::Roblox => self.admit_modern(now, users, key, charge),
            Limits::RobloxClassic => self.admit_classic(now, key, charge),
        }
    }

    fn admit_modern(&mut self, now: Timestamp, users: u32, key: Option<&EntryKey>, charge: &Charge) -> Room {
        let reads = charge.requests.iter().any(|request| !request.is_write());
        // What reads and writes is an update.
        let known = if reads { 0 } else { charge.bytes.saturating_sub(CALL_OVERHEAD_BYTES) };
        let writes = charge.is_write().then(|| kb(known));
        if let Some(key) = key {
            let used = self.of_key(now, key);
            let read_in = if reads { used.read.room_in(now, 1, KEY_READ_KB_PER_MINUTE) } else { Default::default() };
            let room = |kb| used.written.room_in(now, kb, KEY_WRITE_KB_PER_MINUTE);
            let wait = writes.map(room).unwrap_or_default().max(read_in);
            if !wait.is_zero() {
                return Room::In(wait);
            }
        }
        for request in charge.requests {
            let limit = u32::try_from(request.game_rate().per_minute(users)).unwrap_or(u32::MAX);
            if !self.requests[*request as usize].room_in(now, charge.count, limit).is_zero() {
                return Room::Refused(CallError::experience_throttled(*request));
            }
        }
        for request in charge.requests {
            self.requests[*request as usize].count(now, charge.count);
        }
        if let Some(key) = key {
            let used = self.of_key(now, key);
            if reads {
                used.read.count(now, 1);
            }
            if let Some(kb) = writes {
                used.written.count(now, kb);
            }
        }
        Room::Now
    }

    fn admit_classic(&mut self, now: Timestamp, key: Option<&EntryKey>, charge: &Charge) -> Room {
        if let Some(key) = key {
            let wait = self.of_key(now, key).written.room_in(now, 1, CLASSIC_KEY_REQUESTS_PER_MINUTE);
            if !wait.is_zero() {
                return Room::In(wait);
            }
        }
        if !self.all.room_in(now, charge.count, CLASSIC_GAME_REQUESTS_PER_MINUTE).is_zero() {
            let by = charge.requests.first().copied().unwrap_or(RequestType::StandardRead);
            return Room::Refused(CallError::experience_throttled(by));
        }
        self.all.count(now, charge.count);
        if let Some(key) = key {
            self.of_key(now, key).written.count(now, 1);
        }
        Room::Now
    }

    /// A read of a key has brought so many bytes.
    pub fn has_read(&mut self, now: Timestamp, key: &EntryKey, bytes: usize) {
        // The first KB is counted.
        let more = kb(bytes) - 1;
        if self.limits == Limits::Roblox && more > 0 {
            self.of_key(now, key).read.count(now, more);
        }
    }

    /// An update of a key has written so many bytes.
    pub fn has_updated(&mut self, now: Timestamp, key: &EntryKey, bytes: usize) {
        // The first KB is counted.
        let more = kb(bytes) - 1;
        if self.limits == Limits::Roblox && more > 0 {
            self.of_key(now, key).written.count(now, more);
        }
    }

    /// Keys that are counted.
    #[cfg(test)]
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    fn of_key(&mut self, now: Timestamp, key: &EntryKey) -> &mut KeyUse {
        if self.keys.len() >= self.sweep_at {
            self.keys.retain(|_, used| !(used.read.is_empty(now) && used.written.is_empty(now)));
            self.sweep_at = (self.keys.len() * 2).max(KEYS_BEFORE_SWEEP);
        }
        self.keys.entry(key.clone()).or_default()
    }
}
