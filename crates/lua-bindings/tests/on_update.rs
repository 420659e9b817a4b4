//! `OnUpdate` for writes of other servers: a look a minute, by a clock that the test moves.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;
use std::time::Duration;

use clawstore_testkit::{ManualClock, MemoryBackend};
use host::{Host, Kind, Store};

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
