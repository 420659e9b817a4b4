//! Trees of scripts: where they come to stand, which of them run, and `require`.

use clawstore_luau::{Level, Node, PropertyValue, RuntimeError, ScriptState, Source};

use crate::harness::World;

fn node(class: &str, name: &str, children: Vec<Node>) -> Node {
    Node { name: name.to_owned(), class: class.to_owned(), properties: Vec::new(), source: None, children }
}

fn script(class: &str, name: &str, text: &str) -> Node {
    let source = Some(Source { text: text.to_owned(), chunk: String::new() });
    Node { source, ..node(class, name, Vec::new()) }
}

fn main_script(text: &str) -> Node {
    script("Script", "Main", text)
}

fn module(name: &str, text: &str) -> Node {
    script("ModuleScript", name, text)
}

fn place(in_server_script_service: Vec<Node>) -> Node {
    node("DataModel", "Game", vec![node("ServerScriptService", "ServerScriptService", in_server_script_service)])
}

/// Loads these into `ServerScriptService`; all scripts must come to their end.
fn run(nodes: Vec<Node>) -> World {
    let mut world = World::new();
    for id in world.runtime.load_tree(&place(nodes)).unwrap() {
        assert_eq!(world.finish(id, 10), ScriptState::Finished, "{:#?}", world.texts(Level::Error));
    }
    world
}

fn with_property(mut node: Node, name: &str, value: PropertyValue) -> Node {
    node.properties.push((name.to_owned(), value));
    node
}

