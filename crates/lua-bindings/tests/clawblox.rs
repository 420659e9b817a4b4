//! The Clawblox profile: scores, and the load guard. And what hosts without enums of their own are given.

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::Config;
use clawstore_core::backend::BackendErrorKind;
use clawstore_lua::{Options, Profile};
use clawstore_testkit::{GatedBackend, MemoryBackend};
use host::{Host, Kind, Store};
use place::{Place, on_each_place};

const REFUSED: &str = "The last GetAsync of this key on this server failed or has not returned";

/// A store whose reads are in the test's hand.
fn gated(backend: MemoryBackend) -> (Arc<GatedBackend>, Store) {
    let gate = Arc::new(GatedBackend::new(Arc::new(backend)));
    let config = Config { call_deadline: Duration::from_secs(3), ..Config::default() };
    let store = Store::open_with(Arc::clone(&gate) as _, config);
    (gate, store)
}

fn clawblox(store: &Store, kind: Kind) -> Host {
    let host = Host::with_options(&store.game(1), kind, Options { profile: Profile::Clawblox, ..Options::default() });
    host.lua.globals().set("REFUSED", REFUSED).unwrap();
    host
}

/// A store whose key `key` holds `save`, which is not in memory.
fn with_save() -> (Arc<GatedBackend>, Store) {
    let memory = MemoryBackend::new();
    let (_, store) = gated(memory.reopened());
    let before = Host::new(&store.game(1), Kind::Polling);
    before.start("before", "store():SetAsync('key', 'save')");
    before.run();
    store.drain();
    gated(memory.reopened())
}

const LOAD: &str = "start(function() ok, loaded = pcall(store().GetAsync, store(), 'key') end)";

fn scores_are_ranked(place: &Place) {
    for kind in [Kind::Polling, Kind::Scheduler] {
        let store = Store::on(place);
        let number = if kind == Kind::Polling { 1 } else { 2 };
        let options = Options { profile: Profile::Clawblox, ..Options::default() };
        let host = Host::with_options(&store.game(number), kind, options);
        host.start("clawblox_scores", include_str!("luau/clawblox_scores.luau"));
        host.run();
        store.drain();
    }
}

on_each_place! {
    clawblox_scores: scores_are_ranked;
}

#[test]
fn a_key_whose_load_is_pending_is_not_overwritten() {
    for kind in [Kind::Polling, Kind::Scheduler] {
        let (gate, store) = with_save();
        let host = clawblox(&store, kind);
        gate.hold_reads();
        host.start("load", LOAD);
        host.start(
            "leave",
            "raises_with(REFUSED, store().SetAsync, store(), 'key', 'defaults')
             store():SetAsync('another', 1) -- was never loaded",
        );
        gate.release_reads();
        host.run();
        assert_eq!(host.global("loaded").to_string().unwrap(), "save");
        host.start("after", "store():SetAsync('key', 'progress') assert(store():GetAsync('key') == 'progress')");
        host.run();
    }
}

#[test]
fn a_key_whose_load_failed_is_not_overwritten_until_one_succeeds() {
    let (gate, store) = with_save();
    let host = clawblox(&store, Kind::Polling);
    gate.fail_reads(1_000, BackendErrorKind::Unavailable);
    host.start("load", LOAD);
    host.run();
    gate.heal();
    host.start(
        "failed",
        "assert(not ok)
         raises_with(REFUSED, store().SetAsync, store(), 'key', 'defaults')
         assert(store():UpdateAsync('key', function(save) return save .. '+' end) == 'save+')
         raises_with(REFUSED, store().SetAsync, store(), 'key', 'defaults')
         assert(store():GetAsync('key') == 'save+')
         store():SetAsync('key', 'progress')",
    );
    host.run();
    assert_eq!(gate.batches().last().unwrap().rows[0].entry.value.as_ref().unwrap().json(), b"\"progress\"");
}

