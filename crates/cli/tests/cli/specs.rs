//! `clawstore test`: what specs can ask for, and what is told of those that fail.

use crate::support::{Ended, Place};

const GAME: &str = "
    local store = game:GetService('DataStoreService'):GetDataStore('Coins')
    game.Players.PlayerAdded:Connect(function(player)
        store:UpdateAsync(tostring(player.UserId), function(coins) return (coins or 0) + 1 end)
    end)
";

fn tests(body: &str, options: &[&str]) -> Ended {
    let place = Place::new();
    place.script("specs/server.luau", GAME);
    let head = "local store = game:GetService('DataStoreService'):GetDataStore('Coins')\n";
    place.script("specs/coins.spec.luau", &format!("{head} return function(test) {body} end"));
    let mut arguments = vec!["test", "specs"];
    arguments.extend(options);
    place.ended(&arguments)
}

#[test]
fn each_test_has_an_empty_store_and_its_own_time() {
    let ended = tests(
        "test('one', function() store:SetAsync('a', 1) task.wait(100) end)
         test('two', function() assert(store:GetAsync('a') == nil and time() < 1) end)",
        &[],
    );
    ended.expect(0);
    assert!(ended.out.contains("✓ one") && ended.out.contains("2 passed, 0 failed"), "{}", ended.out);
}

#[test]
fn a_failure_says_where_and_what_was_printed_and_how_to_see_it_again() {
    let ended = tests(
        "test('works', function() end)
         test('breaks', function() print('before') assert(store:GetAsync('a') == 5, 'no coins') end)",
        &["--seed", "3"],
    );
    ended.expect(1);
    for part in
        ["✗ breaks", "coins.spec.luau:3: no coins", "[spec] before", "--seed 3 --only '^breaks$'", "1 passed, 1 failed"]
    {
        assert!(ended.out.contains(part), "{part} is not in:\n{}", ended.out);
    }
}

#[test]
fn servers_and_players_are_the_tests_to_start_and_end() {
    let ended = tests(
        "test('players', function(t)
            t.start('A', 'server.luau')
            t.join('A', 42, 'Bob')
            t.eventually(5, function() return store:GetAsync('42') == 1 end)
            t.kill('A')
            t.start('B', 'server.luau')
            t.join('B', 42)
            t.eventually(5, function() return store:GetAsync('42') == 2 end)
            t.leave('B', 42)
            t.close('B')
         end)
         test('refused', function(t)
            local ok, message = pcall(t.start, 'A', 'absent.luau')
            assert(not ok and string.find(message, 'absent.luau', 1, true), message)
            assert(not pcall(t.fault, 'SetAsync:maybe'))
         end)",
        &[],
    );
    ended.expect(0);
}

#[test]
fn faults_come_and_go_as_the_test_says() {
    let ended = tests(
        "local function set(value) return pcall(store.SetAsync, store, 'k', value) end
         test('faults', function(t)
            t.outage(10)
            local ok, message = set(1)
            assert(not ok and string.find(message, 'not applied'), message)
            task.wait(10)
            assert(set(2))
            t.throttle(10)
            ok, message = set(3)
            assert(not ok and string.find(message, '^302'), message)
            t.heal()
            assert(set(4))
            t.loseAnswers(10)
            ok, message = set(5)
            assert(not ok and string.find(message, 'outcome unknown'), message)
            t.heal()
            assert(store:GetAsync('k') == 5)
         end)",
        &[],
    );
    ended.expect(0);
    assert!(ended.out.contains("3 faults"), "{}", ended.out);
}

#[test]
fn errors_that_nobody_catches_fail_a_test_unless_it_allows_them() {
    let raises = "task.spawn(function() error('boom') end) task.wait(1)";
    let ended = tests(&format!("test('a', function() {raises} end)"), &[]);
    assert!(ended.expect(1).out.contains("raised an error"), "{}", ended.out);
    tests(&format!("test('a', function(t) t.allowErrors() {raises} end)"), &[]).expect(0);
}

#[test]
fn what_does_not_end_or_cannot_be_loaded_fails() {
    let ended = tests("test('a', function() while true do task.wait(1) end end)", &["--max-sim", "60s"]);
    assert!(ended.expect(1).out.contains("did not end within its time"), "{}", ended.out);
    let place = Place::new();
    place.script("specs/bad.spec.luau", "return 5");
    let ended = place.ended(&["test", "specs"]);
    assert!(ended.expect(2).out.contains("a spec returns a function(test)"), "{}", ended.out);
    place.ended(&["test", "absent"]).expect(2);
    // A script of a server: that test fails, the others run.
    let place = Place::new();
    place.script("specs/server.luau", "local = 1");
    place.script("specs/a.spec.luau", "return { a = function(t) t.start('A', 'server.luau') end, b = function() end }");
    let ended = place.ended(&["test", "specs"]);
    assert!(ended.expect(1).out.contains("1 passed, 1 failed"), "{}", ended.out);
}

#[test]
fn each_seed_is_another_run() {
    let body = "test('a', function(t) assert(t.seed ~= 6, 'the seventh') end)";
    let ended = tests(body, &["--runs", "8"]);
    assert!(ended.expect(1).out.contains("7 passed, 1 failed") && ended.out.contains("seed 6"), "{}", ended.out);
}

#[test]
fn a_game_in_clawblox_style_behaves_under_outage_restart_and_double_join() {
    let games = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/clawblox_host/games");
    let test = |profile: &str| Place::new().ended(&["test", games, "--profile", profile]);
    test("clawblox").expect(0);
    // Without the profile, table scores are refused and defaults overwrite the save.
    let roblox = test("roblox");
    let failed = |name: &str| roblox.out.contains(&format!("✗ {name}"));
    assert!(failed("a load that fails never costs the save"), "{}", roblox.out);
    assert!(failed("scores are tables with fractions, in order"), "{}", roblox.out);
}

#[test]
fn tests_that_prove_nothing_are_refused() {
    let ended = tests("test('a', function() error('first') end) test('a', function() end)", &[]);
    assert!(ended.expect(2).out.contains("two tests called \"a\""), "{}", ended.out);
    let ended = tests("test('a', function(t) t.kill('nobody') end)", &[]);
    assert!(ended.expect(1).out.contains("there is no server nobody"), "{}", ended.out);
    tests("test('a', function(t) t.join('nobody', 1) end)", &[]).expect(1);
    tests("test('a', function(t) t.start('A', 'server.luau') t.start('A', 'server.luau') end)", &[]).expect(1);
}

#[test]
fn a_server_that_does_not_close_in_time_fails_its_test() {
    let place = Place::new();
    place.script("specs/server.luau", "game:BindToClose(function() task.wait(100) end)");
    place.script("specs/a.spec.luau", "return { a = function(t) t.start('A', 'server.luau') task.wait(1) end }");
    let ended = place.ended(&["test", "specs"]);
    assert!(ended.expect(1).out.contains("longer than 30 s"), "{}", ended.out);
}
