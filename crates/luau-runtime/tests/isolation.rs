//! Bad scripts: each harms itself alone.

use std::time::Duration;

use clawstore_luau::{Level, Node, ScriptState, Source};

use crate::harness::World;

fn impatient() -> World {
    World::with(|options| options.script_timeout = Some(Duration::from_millis(50)))
}

/// A script that goes on beside a bad one.
const HEALTHY: &str = "local beats = 0
    game:GetService('RunService').Heartbeat:Connect(function() beats += 1 end)
    task.wait(0.5)
    assert(beats > 20, beats)
    print('healthy')";

/// Runs the healthy script first and the bad one beside it; returns the errors.
fn beside_a_healthy_one(mut world: World, bad: &str) -> Vec<String> {
    let healthy = world.runtime.run_script("healthy", HEALTHY).unwrap();
    world.runtime.run_script("bad", bad).unwrap();
    assert_eq!(world.finish(healthy, 5), ScriptState::Finished, "{:#?}", world.texts(Level::Error));
    assert_eq!(world.texts(Level::Print), ["healthy"]);
    world.texts(Level::Error)
}

fn assert_timed_out(errors: &[String], times: usize) {
    assert_eq!(errors.len(), times, "{errors:#?}");
    for error in errors {
        let (place, text) = error.split_once(": ").unwrap();
        assert!(place.starts_with("bad:"), "it names the place: {errors:#?}");
        assert!(text.starts_with("Script timeout: exhausted allowed execution time\n  bad:"), "{errors:#?}");
    }
}

#[test]
fn a_script_that_never_yields_is_ended() {
    assert_timed_out(&beside_a_healthy_one(impatient(), "while true do end"), 1);
    assert_timed_out(&beside_a_healthy_one(impatient(), "repeat until string.rep('x', 10) == ''"), 1);
}

#[test]
fn it_cannot_save_itself_with_pcall_or_a_coroutine() {
    assert_timed_out(
        &beside_a_healthy_one(impatient(), "while true do pcall(function() while true do end end) end"),
        1,
    );
    let nested = "while true do coroutine.resume(coroutine.create(function() while true do end end)) end";
    assert_timed_out(&beside_a_healthy_one(impatient(), nested), 1);
}

#[test]
fn nor_with_json() {
    let tables = "local list = {} for _ = 1, 60 do list = { list, list } end
        while true do pcall(function() game:GetService('HttpService'):JSONEncode(list) end) end";
    assert_timed_out(&beside_a_healthy_one(impatient(), tables), 1);
    let once = "local list = {} for _ = 1, 60 do list = { list, list } end
        game:GetService('HttpService'):JSONEncode(list)";
    assert_timed_out(&beside_a_healthy_one(impatient(), once), 1);
}

#[test]
fn so_is_a_handler_a_spawned_thread_and_a_late_one() {
    let spawned = "task.spawn(function() while true do end end) print('healthy') while true do end";
    let mut world = impatient();
    world.runtime.run_script("bad", spawned).unwrap();
    assert_timed_out(&world.texts(Level::Error), 2);
    assert_eq!(world.texts(Level::Print), ["healthy"], "what spawned it goes on");
    assert_timed_out(&beside_a_healthy_one(impatient(), "task.wait(0.1) while true do end"), 1);
    let handler = "game:GetService('RunService').Heartbeat:Once(function() while true do end end)";
    assert_timed_out(&beside_a_healthy_one(impatient(), handler), 1);
    let module = "game:BindToClose(print) task.defer(function() while true do end end)";
    assert_timed_out(&beside_a_healthy_one(impatient(), module), 1);
}

#[test]
fn a_loop_of_threads_that_never_yield_ends_too() {
    let bomb = "while true do task.spawn(function() while true do end end) end";
    assert_timed_out(&beside_a_healthy_one(impatient(), bomb), 9);
}

