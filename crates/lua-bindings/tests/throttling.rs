//! Requests are limited as on Roblox: the Luau specs of budgets, in both kinds of host and on every backend, with a clock that
//! scripts move; and the order rules that a script cannot see.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clawstore_actors::Config;
use clawstore_core::backend::Backend;
use clawstore_core::clock::{Clock as _, Timestamp};
use clawstore_core::limits::Limits;
use clawstore_core::versioning::{Retention, Versioning};
use clawstore_lua::{CallControl, CallInfo, Options, Verdict};
use clawstore_testkit::ManualClock;
use host::{Host, Kind, Store};
use place::{Place, on_each_place};

/// One store with limits, and a clock that is moved by hand.
struct World {
    clock: Arc<ManualClock>,
    backend: Arc<dyn Backend>,
    store: Store,
}

impl World {
    fn on(place: &Place, limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::default());
        let config = Config { limits, versioning: Versioning::all(Retention::EveryWrite), ..Config::default() };
        let (store, backend) = Store::at(place, Arc::clone(&clock) as _, config);
        Self { clock, backend, store }
    }

    fn new(limits: Limits) -> Self {
        Self::on(&Place::memory(), limits)
    }

    fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// A host whose scripts have `Enum.DataStoreRequestType`, `advance(seconds)`, `players(count)`, `closing()` and
    /// `settle(condition)`, which lets the host go on until the condition holds.
    fn host(&self, number: u64, kind: Kind, options: Options) -> Host {
        let host = Host::with_options(&self.store.game(number), kind, options);
        let (lua, globals) = (&host.lua, host.lua.globals());
        let enums = lua.create_table().unwrap();
        let types = host.bindings.enumeration("DataStoreRequestType").unwrap();
        enums.set("DataStoreRequestType", types).unwrap();
        globals.set("Enum", enums).unwrap();
        let clock = Arc::clone(&self.clock);
        let advance = move |_: &mlua::Lua, seconds: f64| {
            clock.advance(Duration::from_secs_f64(seconds));
            Ok(())
        };
        globals.set("advance", lua.create_function(advance).unwrap()).unwrap();
        let players = Arc::clone(&host.players);
        let set_players = move |_: &mlua::Lua, count| {
            players.store(count, Ordering::Relaxed);
            Ok(())
        };
        globals.set("players", lua.create_function(set_players).unwrap()).unwrap();
        let bindings = Rc::clone(&host.bindings);
        let closing = move |_: &mlua::Lua, ()| {
            bindings.closing();
            Ok(())
        };
        globals.set("closing", lua.create_function(closing).unwrap()).unwrap();
        globals.set("MemoryStoreService", host.bindings.service("MemoryStoreService").unwrap()).unwrap();
        // Its calls yield, also those that are refused.
        let settle = "local map = MemoryStoreService:GetHashMap('settle')
        function settle(condition)
            while not condition() do
                pcall(map.GetAsync, map, 'none')
            end
        end";
        lua.load(settle).exec().unwrap();
        host
    }
}

fn run(place: &Place, name: &str, source: &str) {
    for (number, kind) in [(1, Kind::Polling), (2, Kind::Scheduler)] {
        let world = World::on(place, Limits::Roblox);
        let host = world.host(number, kind, Options::default());
        host.start(name, source);
        // A script that waits makes calls all the time: many ticks.
        (0..20).for_each(|_| host.run_for(20_000));
        assert_eq!(host.parked(), 0, "coroutines never ended");
        world.store.drain();
    }
}

macro_rules! specs {
    ($($name:ident)*) => {
        on_each_place! {$(
            $name: |place| run(place, stringify!($name), include_str!(concat!("luau/", stringify!($name), ".luau")));
        )*}
    };
}

specs! { get_request_budget_for_request_type set_rate_limit_for_request_type throttling }

/// Without budget for anything but what a test gives.
const NO_BUDGET: &str = "
    service, types = DataStoreService, Enum.DataStoreRequestType
    store = service:GetDataStore('S')
    function limit(name, base)
        service:SetRateLimitForRequestType(types[name], base, 0)
    end
    function limit_all(base)
        for _, item in types:GetEnumItems() do
            if item.Value >= 9 then
                limit(item.Name, base)
            end
        end
    end
    uncached = DataStoreGetOptions()
    uncached.UseCache = false
    limit_all(0)";

fn without_budget(world: &World, options: Options) -> Host {
    let host = world.host(1, Kind::Scheduler, options);
    host.lua.load(NO_BUDGET).exec().unwrap();
    host
}

