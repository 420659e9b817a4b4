//! What the driver of a runtime sees: work left, timers, script states, closing, limits.

use std::time::Duration;

use clawstore_luau::mlua::Value;
use clawstore_luau::{CloseReason, Level, PlayerInfo, RuntimeError, ScriptState, StepReport};

use crate::harness::World;

#[test]
fn a_script_that_does_not_compile_is_a_load_error_with_its_line() {
    let mut world = World::new();
    let error = world.runtime.run_script("broken", "local x = 1\nlocal = 2").unwrap_err();
    assert!(matches!(error, RuntimeError::Load { .. }));
    assert!(error.to_string().contains("broken:2:"), "{error}");
}

#[test]
fn the_state_of_a_script_is_that_of_its_own_thread() {
    let mut world = World::new();
    let waits = world.runtime.run_script("waits", "task.wait(0.1)").unwrap();
    let fails = world.runtime.run_script("fails", "task.wait(0.1) error('late')").unwrap();
    let spawns = world.runtime.run_script("spawns", "task.spawn(error, 'not mine')").unwrap();
    assert_eq!(world.runtime.script_state(waits), ScriptState::Running);
    assert_eq!(world.runtime.script_state(fails), ScriptState::Running);
    assert_eq!(world.runtime.script_state(spawns), ScriptState::Finished);
    world.run_for(1);
    assert_eq!(world.runtime.script_state(waits), ScriptState::Finished);
    assert_eq!(world.runtime.script_state(fails), ScriptState::Failed);
    assert_eq!(world.runtime.error_count(), 2);
    assert_eq!(world.texts(Level::Error), ["not mine", "fails:1: late\n  fails:1"]);
    let ended = world.runtime.run_script("ends", "_G.ended = coroutine.running()").unwrap();
    world.runtime.run_script("pokes", "task.spawn(_G.ended)").unwrap();
    assert_eq!(
        world.runtime.script_state(ended),
        ScriptState::Finished,
        "a thread that has ended cannot fail any more"
    );
}

#[test]
fn work_is_left_while_a_timer_a_call_or_a_frame_connection_is() {
    let mut world = World::new();
    assert!(!world.runtime.has_work());
    assert_eq!(world.runtime.next_timer_due(), None);

    world.runtime.run_script("idle", "coroutine.yield()").unwrap();
    world.runtime.run_script("listens", "workspace.ChildAdded:Connect(print)").unwrap();
    assert!(!world.runtime.has_work(), "nothing of this runs again by itself");

    world.runtime.run_script("timer", "task.wait(0.5)").unwrap();
    assert!(world.runtime.has_work());
    assert_eq!(world.runtime.next_timer_due(), Some(Duration::from_millis(500)));
    world.run_for(1);
    assert!(!world.runtime.has_work());

    world.runtime.run_script("call", "game:GetService('Calls').call(3)").unwrap();
    assert!(world.runtime.has_work());
    world.run_for(1);
    assert!(!world.runtime.has_work());

    let source =
        "local c = game:GetService('RunService').Heartbeat:Connect(function() end) task.wait(0.1) c:Disconnect()";
    world.runtime.run_script("heartbeat", source).unwrap();
    world.step();
    assert!(world.runtime.has_work());
    world.run_for(1);
    assert!(!world.runtime.has_work());

    world.runtime.run_script("cancelled", "task.cancel(task.delay(100, print))").unwrap();
    assert!(!world.runtime.has_work());
}

#[test]
fn a_step_reports_what_it_did() {
    let mut world = World::new();
    let source = "task.spawn(game:GetService('Calls').call, 1)
                  task.delay(0, error, 'x')
                  task.delay(0, task.defer, print)";
    world.runtime.run_script("mixed", source).unwrap();
    assert_eq!(world.step(), StepReport { completed_calls: 1, timers: 2, deferred: 1, errors: 1 });
    assert_eq!(world.step(), StepReport::default());
}