#[test]
fn a_load_waits_until_the_store_is_back() {
    let (gate, store) = with_save();
    let host = clawblox(&store, Kind::Polling);
    gate.fail_reads(2, BackendErrorKind::Unavailable);
    host.start("load", "assert(store():GetAsync('key') == 'save')");
    host.run();
    // A Roblox game is told at once.
    let roblox = Host::new(&store.game(1), Kind::Polling);
    gate.fail_reads(1, BackendErrorKind::Unavailable);
    roblox.start("told", "assert(not pcall(store('Other').GetAsync, store('Other'), 'key'))");
    roblox.run();
}

/// A game loads again when it distrusts what it has.
#[test]
fn only_the_last_load_counts() {
    let (gate, store) = with_save();
    let host = clawblox(&store, Kind::Polling);
    gate.hold_reads();
    host.start("first", LOAD);
    host.start("second", "assert(not pcall(store().GetAsync, store(), 'key', 'no options'))");
    gate.release_reads();
    host.run();
    host.start("guarded", "assert(ok) raises_with(REFUSED, store().SetAsync, store(), 'key', 1)");
    host.run();
    host.start("third", "store():GetAsync('key') store():SetAsync('key', 1)");
    host.run();
}

#[test]
fn a_load_whose_coroutine_is_gone_stays_guarded() {
    let (gate, store) = with_save();
    let host = clawblox(&store, Kind::Polling);
    gate.hold_reads();
    host.start(
        "cancelled",
        "local load = coroutine.create(function() store():GetAsync('key') end)
         coroutine.resume(load) coroutine.close(load)",
    );
    gate.release_reads();
    host.start("leave", "pause() raises_with(REFUSED, store().SetAsync, store(), 'key', 'defaults')");
    host.run();
}

#[test]
fn roblox_games_are_not_guarded() {
    let (gate, store) = gated(MemoryBackend::new());
    let host = Host::new(&store.game(1), Kind::Polling);
    gate.hold_reads();
    host.start("load", LOAD);
    host.start("leave", "start(function() store():SetAsync('key', 'defaults') end)");
    gate.release_reads();
    host.run();
}

#[test]
fn hosts_without_enums_are_given_ours() {
    let (_gate, store) = gated(MemoryBackend::new());
    let host = Host::new(&store.game(1), Kind::Polling);
    let bindings = &host.bindings;
    assert!(bindings.enumeration("Material").is_none() && bindings.enum_item("SortDirection", "Up").is_none());
    host.lua.globals().set("SortDirection", bindings.enumeration("SortDirection")).unwrap();
    host.lua.globals().set("item", bindings.enum_item("SortDirection", "Descending")).unwrap();
    let types = bindings.enumeration("DataStoreRequestType");
    host.lua.globals().set("DataStoreRequestType", types).unwrap();
    host.start(
        "enums",
        r#"
        assert(rawequal(SortDirection.Descending, item), "one userdata each")
        assert(typeof(item) == "EnumItem" and typeof(SortDirection) == "Enum")
        assert(item.Name == "Descending" and item.Value == 1 and item.EnumType == SortDirection)
        assert(tostring(item) == "Enum.SortDirection.Descending" and tostring(SortDirection) == "SortDirection")
        local items = DataStoreRequestType:GetEnumItems()
        assert(#items == 17 and items[10] == DataStoreRequestType.StandardRead and items[17].Value == 16)
        raises('Up is not a valid member of "Enum.SortDirection"', function() return SortDirection.Up end)
        raises('Up is not a valid member of "Enum.SortDirection"', function() SortDirection.Up = 1 end)
        raises('Up is not a valid member of "Enum.SortDirection.Descending"', function() return item.Up end)
        raises('Up is not a valid member of "Enum.SortDirection.Descending"', function() item.Up = 1 end)
        raises("Unable to assign property Value. Property is read only", function() item.Value = 1 end)
        raises("Expected ':' not '.' calling member function GetEnumItems", SortDirection.GetEnumItems)
        "#,
    );
}
