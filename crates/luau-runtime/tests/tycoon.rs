//! The example game on a fake data store: two servers one after the other, and a store that is down.
//!
//! Owns: the store's contents between servers. Does not own: data store semantics, which other crates test.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use clawstore_luau::mlua::{Lua, Table, Value};
use clawstore_luau::{CloseReason, Level};

use crate::harness::{TICKS_PER_SECOND, World};

const GAME: &str = include_str!("../../../examples/luau/tycoon.luau");

#[derive(Clone, Default)]
struct Disk {
    entries: Rc<RefCell<BTreeMap<String, String>>>,
    failing: Rc<Cell<bool>>,
}

impl Disk {
    /// Stored text is a Luau expression; the runtime's own `loadstring` is closed, the test's is not.
    fn table(&self, lua: &Lua) -> Table {
        let disk = lua.create_table().unwrap();
        let entries = Rc::clone(&self.entries);
        let read = move |lua: &Lua, key: String| match entries.borrow().get(&key) {
            Some(text) => lua.load(format!("return {text}")).eval::<Value>(),
            None => Ok(Value::Nil),
        };
        disk.set("read", lua.create_function(read).unwrap()).unwrap();
        let entries = Rc::clone(&self.entries);
        let write = move |_: &Lua, (key, text): (String, Option<String>)| {
            match text {
                Some(text) => entries.borrow_mut().insert(key, text),
                None => entries.borrow_mut().remove(&key),
            };
            Ok(())
        };
        disk.set("write", lua.create_function(write).unwrap()).unwrap();
        let failing = Rc::clone(&self.failing);
        disk.set("failing", lua.create_function(move |_, ()| Ok(failing.get())).unwrap()).unwrap();
        disk
    }

    fn server(&self, start: u64) -> World {
        let mut world = World::with(|options| options.start_time = std::time::Duration::from_secs(start));
        let lua = world.runtime.lua().clone();
        let calls = lua.load("return game:GetService('Calls')").eval::<Table>().unwrap();
        let source = include_str!("luau/support/fake_store.luau");
        let service = lua.load(source).set_name("=fake_store").call::<Table>((self.table(&lua), calls)).unwrap();
        world.runtime.add_service("DataStoreService", Value::Table(service)).unwrap();
        world.runtime.run_script("tycoon", GAME).unwrap();
        world
    }

    fn entry(&self, key: &str) -> String {
        self.entries.borrow().get(key).cloned().unwrap_or_default()
    }
}

/// As the runner does it: joins two seconds apart, twelve seconds of play each, then close.
fn play(world: &mut World) {
    let names = [(1, "Ada"), (2, "Bob"), (3, "Eve")];
    for second in 0..20 {
        for (index, (user_id, name)) in names.into_iter().enumerate() {
            let joins = 2 * index as u64;
            if second == joins {
                assert!(world.runtime.player_joined(user_id, name));
            } else if second == joins + 12 {
                assert!(world.runtime.player_left(user_id));
            }
        }
        world.run_for(1);
    }
    close(world);
}

fn close(world: &mut World) {
    world.runtime.begin_close(CloseReason::ServerEmpty);
    for _ in 0..30 * TICKS_PER_SECOND {
        if world.runtime.closing_done() {
            return;
        }
        world.step();
    }
    panic!("closing took more than 30 s");
}

fn printed(world: &World, text: &str) -> bool {
    world.texts(Level::Print).iter().any(|line| line.contains(text))
}