#[test]
fn completed_calls_can_be_resumed_between_ticks() {
    let mut world = World::new();
    let source = "local Calls = game:GetService('Calls')
                  for i = 1, 3 do Calls.call(0) print(i) end
                  task.defer(print, 'deferred')
                  task.delay(0, print, 'timer')";
    world.runtime.run_script("unpaced", source).unwrap();
    let rounds = (0..10).take_while(|_| world.runtime.resume_completed() > 0).count();
    assert_eq!(rounds, 3);
    assert_eq!(world.texts(Level::Print), ["1", "2", "3", "deferred"], "no timer runs between ticks");
    world.step();
    assert_eq!(world.texts(Level::Print).last().map(String::as_str), Some("timer"));
}

#[test]
fn players_are_those_in_the_game() {
    let world = World::new();
    assert!(world.runtime.player_joined(1, "Ada"));
    assert!(!world.runtime.player_joined(1, "Ada"));
    assert!(world.runtime.player_joined(2, "Bob"));
    let player = |user_id, name: &str| PlayerInfo { user_id, name: name.to_owned() };
    assert_eq!(world.runtime.players(), [player(1, "Ada"), player(2, "Bob")]);
    assert!(world.runtime.player_left(1));
    assert!(!world.runtime.player_left(1));
    assert_eq!(world.runtime.players(), [player(2, "Bob")]);
}

#[test]
fn closing_is_done_when_every_function_has_ended() {
    let mut world = World::new();
    let source = "game:BindToClose(function() task.wait(0.5) end) game:BindToClose(function() error('x') end)";
    world.runtime.run_script("closes", source).unwrap();
    assert!(!world.runtime.closing_done(), "not begun");
    world.runtime.begin_close(CloseReason::DeveloperShutdown);
    assert!(!world.runtime.closing_done());
    world.runtime.begin_close(CloseReason::DeveloperShutdown);
    world.run_for(1);
    assert!(world.runtime.closing_done());
    assert_eq!(world.runtime.error_count(), 1, "each function ran once");
}

#[test]
fn a_server_without_close_functions_is_done_at_once() {
    let world = World::new();
    world.runtime.begin_close(CloseReason::Unknown);
    assert!(world.runtime.closing_done());
}

#[test]
fn a_purchase_reaches_the_receipt_callback() {
    let mut world = World::new();
    assert!(!world.runtime.purchase(1, 2, "p"), "nobody processes receipts");
    let source = "game:GetService('MarketplaceService').ProcessReceipt = function(receipt)
                      task.wait(0.1)
                      print(receipt.PlayerId, receipt.ProductId, receipt.PurchaseId, receipt.CurrencyType)
                      return Enum.ProductPurchaseDecision.PurchaseGranted
                  end";
    world.runtime.run_script("shop", source).unwrap();
    assert!(world.runtime.purchase(1, 2, "p"));
    world.run_for(1);
    assert_eq!(world.texts(Level::Print), ["1 2 p Enum.CurrencyType.Robux"]);
}

#[test]
fn close_fires_once_after_the_functions_of_bind_to_close() {
    let mut world = World::new();
    let source = "game.Close:Connect(function() print('closed') end)
                  game:BindToClose(function() task.wait(0.1) print('bound') end)";
    world.runtime.run_script("closes", source).unwrap();
    world.runtime.begin_close(CloseReason::ServerEmpty);
    while !world.runtime.closing_done() {
        world.step();
    }
    assert!(world.runtime.closing_done());
    assert_eq!(world.texts(Level::Print), ["bound", "closed"]);
}

#[test]
fn the_seed_decides_all_that_is_random() {
    let draw = |seed| {
        let mut world = World::with(|options| options.random_seed = seed);
        let source = "print(math.random(), Random.new():NextNumber(), game:GetService('HttpService'):GenerateGUID())";
        world.runtime.run_script("draws", source).unwrap();
        world.texts(Level::Print).remove(0)
    };
    assert_eq!(draw(Some(7)), draw(Some(7)));
    assert_ne!(draw(Some(7)), draw(Some(8)));
    assert_ne!(draw(None), draw(None));
}

