//! Scripts that misbehave harm themselves, and a server that has some still ends in order.

use crate::support::{Ended, Place};

/// A script that does its work whatever the others do.
const GOOD: &str = "
    local store = game:GetService('DataStoreService'):GetDataStore('S')
    game:BindToClose(function() store:SetAsync('at close', 'saved') print('closed') end)
    for i = 1, 20 do
        store:SetAsync('steps', i)
        task.wait(0.05)
    end
    print('good is done')
";

fn beside(bad: &str, options: &[&str]) -> Ended {
    let place = Place::new();
    place.script("game/a.server.luau", bad);
    place.script("game/b.server.luau", GOOD);
    let mut arguments = vec!["run", "game", "--db", "db", "--no-status", "--max-real", "60", "--until", "good is done"];
    arguments.extend(options);
    let ended = place.ended(&arguments);
    assert!(ended.out.contains("good is done") && ended.out.contains("closed"), "{}\n{}", ended.out, ended.err);
    assert_eq!(place.get("S", "steps").out, "20\n");
    assert_eq!(place.get("S", "at close").out, "\"saved\"\n");
    ended
}

#[test]
fn one_that_never_yields_is_ended() {
    let limit = ["--script-timeout", "200ms"];
    let ended = beside("task.wait() while true do end", &limit);
    assert!(ended.out.contains("Script timeout: exhausted allowed execution time"), "{}", ended.out);
    beside("task.wait() while true do pcall(function() while true do end end) end", &limit);
    beside("task.spawn(function() while true do end end) task.wait(1000)", &limit);
    beside("game:BindToClose(function() while true do end end) task.wait(1000)", &limit);
    let transform = "
        local store = game:GetService('DataStoreService'):GetDataStore('S')
        store:UpdateAsync('other', function() while true do end end)
    ";
    beside(transform, &limit);
}

#[test]
fn one_that_eats_memory_gets_an_error() {
    let ended = beside(
        "task.wait() local all = {} while true do all[#all + 1] = string.rep('x', 100000) .. #all end",
        &["--script-memory", "64"],
    );
    assert!(ended.out.contains("not enough memory"), "{}", ended.out);
}

#[test]
fn handlers_that_raise_or_disconnect_while_firing_harm_only_themselves() {
    let ended = beside(
        "
        local event = Instance.new('BindableEvent')
        local connections = {}
        connections[1] = event.Event:Connect(function() error('first') end)
        connections[2] = event.Event:Connect(function() connections[3]:Disconnect() connections[2]:Disconnect() end)
        connections[3] = event.Event:Connect(function() print('never') end)
        event.Event:Connect(function() print('fourth') event:Destroy() end)
        event:Fire()
        event:Fire()
        game:GetService('RunService').Heartbeat:Connect(function() error('every frame') end)
        ",
        &[],
    );
    assert!(ended.out.contains("fourth") && !ended.out.contains("never"), "{}", ended.out);
    assert_eq!(ended.out.matches("fourth").count(), 1);
    assert!(ended.out.contains("every frame"));
}

#[test]
fn a_server_ends_however_its_scripts_behave_at_the_end() {
    // 30 simulated seconds for BindToClose, and then it is over.
    let place = Place::new();
    place.script(
        "script.luau",
        "
        game:BindToClose(function() while true do task.wait() end end)
        game:BindToClose(function() coroutine.yield() end)
        game:BindToClose(function() game:BindToClose(function() task.wait(1000) end) end)
    ",
    );
    let arguments = ["run", "script.luau", "--db", "db", "--clock", "sim", "--no-status", "--max-real", "30"];
    place.ended(&arguments).expect(4).says("longer than 30 s");
}

#[test]
fn one_that_makes_calls_without_end_does_not_hold_up_the_server() {
    let loops = "
        local map = game:GetService('MemoryStoreService'):GetHashMap('M')
        while true do map:SetAsync('k', 1, 100) end
    ";
    beside(loops, &[]);
    let place = Place::new();
    let ended = place.run(loops, &["--max-real", "0.5"]);
    ended.expect(0).says("--max-real");
    beside("local messages = game:GetService('MessagingService') while true do messages:PublishAsync('t', 1) end", &[]);
}
