//! Many coroutines and several VMs on one key: nothing is lost, nothing overtakes, nobody waits for a VM that stands still.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::{Config, Game};
use clawstore_core::limits::Limits;
use clawstore_lua::Options;
use clawstore_testkit::{GatedBackend, MemoryBackend};
use host::{Host, Kind, Store};
use place::{Place, on_each_place};

const KINDS: [Kind; 2] = [Kind::Polling, Kind::Scheduler];

const COUNTERS: &str = r#"
    local s = store("Counters")
    for _ = 1, 64 do
        start(function()
            for _ = 1, 100 do
                s:IncrementAsync("increments", 1)
            end
        end)
        start(function()
            for _ = 1, 50 do
                s:UpdateAsync("updates", function(old) return (old or 0) + 1 end)
            end
        end)
    end
"#;

fn read(game: &Arc<Game>, kind: Kind, store: &str, key: &str) -> f64 {
    let host = Host::new(game, kind);
    host.start("read", &format!("result = store('{store}'):GetAsync('{key}') or 0"));
    host.run();
    host.number("result")
}

/// In each kind of host in turn: that many VMs at the same time count on the same keys.
fn counters_are_exact(place: &Place, vms: u32) {
    for (number, kind) in [(1, Kind::Polling), (2, Kind::Scheduler)] {
        let store = Store::on(place);
        let game = store.game(number);
        std::thread::scope(|scope| {
            for _ in 0..vms {
                scope.spawn(|| {
                    let host = Host::new(&game, kind);
                    host.start("counters", COUNTERS);
                    host.run();
                });
            }
        });
        assert_eq!(read(&game, kind, "Counters", "increments"), f64::from(vms) * 6_400.0);
        assert_eq!(read(&game, kind, "Counters", "updates"), f64::from(vms) * 3_200.0);
        store.drain();
    }
}

/// A store whose reads are held until the halted VM has made its calls: no transform can have run by then.
fn gated() -> (Arc<MemoryBackend>, Arc<GatedBackend>, Store) {
    let memory = Arc::new(MemoryBackend::new());
    let gate = Arc::new(GatedBackend::new(Arc::clone(&memory) as _));
    gate.hold_reads();
    let store = Store::open(Arc::clone(&gate) as _);
    (memory, gate, store)
}

/// Starts updates and a set on keys that nobody has touched, so that they wait for their VM.
fn start_and_halt(game: &Arc<Game>, gate: &GatedBackend, kind: Kind) -> Host {
    let host = Host::new(game, kind);
    host.start(
        "halted",
        r#"
        hot, own = {}, {}
        local s = store("Halt")
        for i = 1, 5 do
            start(function()
                s:UpdateAsync("hot", function(old) return (old or 0) + 1 end)
                table.insert(hot, i)
            end)
        end
        start(function()
            s:UpdateAsync("own", function(old) return (old or "") .. "u" end)
            table.insert(own, "u")
        end)
        start(function()
            s:SetAsync("own", "set")
            table.insert(own, "s")
        end)
        start(function()
            s:UpdateAsync("own", function(old) return old .. "u" end)
            table.insert(own, "t")
        end)
        "#,
    );
    gate.release_reads();
    host
}

const OTHERS: &str = r#"
    local s = store("Halt")
    for _ = 1, 16 do
        start(function()
            for _ = 1, 20 do
                s:UpdateAsync("hot", function(old) return (old or 0) + 1 end)
                s:IncrementAsync("cold", 1)
            end
        end)
    end
"#;

#[test]
fn a_halted_vm_costs_its_own_calls_only_and_goes_on_in_order() {
    for kind in KINDS {
        let (_, gate, store) = gated();
        let game = store.game(1);
        let halted = start_and_halt(&game, &gate, kind);
        let other = Host::new(&game, kind);
        other.start("others", OTHERS);
        other.run();
        assert_eq!(read(&game, kind, "Halt", "hot"), 320.0, "none of the halted VM's updates has run");
        assert_eq!(read(&game, kind, "Halt", "cold"), 320.0);
        halted.run();
        assert_eq!(read(&game, kind, "Halt", "hot"), 325.0);
        halted.start("check", "assert(store('Halt'):GetAsync('own') == 'setu')");
        halted.run();
        halted.start("order", "assert(table.concat(hot) == '12345' and table.concat(own) == 'ust', table.concat(hot) .. table.concat(own))");
        halted.run();
    }
}

#[test]
fn a_dropped_vm_ends_its_transforms_and_keeps_its_saves() {
    for kind in KINDS {
        let (backend, gate, store) = gated();
        let game = store.game(1);
        let dropped = start_and_halt(&game, &gate, kind);
        dropped.start("save", "start(function() store('Halt'):SetAsync('saved', 7) end)");
        drop(dropped);
        let other = Host::new(&game, kind);
        other.start("others", OTHERS);
        other.run();
        assert_eq!(read(&game, kind, "Halt", "hot"), 320.0, "an update whose transform never ran is not applied");
        let report = store.drain();
        assert_eq!(report.unknown, 0, "{report:?}");
        let again = Store::open(Arc::new(backend.reopened()));
        assert_eq!(read(&again.game(1), kind, "Halt", "saved"), 7.0, "an accepted save goes on");
    }
}

