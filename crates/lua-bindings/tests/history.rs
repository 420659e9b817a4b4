//! What scripts see of history as time passes: one backup an hour, 30 days of versions and of removed keys (spec §2.7), on every
//! backend, with a clock that scripts move.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::Config;
use clawstore_core::clock::Timestamp;
use clawstore_lua::Options;
use clawstore_testkit::ManualClock;
use host::{Host, Kind, Store};
use place::{Place, on_each_place};

/// 2026-01-01T10:00:00Z.
const START_MS: u64 = 1_767_261_600_000;

fn run(place: &Place, source: &str) {
    for (number, kind) in [(1, Kind::Polling), (2, Kind::Scheduler)] {
        let clock = Arc::new(ManualClock::default());
        clock.set_wall(Timestamp::from_unix_ms(START_MS));
        let (store, _) = Store::at(place, Arc::clone(&clock) as _, Config::default());
        let host = Host::with_options(&store.game(number), kind, Options::default());
        // `pass(minutes, ticks)`: the ticks are of 100 ns, and may be less than none.
        let pass = move |_: &mlua::Lua, (minutes, ticks): (f64, Option<f64>)| {
            let tenths = minutes * 60.0 * 1e7 + ticks.unwrap_or_default();
            clock.advance(Duration::from_nanos(tenths as u64 * 100));
            Ok(())
        };
        host.lua.globals().set("pass", host.lua.create_function(pass).unwrap()).unwrap();
        host.start("history", source);
        host.run();
        store.drain();
    }
}

on_each_place! {
    one_backup_an_hour: |place| run(place, include_str!("luau/history_hourly.luau"));
    thirty_days: |place| run(place, include_str!("luau/history_expiry.luau"));
    ten_minutes_ahead: |place| run(place, include_str!("luau/history_timestamps.luau"));
}
