//! The cache of `GetAsync` in both of its forms, with a clock that scripts move, and another server that writes.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::{Config, Game};
use clawstore_core::entry::Attributes;
use clawstore_core::ops::{Request, Set};
use clawstore_core::versioning::{Retention, Versioning};
use clawstore_core::{EntryKey, StoreId, StoreKind};
use clawstore_lua::{Cache, Options, encode};
use clawstore_testkit::{GatedBackend, ManualClock, MemoryBackend};
use host::{Host, Kind, Store};
use place::Place;

/// Writes to the store that the spec is about, as no VM of it does.
fn write(store: &Store, game: &Arc<Game>, key: &str, value: &mlua::Value) {
    let cached = Arc::new(StoreId::new(game.id(), StoreKind::Standard, b"Cached", b"global").unwrap());
    let key = EntryKey::new(&cached, key.as_bytes()).unwrap();
    let set = Set { value: encode(value).unwrap().value, attributes: Attributes::default() };
    store.runtime.block_on(game.call(&key, Request::Set(set))).unwrap();
}

fn run(cache: Cache, kind: Kind) {
    let clock = Arc::new(ManualClock::default());
    let config = Config { versioning: Versioning::all(Retention::EveryWrite), ..Config::default() };
    let (store, _) = Store::at(&Place::memory(), Arc::clone(&clock) as _, config);
    let game = store.game(1);
    let host = Host::with_options(&game, kind, Options { cache, ..Options::default() });
    let globals = host.lua.globals();
    globals.set("strict", cache == Cache::Strict).unwrap();
    let moved = Arc::clone(&clock);
    let advance = move |_: &mlua::Lua, seconds: f64| {
        moved.advance(Duration::from_secs_f64(seconds));
        Ok(())
    };
    globals.set("advance", host.lua.create_function(advance).unwrap()).unwrap();
    let writes = move |_: &mlua::Lua, (key, value): (String, mlua::Value)| {
        write(&store, &game, &key, &value);
        Ok(())
    };
    globals.set("write", host.lua.create_function(writes).unwrap()).unwrap();
    host.start("get_async_cache", include_str!("luau/get_async_cache.luau"));
    host.run();
}

#[test]
fn strict() {
    run(Cache::Strict, Kind::Polling);
    run(Cache::Strict, Kind::Scheduler);
}

#[test]
fn fresh() {
    run(Cache::Fresh, Kind::Polling);
    run(Cache::Fresh, Kind::Scheduler);
}

#[test]
fn a_value_is_not_shown_from_the_cache_while_the_vm_replaces_it() {
    let gate = Arc::new(GatedBackend::new(Arc::new(MemoryBackend::new())));
    let store = Store::open(Arc::clone(&gate) as _);
    let host =
        Host::with_options(&store.game(1), Kind::Scheduler, Options { cache: Cache::Strict, ..Options::default() });
    host.start("first", "s = store() s:SetAsync('k', 1) assert(s:GetAsync('k') == 1)");
    host.run();
    for (write, found) in [
        ("s:SetAsync('k', 2)", "2"),
        ("s:IncrementAsync('k', 1)", "3"),
        ("s:UpdateAsync('k', function(old) return old + 1 end)", "4"),
        ("s:RemoveAsync('k')", "nil"),
    ] {
        gate.hold();
        // The first read is older than the write: it ends later, and what it brings is older too.
        let script = format!(
            "local uncached = DataStoreGetOptions()
            uncached.UseCache = false
            start(function() s:GetAsync('k', uncached) end)
            start(function() {write} end)
            got = nil
            got = tostring(s:GetAsync('k'))"
        );
        host.start("write", &script);
        host.tick();
        assert!(host.global("got").is_nil(), "the write is not durable");
        gate.release();
        host.run();
        assert_eq!(host.lua.globals().get::<String>("got").unwrap(), found);
    }
}

/// In both forms: what is closed or deleted is not shown, however fresh it is.
#[test]
fn a_game_that_takes_no_calls_shows_nothing_from_the_cache() {
    for cache in [Cache::Strict, Cache::Fresh] {
        let store = Store::on(&Place::memory());
        let host = Host::with_options(&store.game(1), Kind::Scheduler, Options { cache, ..Options::default() });
        host.start("save", "store():SetAsync('k', 1) assert(store():GetAsync('k') == 1)");
        host.run();
        store.drain();
        host.start("load", "raises_with('401: ', function() return store():GetAsync('k') end) done = true");
        host.run();
        assert!(host.global("done").as_boolean().unwrap());
    }
}