fn a_save_that_is_never_resumed_becomes_durable(place: &Place) {
    let store = Store::on(place);
    let host = Host::new(&store.game(1), Kind::Polling);
    host.start("save", "start(function() store('Saves'):SetAsync('k', { gold = 5 }) end)");
    drop(host);
    let report = store.drain();
    assert_eq!((report.failed, report.unknown), (0, 0));
    drop(store);
    let reopened = Store::on(place);
    let host = Host::new(&reopened.game(1), Kind::Polling);
    host.start("read", "gold = store('Saves'):GetAsync('k').gold");
    host.run();
    assert_eq!(host.number("gold"), 5.0);
}

fn a_transform_that_never_ends_is_stopped_and_other_keys_flow(place: &Place) {
    let store = Store::on(place);
    for (number, kind) in [(1, Kind::Polling), (2, Kind::Scheduler)] {
        let game = store.game(number);
        let options = Options { transform_cpu: Duration::from_millis(50), ..Options::default() };
        let host = Host::with_options(&game, kind, options);
        let flowing = std::thread::scope(|scope| {
            let flowing = scope.spawn(|| {
                let other = Host::new(&game, kind);
                other.start("flow", "for _ = 1, 200 do store('Flow'):IncrementAsync('n', 1) end");
                other.run();
                read(&game, kind, "Flow", "n")
            });
            host.start(
                "endless",
                r#"
                local s = store("Endless")
                local function stops(transform)
                    assert(s:UpdateAsync("k", transform) == nil)
                    assert(s:GetAsync("k") == nil)
                end
                stops(function() while true do end end)
                stops(function() while true do pcall(function() while true do end end) end end)
                stops(function() string.find(string.rep("a", 10000), string.rep(".-", 20) .. "b") end)
                s:SetAsync("k", "still usable")
                assert(s:UpdateAsync("k", function(old) return old .. "!" end) == "still usable!")
                assert(string.find(logged(), "CPU time", 1, true), logged())
                "#,
            );
            host.run();
            flowing.join().unwrap()
        });
        assert_eq!(flowing, 200.0);
    }
}

#[test]
fn calls_on_a_held_store_all_wait_and_all_end() {
    let gate = Arc::new(GatedBackend::new(Arc::new(MemoryBackend::new())));
    gate.hold();
    let store = Store::open(Arc::clone(&gate) as _);
    let host = Host::new(&store.game(1), Kind::Polling);
    host.start(
        "many",
        r#"
        ended = 0
        for i = 1, 500 do
            start(function()
                store("Held"):SetAsync("k" .. i % 50, i)
                ended += 1
            end)
        end
        "#,
    );
    for _ in 0..20 {
        host.tick();
    }
    assert_eq!(host.number("ended"), 0.0, "nothing is acknowledged before it is durable");
    assert_eq!(host.parked(), 500);
    gate.release();
    host.run();
    assert_eq!(host.number("ended"), 500.0);
    host.start("check", "for i = 1, 50 do assert(store('Held'):GetAsync('k' .. i % 50) == 450 + i, i) end");
    host.run();
}

fn two_games_see_nothing_of_each_other(place: &Place) {
    let store = Store::on(place);
    for number in [1, 2] {
        let host = Host::new(&store.game(number), Kind::Scheduler);
        host.start("game", "assert(store('S'):GetAsync('k') == nil) store('S'):SetAsync('k', 1)");
        host.run();
    }
}

on_each_place! {
    counters_are_exact_in_one_vm: |place| counters_are_exact(place, 1);
    counters_are_exact_with_a_second_vm_at_the_same_time: |place| counters_are_exact(place, 2);
    saves_that_are_never_resumed: a_save_that_is_never_resumed_becomes_durable;
    endless_transforms: a_transform_that_never_ends_is_stopped_and_other_keys_flow;
    games: two_games_see_nothing_of_each_other;
}

/// The store may still show what was there before a write of the same VM: no transform sees that, for it may fail of it for good.
#[test]
fn an_update_right_behind_a_plain_write_runs_on_what_that_has_written() {
    let script = r#"
        local s = store("Order")
        runs = 0
        local function count(old) runs += 1 old.n += 1 return old end
        for _ = 1, 100 do
            s:SetAsync("k", 1)
            s:RemoveAsync("k")
            start(function() s:SetAsync("k", { n = 0 }) end)
            s:UpdateAsync("k", count)
            assert(s:GetAsync("k").n == 1)
            start(function() s:SetAsync("k", { n = 10 }) end)
            start(function() s:UpdateAsync("k", count) end)
            s:UpdateAsync("k", count)
            assert(s:GetAsync("k").n == 12)
        end
    "#;
    for limits in [Limits::Off, Limits::Fair] {
        let store = Store::open_with(Arc::new(MemoryBackend::new()), Config { limits, ..Config::default() });
        let host = Host::new(&store.game(1), Kind::Scheduler);
        host.start("order", script);
        host.run();
        assert_eq!((host.number("runs"), host.log.borrow().as_slice()), (300.0, [].as_slice()));
    }
}
