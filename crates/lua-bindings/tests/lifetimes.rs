//! Coroutines that are cancelled, resumed at odd moments, or meet host functions that look at the bindings or panic.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::Config;
use clawstore_core::limits::Limits;
use clawstore_core::{Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_testkit::{GatedBackend, ManualClock, MemoryBackend};
use host::{Host, Kind, Store};
use place::{Place, on_each_place};

/// Ticks until `done`; each tick waits for an arrival, a bound keeps a lost one from hanging the test.
fn tick_until(host: &Host, mut done: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if done() {
            return;
        }
        host.tick();
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("it never happened");
}

/// Every tick is watched: whichever meets the transform panics.
fn tick_until_it_panics(host: &Host) {
    for _ in 0..2_000 {
        if catch_unwind(AssertUnwindSafe(|| host.tick())).is_err() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("it never panicked");
}

fn calls_of_cancelled_coroutines_leave_nothing_behind(place: &Place) {
    let store = Store::on(place);
    for (number, kind) in [(1, Kind::Polling), (2, Kind::Scheduler)] {
        let host = Host::new(&store.game(number), kind);
        host.start(
            "cancelled",
            r#"
            for i = 1, 200 do
                local co = coroutine.create(function() store("A"):SetAsync("k" .. i, "saved") end)
                coroutine.resume(co)
                coroutine.close(co)
            end
            start(function() store("A"):SetAsync("last", 1) end)
            "#,
        );
        host.run();
        tick_until(&host, || {
            // Nothing is parked that would look into the inbox.
            host.bindings.completed(&host.lua, &mut Vec::new());
            host.lua.gc_collect().unwrap();
            host.bindings.open_calls() == 0
        });
        host.start("check", "for i = 1, 200 do assert(store('A'):GetAsync('k' .. i) == 'saved') end");
        host.run();
    }
}

on_each_place! {
    cancelled_coroutines: calls_of_cancelled_coroutines_leave_nothing_behind;
}

/// A key that is loaded only when the test says so: its update's transform runs in a poll, not in the call.
fn held_store() -> (Arc<GatedBackend>, Store) {
    let gate = Arc::new(GatedBackend::new(Arc::new(MemoryBackend::new())));
    let store = Store::open(Arc::clone(&gate) as _);
    (gate, store)
}

#[test]
fn a_transform_may_resume_a_coroutine_whose_call_has_ended() {
    let (gate, store) = held_store();
    let host = Host::new(&store.game(1), Kind::Polling);
    host.start(
        "parked",
        r#"
        parked = coroutine.create(function() store("A"):SetAsync("other", 1) returned = true end)
        coroutine.resume(parked)
        "#,
    );
    store.runtime.block_on(gate.wait_commits_finished(1));
    gate.hold_reads();
    host.start(
        "update",
        r#"
        start(function()
            value = store("A"):UpdateAsync("cold", function() resumed = { coroutine.resume(parked) } return 1 end)
        end)
        "#,
    );
    gate.release_reads();
    host.run();
    host.start("check", "assert(value == 1 and resumed[1] == true, tostring(resumed[2]))");
    host.run();
    host.lua.load("coroutine.resume(parked) assert(returned)").exec().unwrap();
}

#[test]
fn host_functions_may_look_at_the_bindings_from_a_transform() {
    let (gate, store) = held_store();
    let host = Host::new(&store.game(1), Kind::Polling);
    let count = host.bindings.open_call_counter();
    let open_calls = host.lua.create_function(move |_, ()| Ok(count())).unwrap();
    host.lua.globals().set("open_calls", open_calls).unwrap();
    gate.hold_reads();
    host.start(
        "update",
        "start(function() value = store('A'):UpdateAsync('cold', function() return open_calls() end) end)",
    );
    gate.release_reads();
    host.run();
    assert_eq!(host.number("value"), 1.0);
}

#[test]
fn a_host_function_that_panics_in_a_transform_does_not_lock_the_vm() {
    let (gate, store) = held_store();
    let host = Host::new(&store.game(1), Kind::Polling);
    let fault = host.lua.create_function(|_, ()| -> mlua::Result<()> { panic!("a fault in the host") }).unwrap();
    host.lua.globals().set("fault", fault).unwrap();
    gate.hold_reads();
    host.start("update", "start(function() store('A'):UpdateAsync('cold', function() fault() return 1 end) end)");
    gate.release_reads();
    tick_until_it_panics(&host);
    host.start("after", "start(function() after = store('A'):IncrementAsync('n', 1) end)");
    tick_until(&host, || !host.global("after").is_nil());
    assert_eq!(host.number("after"), 1.0);
}

#[test]
fn a_stored_value_that_cannot_be_read_raises_a_string() {
    let memory = Arc::new(MemoryBackend::new());
    let store_id = StoreId::new(GameId::Number(1), StoreKind::Standard, b"A", b"global").unwrap();
    let put = |key: &str, json: &str| {
        let key = EntryKey::new(&Arc::new(store_id.clone()), key.as_bytes()).unwrap();
        memory.overwrite(&key, Entry { revision: 1, value: Value::new(json.to_owned()).ok(), ..Entry::default() });
    };
    put("broken", "{\"gold\":");
    put("from elsewhere", "{\"m\":null,\"gold\":5}");
    let store = Store::open(Arc::clone(&memory) as _);
    let host = Host::new(&store.game(1), Kind::Polling);
    host.start(
        "read",
        r#"
        local s = store("A")
        raises_with("501: ", s.GetAsync, s, "broken")
        raises_with("501: ", s.UpdateAsync, s, "broken", function() return 1 end)
        assert(s:GetAsync("from elsewhere").gold == 5)
        assert(s:IncrementAsync("large", 4503599627370497) == 4503599627370497)
        assert(s:IncrementAsync("small", 0.49999999999999994) == 0)
        "#,
    );
    host.run();
}

#[test]
fn a_panic_in_the_transform_of_an_update_that_has_waited_ends_its_call() {
    let clock = Arc::new(ManualClock::default());
    let config = Config { limits: Limits::Roblox, ..Config::default() };
    let (store, _) = Store::at(&Place::memory(), Arc::clone(&clock) as _, config);
    let host = Host::new(&store.game(1), Kind::Scheduler);
    let fault = host.lua.create_function(|_, ()| -> mlua::Result<()> { panic!("a fault in the host") }).unwrap();
    host.lua.globals().set("fault", fault).unwrap();
    host.lua.globals().set("types", host.bindings.enumeration("DataStoreRequestType").unwrap()).unwrap();
    host.start("live", "store():SetAsync('k', 1)");
    host.run();
    host.start("no budget", "DataStoreService:SetRateLimitForRequestType(types.StandardWrite, 0, 0)");
    host.start("update", "text = select(2, pcall(store().UpdateAsync, store(), 'k', function() fault() return 1 end))");
    host.tick();
    assert_eq!(host.parked(), 1);
    host.start("budget", "DataStoreService:SetRateLimitForRequestType(types.StandardWrite, 60, 0)");
    clock.advance(Duration::from_secs(60));
    tick_until_it_panics(&host);
    host.run();
    assert!(host.lua.globals().get::<String>("text").unwrap().contains("internal"));
}