/// What another server of the game, with budget, finds under a key.
fn stored(world: &World, key: &str) -> String {
    let host = world.host(1, Kind::Scheduler, Options::default());
    host.start("other", &format!("found = tostring(DataStoreService:GetDataStore('S'):GetAsync('{key}'))"));
    host.run();
    host.lua.globals().get("found").unwrap()
}

#[test]
fn a_vm_that_goes_writes_what_waits_in_order() {
    let world = World::new(Limits::Roblox);
    let host = without_budget(&world, Options::default());
    for script in [
        "store:SetAsync('k', 'first')",
        "store:SetAsync('k', 5)",
        "store:IncrementAsync('k', 2)",
        "store:GetAsync('k')",
        "store:UpdateAsync('k', function() return 'never run' end)",
        "store:SetAsync('other', 1)",
    ] {
        host.start("waits", script);
    }
    host.tick();
    assert_eq!((host.parked(), stored(&world, "k"), stored(&world, "other")), (6, "nil".into(), "nil".into()));
    drop(host);
    world.store.drain();
    let again = World { store: Store::open_with(Arc::clone(&world.backend), Config::default()), ..world };
    assert_eq!((stored(&again, "k"), stored(&again, "other")), ("7".into(), "1".into()));
}

#[test]
fn a_write_whose_coroutine_is_gone_is_made_all_the_same() {
    let world = World::new(Limits::Roblox);
    let host = without_budget(&world, Options::default());
    host.lua.load("start(function() store:SetAsync('k', 5) end)").exec().unwrap();
    assert_eq!(host.bindings.open_calls(), 1);
    host.forget_threads();
    host.lua.gc_collect().unwrap();
    host.lua.gc_collect().unwrap();
    host.lua.load("limit('StandardWrite', 60) advance(1)").exec().unwrap();
    host.tick();
    while host.bindings.open_calls() > 0 {
        std::thread::park_timeout(Duration::from_millis(5));
        host.tick();
    }
    assert_eq!(stored(&world, "k"), "5");
}

/// Updates of one key that wait with a write in front of them run on what it writes, once each, whatever the store showed when
/// they started.
#[test]
fn updates_that_have_waited_run_on_what_was_written_before_them() {
    let world = World::new(Limits::Roblox);
    let host = without_budget(&world, Options::default());
    host.lua.load("runs = 0").exec().unwrap();
    host.start("set", "store:SetAsync('k', { n = 0 })");
    for _ in 0..10 {
        host.start("update", "store:UpdateAsync('k', function(old) runs += 1 old.n += 1 return old end)");
    }
    host.tick();
    assert_eq!(host.parked(), 11);
    host.lua.load("limit_all(10000) advance(60)").exec().unwrap();
    host.run();
    host.start("last", "last = store:GetAsync('k').n");
    host.run();
    assert_eq!((host.number("last"), host.number("runs")), (10.0, 10.0));
}

/// Where reads show what the VM has written, they show it in the order of the calls.
#[test]
fn a_read_of_a_key_keeps_its_place_among_the_calls_that_wait() {
    let world = World::new(Limits::Roblox);
    let host = without_budget(&world, Options::default());
    let script = "limit('StandardRead', 10000) advance(1)
        store:GetAsync('k')
        start(function() store:SetAsync('k', 'a') end)
        start(function() cached = store:GetAsync('k') end)
        start(function() truth = store:GetAsync('k', uncached) end)
        start(function() removed = store:RemoveAsync('k') end)
        start(function() store:SetAsync('k', 'b') end)
        start(function() after = store:GetAsync('k') end)
        assert(store:GetAsync('other') == nil and not cached)
        limit_all(10000)
        advance(1)";
    host.start("reads", script);
    host.run();
    let found = |name: &str| host.lua.globals().get::<String>(name).unwrap();
    assert_eq!(["cached", "truth", "removed", "after"].map(found), ["a", "a", "a", "b"]);
}

#[test]
fn a_closing_server_has_budget_for_what_waits() {
    let world = World::new(Limits::Roblox);
    let host = without_budget(&world, Options::default());
    host.start("save", "store:SetAsync('k', 1) saved = true");
    host.lua.load("limit('StandardWrite', 60)").exec().unwrap();
    host.tick();
    assert_eq!(host.parked(), 1);
    host.bindings.closing();
    host.run();
    assert_eq!(stored(&world, "k"), "1");
}

#[test]
fn a_closing_server_can_save_also_where_a_script_has_set_no_base() {
    let world = World::new(Limits::Roblox);
    let host = without_budget(&world, Options::default());
    host.start("save", "store:SetAsync('k', 1)");
    host.tick();
    assert_eq!(host.parked(), 1);
    host.bindings.closing();
    host.run();
    assert_eq!(stored(&world, "k"), "1");
}