#[test]
fn services_and_classes_come_from_outside() {
    let mut world = World::new();
    let lua = world.runtime.lua().clone();
    let service = lua.create_table().unwrap();
    service.set("answer", 42).unwrap();
    world.runtime.add_service("OutsideService", Value::Table(service)).unwrap();
    let constructor = lua.create_function(|lua, ()| lua.create_string("made outside")).unwrap();
    world.runtime.add_class("OutsideOptions", constructor).unwrap();
    let source = "local s = game:GetService('OutsideService')
                  assert(s.answer == 42 and s == game:GetService('OutsideService') and game.OutsideService == s)
                  assert(Instance.new('OutsideOptions') == 'made outside')";
    let script = world.runtime.run_script("outside", source).unwrap();
    assert_eq!(world.runtime.script_state(script), ScriptState::Finished, "{:?}", world.texts(Level::Error));
}

#[test]
fn studio_is_an_option() {
    let mut world = World::with(|options| options.studio = true);
    let script = world.runtime.run_script("studio", "assert(game:GetService('RunService'):IsStudio())").unwrap();
    assert_eq!(world.runtime.script_state(script), ScriptState::Finished);
}

#[test]
fn json_that_does_not_fit_is_an_error_as_a_string() {
    let mut world = World::with(|options| options.memory_limit = Some(8 << 20));
    let source = "local json = '[' .. string.rep('[],', 400000) .. '0]'
                  local ok, message = pcall(function() game:GetService('HttpService'):JSONDecode(json) end)
                  print(ok, type(message), message)";
    world.runtime.run_script("decodes", source).unwrap();
    assert_eq!(world.texts(Level::Print), ["false string decodes:2: not enough memory"]);
}

#[test]
fn memory_is_limited_and_the_server_survives() {
    let mut world = World::with(|options| options.memory_limit = Some(8 << 20));
    let source = "local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1000) .. i end";
    let script = world.runtime.run_script("greedy", source).unwrap();
    assert_eq!(world.runtime.script_state(script), ScriptState::Failed);
    assert!(world.texts(Level::Error)[0].contains("not enough memory"), "{:?}", world.texts(Level::Error));
    let modest = world.runtime.run_script("modest", "task.wait() print('alive')").unwrap();
    assert_eq!(world.finish(modest, 1), ScriptState::Finished);
    assert!(world.runtime.memory_used() <= 8 << 20);
}

#[test]
fn what_a_failed_script_held_is_freed() {
    let mut world = World::new();
    for source in ["local t = table.create(1e6, 1) error('x')", "local t = table.create(1e6, 1) task.wait() error('x')"]
    {
        let script = world.runtime.run_script("holds", source).unwrap();
        assert_eq!(world.finish(script, 1), ScriptState::Failed);
    }
    world.runtime.lua().gc_collect().unwrap();
    let used = world.runtime.memory_used();
    assert!(used < 8 << 20, "{used} bytes: a table of 16 MB is still held");
}

#[test]
fn abandoned_instances_and_threads_are_collected() {
    let mut world = World::new();
    // A handler or waiting thread that refers to its own Instance keeps it until Destroy, as on Roblox.
    let source = "local function litter()
                      for _ = 1, 200 do
                          local folder = Instance.new('Folder')
                          local value = Instance.new('StringValue', folder)
                          value.Value = string.rep('x', 500) .. tostring(folder)
                          value.Changed:Connect(function() end)
                          local event = Instance.new('BindableEvent')
                          task.spawn(function() event.Event:Wait() end)
                          event.Event:Connect(function() print(event) end)
                          event:Destroy()
                      end
                  end
                  while true do litter() task.wait() end";
    world.runtime.run_script("litter", source).unwrap();
    world.run_for(3);
    // Each link of a chain (folder, child, its signal, the handler) takes one collection.
    for _ in 0..8 {
        world.runtime.lua().gc_collect().unwrap();
    }
    let used = world.runtime.memory_used();
    assert!(used < 8 << 20, "{used} bytes are left of more than 40 MB that went through");
}

#[test]
fn a_thousand_waiting_threads_wake_every_tick() {
    let mut world = World::new();
    let source = "for _ = 1, 1000 do task.spawn(function() while true do task.wait() end end) end";
    world.runtime.run_script("crowd", source).unwrap();
    for _ in 0..10 {
        assert_eq!(world.step().timers, 1000);
    }
}
