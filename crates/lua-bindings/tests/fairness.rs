//! Calls that wait for their share while memory permits are short (`decisions.md` 14, 22): what becomes of them, and how much
//! may wait.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::sync::Arc;

use clawstore_actors::Config;
use clawstore_core::backend::Backend;
use clawstore_core::limits::Limits;
use clawstore_lua::Options;
use clawstore_testkit::{GatedBackend, MemoryBackend};
use host::{Host, Kind, Store};

/// A store whose commits are held, with so many bytes for what is on its way.
struct World {
    gate: Arc<GatedBackend>,
    store: Store,
}

impl World {
    fn new(pending_bytes_per_game: usize) -> Self {
        let gate = Arc::new(GatedBackend::new(Arc::new(MemoryBackend::default())));
        let config = Config { limits: Limits::Fair, pending_bytes_per_game, ..Config::default() };
        let store = Store::open_with(Arc::clone(&gate) as _, config);
        gate.hold();
        Self { gate, store }
    }

    fn host(&self) -> Host {
        Host::with_options(&self.store.game(1), Kind::Scheduler, Options::default())
    }
}

/// Keys `k1`, `k2` and so on of which something is stored.
fn stored(backend: &Arc<GatedBackend>, keys: usize) -> f64 {
    let store = Store::open_with(Arc::clone(backend) as Arc<dyn Backend>, Config::default());
    let host = Host::new(&store.game(1), Kind::Scheduler);
    let script = format!(
        "found = 0
        for n = 1, {keys} do
            if DataStoreService:GetDataStore('S'):GetAsync('k' .. n) then
                found += 1
            end
        end"
    );
    host.start("count", &script);
    host.run();
    host.number("found")
}

const SAVES: &str = "store, refused = DataStoreService:GetDataStore('S'), {}
    function save(calls, bytes)
        for n = 1, calls do
            start(function()
                local ok, text = pcall(store.SetAsync, store, 'k' .. n, string.rep('x', bytes))
                if not ok then
                    table.insert(refused, text)
                end
            end)
        end
    end";

#[test]
fn a_vm_that_goes_saves_what_waits_for_its_share() {
    let world = World::new(1 << 20);
    let host = world.host();
    host.lua.load(SAVES).exec().unwrap();
    // More than may be on its way: most of it waits.
    host.start("saves", "save(15, 100000)");
    assert_eq!(host.lua.load("return #refused").eval::<usize>().unwrap(), 0);
    drop(host);
    world.gate.release();
    world.store.drain();
    assert_eq!(stored(&world.gate, 15), 15.0);
}

#[test]
fn what_waits_for_its_share_holds_no_more_than_what_is_on_its_way() {
    let world = World::new(1 << 20);
    let host = world.host();
    host.lua.load(SAVES).exec().unwrap();
    host.start("saves", "save(60, 100000)");
    let (refused, text) = host.lua.load("return #refused, refused[1]").eval::<(usize, String)>().unwrap();
    assert!((40..60).contains(&refused), "at most ten on their way, at most ten wait: {refused}");
    assert!(text.contains("Too much data is waiting to be saved") && text.contains("(not applied)"), "{text}");
    world.gate.release();
    host.run();
    world.store.drain();
    assert_eq!(stored(&world.gate, 60), (60 - refused) as f64);
}

/// What an update costs is known when its transform has run: it waits then as other writes do, in its place.
#[test]
fn an_update_waits_for_room_for_what_it_writes() {
    let world = World::new(1 << 20);
    world.gate.release();
    let host = world.host();
    host.lua.load(SAVES).exec().unwrap();
    host.start("first", "store:SetAsync('u', 1) store:SetAsync('v', 1)");
    host.run();
    world.gate.hold();
    let script = "runs, ended = 0, {}
        save(6, 100000)
        function update(key)
            start(function()
                table.insert(ended, { pcall(store.UpdateAsync, store, key, function(old)
                    runs += 1
                    seen = old
                    return string.rep('x', 460000)
                end) })
            end)
        end
        update('u')
        update('v')
        start(function() store:SetAsync('u', 'before') end)
        update('u')";
    host.start("updates", script);
    for _ in 0..10 {
        std::thread::park_timeout(std::time::Duration::from_millis(5));
        host.tick();
    }
    let (ended, runs) = host.lua.load("return #ended, runs").eval::<(usize, usize)>().unwrap();
    assert_eq!(ended, 0);
    assert_eq!(runs, 2, "a transform runs again when there is room for what it has returned");
    world.gate.release();
    host.run();
    let script = "for _, it in ended do
            assert(it[1], it[2])
        end
        assert(#ended == 3 and #refused == 0 and seen == 'before')
        assert(#store:GetAsync('u') == 460000 and #store:GetAsync('v') == 460000)
        checked = 1";
    host.start("check", script);
    host.run();
    assert_eq!(host.number("checked"), 1.0);
}