#[test]
fn an_endless_recursion_is_a_short_report() {
    let errors = beside_a_healthy_one(impatient(), "local function f() return 1 + f() end f()");
    assert!(errors.len() == 1 && errors[0].starts_with("bad:1: stack overflow"), "{errors:.200?}");
    assert!(
        errors[0].lines().count() < 30 && errors[0].contains(" more\n  bad:1"),
        "{} lines",
        errors[0].lines().count()
    );
}

#[test]
fn a_module_that_never_yields_fails_its_requirer() {
    let require = "local module = Instance.new('ModuleScript')
                   local ok, message = pcall(require, script.Loop)
                   assert(message == 'Requested module experienced an error while loading')";
    let mut world = impatient();
    let source = |text: &str| Some(Source { text: text.to_owned(), chunk: "bad".to_owned() });
    let leaf = |name: &str, class: &str, text: &str| Node {
        name: name.to_owned(),
        class: class.to_owned(),
        properties: Vec::new(),
        source: source(text),
        children: Vec::new(),
    };
    let tree =
        Node { children: vec![leaf("Loop", "ModuleScript", "while true do end")], ..leaf("Main", "Script", require) };
    let scripts = world.runtime.load_tree(&tree).unwrap();
    assert_eq!(world.runtime.script_state(scripts[0]), ScriptState::Finished, "{:#?}", world.texts(Level::Error));
    assert_timed_out(&world.texts(Level::Error), 1);
}

#[test]
fn those_who_wait_for_a_module_are_woken_once() {
    let first = "require(script.Parent.Module) task.spawn(_G.second) print('first')";
    let second = "_G.second = coroutine.running() require(script.Parent.Module) print('second')
        coroutine.yield() print('resumed') coroutine.yield() print('woken twice')";
    let node = |name: &str, class: &str, text: &str, children: Vec<Node>| Node {
        name: name.to_owned(),
        class: class.to_owned(),
        properties: Vec::new(),
        source: Some(Source { text: text.to_owned(), chunk: name.to_owned() }),
        children,
    };
    let mut world = World::new();
    let children = vec![
        node("Module", "ModuleScript", "task.wait(0.1) return 1", Vec::new()),
        node("First", "Script", first, Vec::new()),
        node("Second", "Script", second, Vec::new()),
    ];
    world.runtime.load_tree(&node("Root", "Folder", "", children)).unwrap();
    world.run_for(1);
    assert_eq!(world.texts(Level::Print), ["first", "second"], "{:#?}", world.texts(Level::Error));
}

#[test]
fn a_script_that_yields_may_use_more_in_all() {
    let mut world = impatient();
    let source = "local started = os.clock()
                  for _ = 1, 40 do for i = 1, 100000 do local _ = i * i end task.wait() end";
    let script = world.runtime.run_script("patient", source).unwrap();
    assert_eq!(world.finish(script, 10), ScriptState::Finished, "{:#?}", world.texts(Level::Error));
}

#[test]
fn without_a_limit_nothing_is_ended() {
    let mut world = World::with(|options| options.script_timeout = None);
    let script = world.runtime.run_script("long", "for i = 1, 3000000 do local _ = i * i end").unwrap();
    assert_eq!(world.runtime.script_state(script), ScriptState::Finished);
}

#[test]
fn one_that_eats_memory_is_ended() {
    let limited = || World::with(|options| options.memory_limit = Some(16 << 20));
    let errors =
        beside_a_healthy_one(limited(), "local t = {} while true do table.insert(t, string.rep('x', 1000) .. #t) end");
    assert!(errors.len() == 1 && errors[0].contains("not enough memory"), "{errors:#?}");
}

#[test]
fn the_hook_ends_scripts_for_whoever_borrows_the_slot() {
    let mut world = impatient();
    let hook = world.runtime.interrupt();
    let lua = world.runtime.lua().clone();
    lua.remove_interrupt();
    lua.set_interrupt(move |lua| hook(lua));
    world.runtime.run_script("bad", "while true do end").unwrap();
    assert_timed_out(&world.texts(Level::Error), 1);
}
