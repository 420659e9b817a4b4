//! The Luau specs of memory stores, in both kinds of host, with a clock that scripts move: items expire and reads of queues
//! wait by it.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::ServerIdentity;
use clawstore_core::Value;
use clawstore_core::clock::{Clock, Timestamp};
use clawstore_core::memory_store::{MemoryCall, SortedMapCall, Write};
use clawstore_lua::{CallControl, CallInfo, Options, Verdict};
use clawstore_testkit::{ManualClock, MemoryBackend};
use host::{Host, Kind, Store};

/// A host whose scripts have `MemoryStoreService`, `Enum.SortDirection` and `advance(seconds)`.
fn host(store: &Store, clock: &Arc<ManualClock>, number: u64, kind: Kind) -> Host {
    host_with(store, clock, number, kind, Options::default())
}

fn host_with(store: &Store, clock: &Arc<ManualClock>, number: u64, kind: Kind, options: Options) -> Host {
    let host = Host::with_options(&store.game(number), kind, options);
    let globals = host.lua.globals();
    globals.set("MemoryStoreService", host.bindings.service("MemoryStoreService").unwrap()).unwrap();
    let enums = host.lua.create_table().unwrap();
    enums.set("SortDirection", host.bindings.enumeration("SortDirection").unwrap()).unwrap();
    globals.set("Enum", enums).unwrap();
    let moved = Arc::clone(clock);
    let advance = move |_: &mlua::Lua, seconds: f64| {
        moved.advance(Duration::from_secs_f64(seconds));
        Ok(())
    };
    globals.set("advance", host.lua.create_function(advance).unwrap()).unwrap();
    host
}

fn run(name: &str, source: &str) {
    for (number, kind) in [(1, Kind::Polling), (2, Kind::Scheduler)] {
        let clock = Arc::new(ManualClock::default());
        let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
        let host = host(&store, &clock, number, kind);
        host.start(name, source);
        host.run();
        store.drain();
    }
}

#[test]
fn memory_store_sorted_map() {
    run("memory_store_sorted_map", include_str!("luau/memory_store_sorted_map.luau"));
}

#[test]
fn memory_store_hash_map() {
    run("memory_store_hash_map", include_str!("luau/memory_store_hash_map.luau"));
}

#[test]
fn memory_store_queue() {
    run("memory_store_queue", include_str!("luau/memory_store_queue.luau"));
}

/// Two VMs of a game share its memory stores; those of another game have their own. What one VM updates while another does is
/// not lost.
#[test]
fn servers_of_a_game_share_its_memory_stores() {
    let clock = Arc::new(ManualClock::default());
    let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
    let [a, b, other] = [1, 1, 2].map(|number| host(&store, &clock, number, Kind::Scheduler));
    let update = "local map = MemoryStoreService:GetSortedMap('shared')
        for _ = 1, 200 do
            sum = map:UpdateAsync('sum', function(old) return (old or 0) + 1 end, 60)
        end";
    for host in [&a, &b, &other] {
        host.start("update", update);
    }
    while [&a, &b, &other].iter().any(|host| host.parked() > 0) {
        [&a, &b, &other].iter().for_each(|host| host.tick());
    }
    assert_eq!(a.number("sum").max(b.number("sum")), 400.0);
    assert_eq!(other.number("sum"), 200.0);
    store.drain();
}