#[test]
fn services_are_those_of_the_game_and_the_rest_stands_where_it_was_put() {
    let mut world = World::new();
    let check = "assert(script:GetFullName() == 'ServerScriptService.Main')
                 local folder = game:GetService('ReplicatedStorage').Things
                 assert(folder.ClassName == 'Folder' and folder.Flag.Value == true and folder.Amount.Value == 3)
                 assert(folder.Text.Value == 'hello' and folder.Odd.ClassName == 'NobodyKnowsThis')
                 assert(workspace.Terrain:FindFirstChild('Inside') and #workspace:GetChildren() == 1)
                 assert(game.StarterPlayer.StarterPlayerScripts.Client.ClassName == 'LocalScript')
                 assert(workspace.SignalBehavior == Enum.SignalBehavior.Deferred)";
    let things = vec![
        with_property(node("BoolValue", "Flag", vec![]), "Value", PropertyValue::Bool(true)),
        with_property(node("NumberValue", "Amount", vec![]), "Value", PropertyValue::Number(3.0)),
        with_property(node("StringValue", "Text", vec![]), "Value", PropertyValue::Text("hello".to_owned())),
        with_property(node("NobodyKnowsThis", "Odd", vec![]), "Shine", PropertyValue::Number(1.0)),
    ];
    let workspace =
        node("Workspace", "Workspace", vec![node("Terrain", "Terrain", vec![node("Folder", "Inside", vec![])])]);
    let client = script("LocalScript", "Client", "error('a client')");
    let player = node(
        "StarterPlayer",
        "StarterPlayer",
        vec![node("StarterPlayerScripts", "StarterPlayerScripts", vec![client])],
    );
    let root = node(
        "DataModel",
        "Anything",
        vec![
            with_property(workspace, "SignalBehavior", PropertyValue::Text("Deferred".to_owned())),
            node("ReplicatedStorage", "ReplicatedStorage", vec![node("Folder", "Things", things)]),
            player,
            node("ServerScriptService", "ServerScriptService", vec![main_script(check)]),
        ],
    );
    let scripts = world.runtime.load_tree(&root).unwrap();
    assert_eq!(scripts.len(), 1);
    assert_eq!(world.runtime.script_state(scripts[0]), ScriptState::Finished, "{:#?}", world.texts(Level::Error));
}

#[test]
fn scripts_start_in_tree_order_after_the_whole_tree_is_built() {
    let first =
        node("Folder", "A", vec![script("Script", "First", "print('first') assert(script.Parent.Parent.Z.Last)")]);
    let with_child = Node {
        children: vec![script("Script", "Third", "print('third') assert(script.Parent.Name == 'Second')")],
        ..script("Script", "Second", "print('second') mine = 1")
    };
    let last = node("Folder", "Z", vec![script("Script", "Last", "print('last') assert(mine == nil)")]);
    let off = with_property(script("Script", "Off", "error('is disabled')"), "Disabled", PropertyValue::Bool(true));
    let world = run(vec![first, with_child, off, script("LocalScript", "Client", "error('is a client')"), last]);
    assert_eq!(world.texts(Level::Print), ["first", "second", "third", "last"]);
}

#[test]
fn scripts_in_stores_do_not_run_but_a_tree_without_a_game_does() {
    let mut world = World::new();
    let stored = node("ServerStorage", "ServerStorage", vec![main_script("error('in a store')")]);
    assert!(world.runtime.load_tree(&node("DataModel", "Game", vec![stored])).unwrap().is_empty());
    let context = |name: &str, context: &str| {
        let text = format!("print('{name}', script.RunContext.Name)");
        with_property(script("Script", name, &text), "RunContext", PropertyValue::Text(context.to_owned()))
    };
    let stored = node("ReplicatedStorage", "ReplicatedStorage", vec![context("A", "Server"), context("B", "Client")]);
    let placed =
        node("ServerScriptService", "ServerScriptService", vec![context("C", "Client"), context("D", "Legacy")]);
    world.runtime.load_tree(&node("DataModel", "Game", vec![stored, placed])).unwrap();
    assert_eq!(world.texts(Level::Print), ["A Server", "D Legacy"]);
    world.lines.borrow_mut().clear();
    let package = node("Folder", "Package", vec![main_script("print(script:GetFullName())")]);
    assert_eq!(world.runtime.load_tree(&package).unwrap().len(), 1);
    assert_eq!(world.texts(Level::Print), ["ServerScriptService.Package.Main"]);
}

#[test]
fn a_script_that_does_not_compile_stops_all_from_starting() {
    let mut world = World::new();
    let bad = script("Script", "Bad", "local x = 1\nlocal = 2");
    let error = world.runtime.load_tree(&place(vec![main_script("print('ran')"), bad])).unwrap_err();
    assert!(matches!(&error, RuntimeError::Load { name, .. } if name == "ServerScriptService.Bad"), "{error}");
    assert!(error.to_string().starts_with("ServerScriptService.Bad:2:"), "{error}");
    assert!(world.texts(Level::Print).is_empty());
}

#[test]
fn errors_name_the_script_and_its_line() {
    let mut world = World::new();
    let named = Node {
        source: Some(Source { text: "error('x')".to_owned(), chunk: "src/main.server.luau".to_owned() }),
        ..main_script("")
    };
    let ids = world.runtime.load_tree(&place(vec![main_script("\nerror('boom')"), named])).unwrap();
    assert_eq!(world.runtime.script_state(ids[0]), ScriptState::Failed);
    let expected = [
        "ServerScriptService.Main:2: boom\n  ServerScriptService.Main:2",
        "src/main.server.luau:1: x\n  src/main.server.luau:1",
    ];
    assert_eq!(world.texts(Level::Error), expected);
}

#[test]
fn a_module_runs_once_in_its_own_environment_without_a_yield_of_the_requirer() {
    let counted = "_G.runs = (_G.runs or 0) + 1
                   own = 'of the module'
                   assert(script.Name == 'Counted' and getfenv(1).script == script)
                   return { script = script, reads = function() return own, getfenv(1).script end }";
    let main = "local result
                local thread = coroutine.create(function() result = require(script.Parent.Counted) end)
                coroutine.resume(thread)
                assert(coroutine.status(thread) == 'dead', 'the requirer yielded')
                assert(require(script.Parent.Counted) == result and _G.runs == 1)
                assert(own == nil and select(1, result.reads()) == 'of the module')
                assert(getfenv(result.reads).script == script.Parent.Counted)
                assert(getfenv(result.reads) ~= getfenv(1))
                setfenv(result.reads, { own = 'replaced', getfenv = getfenv })
                assert(result.reads() == 'replaced')
                local proxy = setmetatable({}, { __index = function() return require(script.Parent.Counted) end })
                assert(proxy.x == result, 'require works where nothing can yield')";
    run(vec![main_script(main), module("Counted", counted)]);
}

#[test]
fn concurrent_requirers_wait_for_a_module_that_yields() {
    let slow = "_G.runs = (_G.runs or 0) + 1 task.wait(0.1) return { time() }";
    let main = "local results = {}
                for index = 1, 3 do
                    task.spawn(function() results[index] = require(script.Parent.Slow) end)
                end
                local foreign = coroutine.create(function() results[4] = require(script.Parent.Slow) end)
                coroutine.resume(foreign)
                coroutine.resume(foreign, 'noise')
                local cancelled = task.spawn(function() results[5] = require(script.Parent.Slow) end)
                task.cancel(cancelled)
                assert(next(results) == nil)
                local mine = require(script.Parent.Slow)
                assert(_G.runs == 1 and mine[1] >= 0.1)
                task.wait()
                for index = 1, 4 do assert(results[index] == mine, index) end
                assert(results[5] == nil)
                local ok, message = pcall(require, script.Parent.Slow)
                assert(ok and message == mine)";
    run(vec![main_script(main), module("Slow", slow)]);
}

#[test]
fn the_first_requirer_may_be_cancelled_and_the_module_still_loads() {
    let main = "local first = task.spawn(require, script.Parent.Slow)
                task.cancel(first)
                assert(require(script.Parent.Slow) == 'loaded')";
    run(vec![main_script(main), module("Slow", "task.wait(0.1) return 'loaded'")]);
}

#[test]
fn a_module_that_fails_is_reported_once_and_fails_every_requirer() {
    let main = "local FAILED = 'Requested module experienced an error while loading'
                for _, name in { 'Raises', 'Late', 'Syntax', 'None', 'Two' } do
                    for _ = 1, 2 do
                        local ok, message = pcall(require, script.Parent[name])
                        assert(not ok and message == FAILED, name .. ': ' .. tostring(message))
                    end
                end
                assert(require(script.Parent.Nil) == nil and require(script.Parent.False) == false)";
    let world = run(vec![
        main_script(main),
        module("Raises", "local function deep() error('at once') end\ndeep()"),
        module("Late", "task.wait(0.05) error({ code = 1 })"),
        module("Syntax", "return ="),
        module("None", "local x = 1"),
        module("Two", "return 1, 2"),
        module("Nil", "return nil"),
        module("False", "return false"),
    ]);
    let errors = world.texts(Level::Error);
    assert_eq!(errors.len(), 5, "{errors:#?}");
    let expected = "ServerScriptService.Raises:1: at once\n  ServerScriptService.Raises:1 function deep\n  ServerScriptService.Raises:2";
    assert_eq!(errors[0], expected);
    assert!(errors[1].starts_with("table: "), "{errors:#?}");
    assert!(errors[2].starts_with("ServerScriptService.Syntax:1:"), "{errors:#?}");
    assert_eq!(errors[3], "Module code did not return exactly one value");
    assert_eq!(errors[4], "Module code did not return exactly one value");
}

#[test]
fn cyclic_requires_are_found_also_when_modules_yield() {
    let recursive = "'Requested module was required recursively'";
    let main = "assert(require(script.Parent.A) == 'a')
                assert(require(script.Parent.SlowA) == 'slow a')
                assert(require(script.Parent.Itself) == 'itself')";
    let b = format!(
        "local ok, message = pcall(require, script.Parent.A) assert(not ok and message == {recursive}, message) return 'b'"
    );
    let slow_b = b.replace("script.Parent.A", "script.Parent.SlowA");
    let itself = b.replace("script.Parent.A", "script").replace("'b'", "'itself'");
    run(vec![
        main_script(main),
        module("A", "assert(require(script.Parent.B) == 'b') return 'a'"),
        module("B", &b),
        module("SlowA", "task.wait(0.05) assert(require(script.Parent.SlowB) == 'b') return 'slow a'"),
        module("SlowB", &format!("task.wait(0.05) {slow_b}")),
        module("Itself", &itself),
    ]);
}

#[test]
fn modules_are_found_by_path_too() {
    let main = "assert(require('./Sibling') == 'sibling' and require('@self/Child') == 'child')
                assert(require('@game/ReplicatedStorage/Deep/Module') == 'deep')
                assert(not pcall(require, './Nobody') and not pcall(require, 'Sibling'))
                local ok, message = pcall(function() require('./Nobody') end)
                assert(string.find(message, 'Attempted to call require with invalid argument(s).', 1, true), message)";
    let main = Node { children: vec![module("Child", "return 'child'")], ..main_script(main) };
    let deep = node("Folder", "Deep", vec![module("Module", "return 'deep'")]);
    let root = node(
        "DataModel",
        "Game",
        vec![
            node("ReplicatedStorage", "ReplicatedStorage", vec![deep]),
            node("ServerScriptService", "ServerScriptService", vec![main, module("Sibling", "return 'sibling'")]),
        ],
    );
    let mut world = World::new();
    let ids = world.runtime.load_tree(&root).unwrap();
    assert_eq!(world.runtime.script_state(ids[0]), ScriptState::Finished, "{:#?}", world.texts(Level::Error));
    let single = world.runtime.run_script("single", "assert(require(script.Parent.Sibling) == 'sibling')").unwrap();
    assert_eq!(world.runtime.script_state(single), ScriptState::Finished, "{:#?}", world.texts(Level::Error));
}

#[test]
fn a_cloned_module_runs_again() {
    let main = "local first = require(script.Parent.Module)
                local twin = script.Parent.Module:Clone()
                assert(require(twin) ~= first and require(script.Parent.Module) == first)";
    run(vec![main_script(main), module("Module", "return {}")]);
}
