//! `OnUpdate` for writes of other servers: a look a minute, by a clock that the test moves.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::{Config, SystemClock};
use clawstore_core::clock::Clock as _;
use clawstore_core::limits::Limits;
use clawstore_testkit::{ManualClock, MemoryBackend};
use host::{Host, Kind, Store};
use place::Place;

const WATCH: &str = r#"
    told, last = 0, nil
    connection = store():OnUpdate("k", function(value)
        told, last = told + 1, value
    end)
    -- What was there is known when the other server writes.
    repeat pause() until store():GetAsync("k") == 1
    for _ = 1, 10 do pause() end
"#;

fn told(host: &Host) -> (f64, Option<f64>) {
    (host.number("told"), host.lua.globals().get("last").unwrap())
}

/// Lets calls that are under way end: looks that have begun, and their callbacks.
fn settle(host: &Host) {
    host.start("settle", "for _ = 1, 10 do pause() end");
    host.run();
}

fn check(kind: Kind) {
    let clock = Arc::new(ManualClock::default());
    let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
    let game = store.game(1);
    let (watching, other) = (Host::new(&game, kind), Host::new(&game, kind));
    let write = |script: &str| {
        other.start("write", script);
        other.run();
    };
    let pass = |seconds: u64| {
        clock.advance(Duration::from_secs(seconds));
        settle(&watching);
    };
    write("store():SetAsync('k', 1)");
    watching.start("watch", WATCH);
    watching.run();
    assert_eq!(told(&watching), (0.0, None), "what was there is no update");
    assert_eq!(watching.bindings.listener_counter()(), 1);
    assert!(!watching.bindings.due_work()(), "no run goes on for a look");

    write("store():SetAsync('k', 2) store():SetAsync('k', 3)");
    pass(59);
    assert_eq!(told(&watching), (0.0, None), "before the minute is over");
    pass(1);
    assert_eq!(told(&watching), (1.0, Some(3.0)));
    pass(60);
    pass(600);
    assert_eq!(told(&watching), (1.0, Some(3.0)), "nothing new");
    write("store():RemoveAsync('k')");
    pass(60);
    assert_eq!(told(&watching), (2.0, None), "a removal is an update");

    // Its own writes are told at once, once.
    watching.start("own", "store():SetAsync('k', 4)");
    settle(&watching);
    assert_eq!(told(&watching), (3.0, Some(4.0)));
    pass(60);
    assert_eq!(told(&watching), (3.0, Some(4.0)));

    watching.start("disconnect", "connection:Disconnect()");
    write("store():SetAsync('k', 5)");
    pass(60);
    assert_eq!(told(&watching), (3.0, Some(4.0)));
    assert_eq!(
        (watching.bindings.listener_counter()(), watching.bindings.next_due()),
        (0, None),
        "nothing looks any more"
    );
}

#[test]
fn others_are_noticed_within_a_minute_where_threads_are_polled() {
    check(Kind::Polling);
}

#[test]
fn others_are_noticed_within_a_minute_with_a_scheduler() {
    check(Kind::Scheduler);
}

/// A host with the limits of Roblox: each look costs a read.
fn limited() -> (Arc<ManualClock>, Store, Host) {
    let clock = Arc::new(ManualClock::default());
    let config = Config { limits: Limits::Roblox, ..Config::default() };
    let (store, _) = Store::at(&Place::memory(), Arc::clone(&clock) as _, config);
    let host = Host::new(&store.game(1), Kind::Scheduler);
    (clock, store, host)
}

/// A removal shows what was there before it, which is no news, whether anything was known before or not.
#[test]
fn a_removal_is_told_as_nil_alone() {
    for known in ["", "for _ = 1, 10 do pause() end"] {
        let (_, _store, host) = limited();
        let script = format!(
            "local s = store()
            told = {{}}
            s:SetAsync('k', 'old')
            s:OnUpdate('k', function(value) table.insert(told, tostring(value)) end)
            {known}
            s:RemoveAsync('k')
            for _ = 1, 20 do pause() end
            told = table.concat(told, ' ')"
        );
        host.start("removal", &script);
        host.run();
        assert_eq!(host.lua.globals().get::<String>("told").unwrap(), "nil");
    }
}

#[test]
fn who_connects_and_disconnects_all_the_time_costs_no_more_looks() {
    let (clock, _store, host) = limited();
    let script = "
        local s = store()
        told = 0
        for tick = 1, 50 do
            for _ = 1, 20 do
                s:OnUpdate('k', function() told += 1 end):Disconnect()
            end
            if tick < 50 then pause() end
        end
        last = s:OnUpdate('k', function() told += 1 end)
        for _ = 1, 10 do pause() end
        for _ = 1, 50 do
            s:OnUpdate('k', function() end):Disconnect()
        end
        budget = DataStoreService:GetRequestBudgetForRequestType(types.StandardRead)";
    host.lua.globals().set("types", host.bindings.enumeration("DataStoreRequestType").unwrap()).unwrap();
    host.start("full", "full = DataStoreService:GetRequestBudgetForRequestType(types.StandardRead)");
    host.start("flood", script);
    host.run();
    let pauses = 59.0;
    assert_eq!(host.number("full") - host.number("budget") - pauses, 1.0, "one look while someone watches");
    host.start("write", "store():SetAsync('k', 1) for _ = 1, 5 do pause() end last:Disconnect()");
    settle(&host);
    assert_eq!(host.number("told"), 1.0, "the watch is as good as any");
    assert!(host.bindings.next_due().is_some_and(|due| due > clock.wall()));
    clock.advance(Duration::from_secs(60));
    settle(&host);
    assert_eq!(host.bindings.next_due(), None);
}

/// A host may sleep until then.
#[test]
fn what_is_due_is_told_by_the_wall_clock() {
    let store = Store::open(Arc::new(MemoryBackend::new()));
    let host = Host::new(&store.game(1), Kind::Scheduler);
    host.start("watch", "store():OnUpdate('k', function() end) for _ = 1, 10 do pause() end");
    host.run();
    let (wall, minute) = (SystemClock::start().wall(), 60 * 1_000);
    for due in [host.bindings.next_due(), host.bindings.due_times()()] {
        let wait = due.expect("a look").unix_ms().checked_sub(wall.unix_ms());
        assert!(wait.is_some_and(|wait| (minute - 10_000..=minute).contains(&wait)), "{wait:?} ms");
    }
}