/// A write that comes between the read and the write of an update makes the transform run again; if one does each time, the
/// update fails.
#[test]
fn an_update_that_meets_another_write_runs_again() {
    let clock = Arc::new(ManualClock::default());
    let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
    let host = host(&store, &clock, 1, Kind::Scheduler);
    let other = store.game(1).server(ServerIdentity::default());
    // Another server writes while the transform runs.
    let meddle = move |_: &mlua::Lua, value: i64| {
        let write = Write { value: Value::integer(value), sort_key: None, expires_in: 60, expected: None };
        other.memory_call(MemoryCall::SortedMap("map".into(), SortedMapCall::Set("k".into(), write)));
        Ok(())
    };
    host.lua.globals().set("meddle", host.lua.create_function(meddle).unwrap()).unwrap();
    let script = "local map = MemoryStoreService:GetSortedMap('map')
        local seen = {}
        local function transform(old)
            table.insert(seen, old or 'none')
            if #seen < 3 then
                meddle(#seen * 10)
            end
            return (old or 0) + 1
        end
        assert(map:UpdateAsync('k', transform, 60) == 21)
        assert(same(seen, { 'none', 10, 20 }))
        local runs = 0
        raises('UpdateConflict: Exceeded max number of retries.', map.UpdateAsync, map, 'k', function(old)
            runs += 1
            meddle(runs)
            return -1
        end, 60)
        assert(runs == 100 and map:GetAsync('k') == 100)
        ended = 1";
    host.start("conflicts", script);
    host.run();
    assert_eq!(host.number("ended"), 1.0);
    store.drain();
}

/// Every call takes a tenth of a second of simulated time.
struct Slow;

impl CallControl for Slow {
    fn begin(&self, _: &CallInfo<'_>) -> Verdict {
        Verdict { latency: Duration::from_millis(100), fault: None }
    }
    fn deliver(&self, _: &str) -> Option<Duration> {
        None
    }
    fn settles_calls(&self) -> bool {
        true
    }
    fn wait(&self) {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// With simulated latency the updates of many coroutines overlap: each is made all the same, and once.
#[test]
fn slow_updates_that_overlap_lose_nothing() {
    let clock = Arc::new(ManualClock::default());
    let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
    let hosts = [1, 2].map(|_| {
        let options = Options { control: Some(Box::new(Slow)), ..Options::default() };
        host_with(&store, &clock, 1, Kind::Scheduler, options)
    });
    for host in &hosts {
        let script = "runs = 0
            local map = MemoryStoreService:GetHashMap('map')
            for _ = 1, 10 do
                start(function()
                    for _ = 1, 3 do
                        map:UpdateAsync('sum', function(old) runs += 1 return (old or 0) + 1 end, 600)
                    end
                    sum = map:GetAsync('sum')
                end)
            end";
        host.start("slow", script);
    }
    while hosts.iter().any(|host| host.parked() > 0) {
        clock.advance(Duration::from_millis(100));
        hosts.iter().for_each(Host::tick);
    }
    let [a, b] = &hosts;
    assert_eq!(a.number("sum").max(b.number("sum")), 60.0);
    assert!(a.number("runs") + b.number("runs") > 60.0, "they overlap");
    store.drain();
}

/// Calls after the end of the game are refused like those of data stores.
#[test]
fn a_closed_game_refuses_calls() {
    let clock = Arc::new(ManualClock::default());
    let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
    let host = host(&store, &clock, 1, Kind::Scheduler);
    store.drain();
    let script = "local map = MemoryStoreService:GetHashMap('closed')
        raises_with('401: ', map.SetAsync, map, 'k', 1, 60)
        raises_with('401: ', map.UpdateAsync, map, 'k', function() return 1 end, 60)
        ended = 1";
    host.start("closed", script);
    host.run();
    assert_eq!(host.number("ended"), 1.0);
}

/// Whoever sets the wall clock back moves labels, not waits.
#[test]
fn a_wall_clock_that_is_set_back_holds_up_no_wait() {
    for kind in [Kind::Polling, Kind::Scheduler] {
        let clock = Arc::new(ManualClock::default().of_the_world());
        let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
        let host = host(&store, &clock, 1, kind);
        host.start("wait", "items = MemoryStoreService:GetQueue('Q'):ReadAsync(1, false, 5)");
        host.tick();
        clock.set_wall(Timestamp::from_unix_ms(clock.wall().unix_ms() - 3_600_000));
        for _ in 0..10 {
            clock.advance(Duration::from_secs(1));
            host.tick();
            host.tick();
        }
        assert_eq!(host.parked(), 0, "{kind:?}: it still waits");
        store.drain();
    }
}