#[test]
fn players_come_back_with_their_data() {
    let disk = Disk::default();
    let mut first = disk.server(1_700_000_000);
    play(&mut first);
    assert_eq!(first.texts(Level::Error), Vec::<String>::new());
    assert_eq!(first.texts(Level::Warn), Vec::<String>::new());
    for name in ["Ada", "Bob", "Eve"] {
        assert!(printed(&first, &format!("{name} is new here")));
        assert!(printed(&first, &format!("saved {name} (autosave)")));
        assert!(printed(&first, &format!("saved {name} (leaving)")));
        assert!(printed(&first, &format!("{name} was reborn")), "{:#?}", first.texts(Level::Print));
    }
    assert_eq!(disk.entry("/visits"), "3");
    assert!(disk.entry("/total rebirths").parse::<u32>().unwrap() >= 3);
    assert!(disk.entry("TycoonGifts/box").contains("Eve"));
    let left_with = |name: &str, world: &World| {
        let lines = world.texts(Level::Print);
        let mark = format!("{name} left with ");
        lines.iter().find_map(|line| Some(line.split_once(&mark)?.1.to_owned())).unwrap()
    };
    let owned = ["Ada", "Bob", "Eve"].map(|name| left_with(name, &first));

    let mut second = disk.server(1_700_000_100);
    play(&mut second);
    for (name, owned) in ["Ada", "Bob", "Eve"].iter().zip(owned) {
        assert!(printed(&second, &format!("{name} came back with {owned}")), "{:#?}", second.texts(Level::Print));
    }
    assert!(printed(&second, "the latest rebirth was"));
    assert!(printed(&second, "Ada took the $25 that Eve had left"));
    assert_eq!(disk.entry("/visits"), "6");
    assert_eq!(second.texts(Level::Error), Vec::<String>::new());
}

#[test]
fn closing_with_players_in_the_game_saves_them() {
    let disk = Disk::default();
    let mut world = disk.server(1_700_000_000);
    world.runtime.player_joined(1, "Ada");
    world.run_for(3);
    assert_eq!(disk.entry("TycoonProfiles/player_1"), "");
    close(&mut world);
    assert!(disk.entry("TycoonProfiles/player_1").contains("visits"));
    assert!(printed(&world, "every save has ended"));
}

#[test]
fn a_player_whose_load_failed_is_never_saved() {
    let disk = Disk::default();
    let mut first = disk.server(1_700_000_000);
    play(&mut first);
    let saved = disk.entry("TycoonProfiles/player_1");

    disk.failing.set(true);
    let mut second = disk.server(1_700_000_100);
    second.runtime.player_joined(1, "Ada");
    second.run_for(20);
    assert_eq!(second.runtime.players(), [], "kicked");
    disk.failing.set(false);
    second.run_for(20);
    close(&mut second);
    assert_eq!(disk.entry("TycoonProfiles/player_1"), saved);
    assert!(second.texts(Level::Warn).iter().any(|line| line.contains("loading Ada failed for good: 502")));
    assert_eq!(second.texts(Level::Error), Vec::<String>::new());
}

#[test]
fn an_outage_during_play_is_ridden_out() {
    let disk = Disk::default();
    let mut world = disk.server(1_700_000_000);
    world.runtime.player_joined(1, "Ada");
    world.run_for(3);
    disk.failing.set(true);
    world.runtime.player_left(1);
    world.run_for(2);
    assert_eq!(disk.entry("TycoonProfiles/player_1"), "");
    disk.failing.set(false);
    close(&mut world);
    assert!(disk.entry("TycoonProfiles/player_1").contains("visits"));
}

#[test]
fn a_session_that_was_overtaken_elsewhere_saves_nothing_more() {
    let disk = Disk::default();
    let mut world = disk.server(1_700_000_000);
    world.runtime.player_joined(1, "Ada");
    world.run_for(3);
    let other = r#"{["version"]=1,["saves"]=9,["savedBy"]="elsewhere",["cash"]=7}"#;
    disk.entries.borrow_mut().insert("TycoonProfiles/player_1".to_owned(), other.to_owned());
    world.run_for(12);
    assert_eq!(world.runtime.players(), [], "kicked");
    close(&mut world);
    assert_eq!(disk.entry("TycoonProfiles/player_1"), other);
    assert_eq!(world.texts(Level::Error), Vec::<String>::new());
}