#[test]
fn an_update_that_lacks_write_budget_does_not_hold_up_reads() {
    let world = World::new(Limits::Roblox);
    let host = without_budget(&world, Options::default());
    host.lua.load("limit('StandardRead', 60) advance(60)").exec().unwrap();
    host.start("update", "store:UpdateAsync('a', function() return 1 end)");
    host.start("read", "store:GetAsync('b', uncached) read = 1");
    host.start("settle", "settle(function() return read end)");
    while host.parked() > 1 {
        host.tick();
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(host.number("read"), 1.0);
}

/// Whether the key's value is known here when the transform runs, or the store asks for it.
#[test]
fn four_megabytes_of_updates_are_written_to_a_key_in_a_minute() {
    for first in ["store:SetAsync('k', 1)", ""] {
        let world = World::new(Limits::Roblox);
        let host = world.host(1, Kind::Scheduler, Options::default());
        let script = format!(
            "local store = DataStoreService:GetDataStore('S')
            {first}
            updated = 0
            for _ = 1, 6 do
                local ok, text = pcall(store.UpdateAsync, store, 'k', function()
                    return string.rep('x', 1000000)
                end)
                assert(ok or string.find(text, 'KeyThrottled'), text)
                updated += if ok then 1 else 0
            end"
        );
        host.start("updates", &script);
        host.run();
        assert_eq!(
            host.number("updated"),
            5.0,
            "the one that exceeds it is let in: what it writes is not known before"
        );
    }
}

#[test]
fn without_limits_nothing_waits_and_everything_is_allowed() {
    for limits in [Limits::Off, Limits::Fair] {
        let world = World::new(limits);
        let host = without_budget(&world, Options::default());
        let script = "assert(service:GetRequestBudgetForRequestType(types.StandardWrite) == 2147483647)
            for number = 1, 1000 do
                start(function() store:SetAsync('k', number) end)
            end";
        host.start("writes", script);
        host.run();
        assert_eq!(stored(&world, "k"), "1000");
        assert!(host.log.borrow().is_empty());
    }
}

#[test]
fn the_classic_limits_are_sixty_requests_a_minute_of_a_key() {
    let world = World::new(Limits::RobloxClassic);
    let host = without_budget(&world, Options::default());
    let script = "
        assert(service:GetRequestBudgetForRequestType(types.StandardWrite) == 2147483647)
        for number = 1, 60 do
            store:SetAsync('k', number)
        end
        local ok, text = pcall(store.SetAsync, store, 'k', 61)
        assert(not ok and string.find(text, '502: .*KeyThrottled: '), text)
        store:SetAsync('other', 1)
        advance(31)
        late = false
        start(function() store:SetAsync('k', 62) late = true end)
        assert(not late)
        advance(30)
        settle(function() return late end)";
    host.start("classic", script);
    host.run();
    assert_eq!(stored(&world, "k"), "62");
}

/// Every call takes 50 ms of simulated time.
struct Simulated;

impl CallControl for Simulated {
    fn begin(&self, _: &CallInfo<'_>) -> Verdict {
        Verdict { latency: Duration::from_millis(50), fault: None }
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

/// The runner skips to when something is due: it must learn when budget comes, and a call's time counts from its start.
#[test]
fn a_simulated_call_takes_its_time_from_when_it_starts() {
    let world = World::new(Limits::Roblox);
    let options = Options { control: Some(Box::new(Simulated)), ..Options::default() };
    let host = without_budget(&world, options);
    host.lua.load("limit('StandardWrite', 60) limit('StandardRead', 60)").exec().unwrap();
    let start = world.now();
    host.start("first", "store:SetAsync('k', 1)");
    host.start("second", "second = store:UpdateAsync('k', function(old) return old + 1 end)");
    let mut told = Vec::new();
    while host.parked() > 0 {
        let due = host.bindings.next_due().expect("it waits for something");
        assert!(due > world.now() || told.len() < 9, "time stands still");
        let wait = due.ticks().saturating_sub(world.now().ticks());
        world.clock.advance(Duration::from_nanos(wait * 100));
        host.tick();
        told.push((due.ticks() - start.ticks()) / 10_000);
    }
    assert_eq!(told, [1_000, 1_050, 2_000, 2_050], "ms: a write's budget, its end, an update's, its end");
    assert_eq!((host.number("second"), host.bindings.next_due()), (2.0, None));
}
