//! What the servers of a game may do together: fixed rates (`core::budget::GameRates`), or a share (`shares`).
//!
//! Owns: the one lock around the counts, and counting what a read has brought when that is known. All servers of the game in
//! this process are counted, those of other processes are not. Does not own: the rates (`core::budget`), budgets of one server
//! and what waits there (`lua-bindings`), memory permits (`admission`).

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::budget::{Charge, GameRates, Room};
use clawstore_core::clock::{Clock, Timestamp};
use clawstore_core::limits::Limits;
use clawstore_core::ops::{CallResult, Reply};
use clawstore_core::{CallError, Entry, EntryKey};
use metrics::counter;
use parking_lot::Mutex;

use crate::game::Game;
use crate::metric_definitions::REFUSED_TOTAL;
use crate::server::Server;
use crate::shares::SHARE_LOOK_EVERY;

/// See the module. It goes by time that nobody sets back ([`Clock::steady`]).
#[derive(Debug)]
pub(crate) struct Rates {
    clock: Arc<dyn Clock>,
    counts: Mutex<GameRates>,
}

impl Rates {
    pub(crate) fn new(clock: Arc<dyn Clock>, limits: Limits) -> Arc<Self> {
        Arc::new(Self { clock, counts: Mutex::new(GameRates::new(limits)) })
    }

    fn now(&self) -> Timestamp {
        self.clock.steady()
    }
}

/// What of a call is counted when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metered {
    /// What it has read.
    Read,
    /// Also what it has written: of an update, nothing of that was counted when it came.
    ReadAndWritten,
}

/// Counts what a call on a key has read, and what an update has written.
#[derive(Debug)]
pub(crate) struct Meter {
    rates: Arc<Rates>,
    counts: Metered,
}

impl Meter {
    /// The call has ended.
    pub(crate) fn ended(&self, key: &EntryKey, result: &CallResult) {
        let Ok(Reply::Entry(entry)) = result else { return };
        let (now, bytes) = (self.rates.now(), bytes_of(entry));
        let mut counts = self.rates.counts.lock();
        counts.has_read(now, key, bytes);
        if self.counts == Metered::ReadAndWritten {
            counts.has_updated(now, key, bytes);
        }
    }
}

fn bytes_of(entry: &Entry) -> usize {
    entry.value.as_ref().map_or(0, |value| value.json().len()) + entry.attributes.metadata.len()
}

impl Game {
    /// Is there room for a call among those of all servers? With [`Room::Now`] it is counted, if rates are fixed.
    pub(crate) fn room(&self, key: Option<&EntryKey>, charge: &Charge) -> Room {
        match self.config.limits {
            Limits::Off => return Room::Now,
            Limits::Fair if self.has_share(key, charge.bytes) => return Room::Now,
            Limits::Fair => return Room::In(SHARE_LOOK_EVERY),
            Limits::Roblox | Limits::RobloxClassic => {}
        }
        let users = self.player_counts.sum();
        let room = self.rates.counts.lock().admit(self.rates.now(), users, key, charge);
        if let Room::Refused(_) = room {
            counter!(REFUSED_TOTAL, "reason" => "rate").increment(1);
        }
        room
    }

    /// The same for a call of a Rust task, which has no queue to wait in.
    ///
    /// # Errors
    /// If there is none now.
    pub(crate) fn take_room(&self, key: Option<&EntryKey>, charge: &Charge) -> Result<(), CallError> {
        match self.room(key, charge) {
            Room::Now => Ok(()),
            Room::In(_) if self.config.limits == Limits::Fair => Err(CallError::memory_full()),
            Room::In(_) => Err(CallError::key_throttled()),
            Room::Refused(error) => Err(error),
        }
    }

    /// Counts what a call brings, if bytes are counted.
    pub(crate) fn meter(&self, counts: Metered) -> Option<Meter> {
        let is_counted = self.config.limits == Limits::Roblox;
        is_counted.then(|| Meter { rates: Arc::clone(&self.rates), counts })
    }
}

impl Server {
    /// Is there room for a call of this server now? With [`Room::Now`] it is taken: the call is to be made at once.
    ///
    /// With [`Limits::Fair`] nothing is taken: there is room as long as the call does not exceed a share (`shares`).
    pub fn room(&self, key: Option<&EntryKey>, charge: &Charge) -> Room {
        self.game().room(key, charge)
    }

    /// Which rates hold.
    pub fn limits(&self) -> Limits {
        self.game().config.limits
    }

    /// What calls of this server that wait for room may hold in memory: as much as those of its game that are on their way.
    pub fn pending_bytes_max(&self) -> usize {
        self.game().config.pending_bytes_per_game
    }

    /// Within what time a call is answered.
    pub fn call_deadline(&self) -> Duration {
        self.game().config.call_deadline
    }
}
