//! Simulated runs: several servers on one clock, events, conditions, the report.

use serde_json::Value;

use crate::support::{Ended, Place};

const COUNTER: &str = "
    local store = game:GetService('DataStoreService'):GetDataStore('S')
    for _ = 1, 20 do
        local ok, count = pcall(store.UpdateAsync, store, 'counter', function(old) return (old or 0) + 1 end)
        print(ok, count, math.random(1, 1000000))
        task.wait(math.random())
    end
    print('guid', game:GetService('HttpService'):GenerateGUID())
";

impl Place {
    /// Runs a script on simulated time.
    fn simulate(&self, source: &str, options: &[&str]) -> Ended {
        self.script("script.luau", source);
        let mut arguments = vec!["run", "script.luau", "--db", ":memory:", "--clock", "sim", "--no-status"];
        arguments.extend(["--max-real", "60", "--report", "report.json"]);
        arguments.extend(options);
        self.ended(&arguments)
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("report.json")).unwrap()).unwrap()
    }
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another() {
    let report = |seed: &str| {
        let place = Place::new();
        let conditions =
            ["--servers", "3", "--latency", "10..80ms", "--fault", "UpdateAsync:p=0.2:unknown", "--seed", seed];
        place.simulate(COUNTER, &conditions).expect(0);
        std::fs::read_to_string(place.path("report.json")).unwrap()
    };
    let first = report("7");
    assert_eq!(first, report("7"));
    assert_ne!(first, report("8"));
    let report: Value = serde_json::from_str(&first).unwrap();
    assert!(report["faults"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!(report["servers"][2]["calls"]["DataStoreService.UpdateAsync"], 20);
}

#[test]
fn a_server_without_a_name_has_the_same_job_id_with_the_same_seed() {
    let job_id = |seed: &str| Place::new().simulate("print(game.JobId)", &["--seed", seed]).expect(0).out.clone();
    let first = job_id("7");
    assert_eq!(first.trim().len(), 36, "{first}");
    assert_eq!(first, job_id("7"));
    assert_ne!(first, job_id("8"));
}

#[test]
fn a_server_that_starts_again_draws_other_numbers() {
    let place = Place::new();
    let source = "print(math.random(), game:GetService('HttpService'):GenerateGUID()) task.wait(5)";
    let ended =
        place.simulate(source, &["--server", "A", "--at", "1s:start:A", "--at", "2s:kill:A", "--at", "3s:start:A"]);
    let lines: Vec<&str> = ended.expect(0).out.lines().collect();
    assert!(lines.len() == 2 && lines[0] != lines[1], "{lines:?}");
}

#[test]
fn an_hour_passes_at_once_and_every_clock_shows_it() {
    let place = Place::new();
    let source = "
        local clock, unix = os.clock(), os.time()
        print('waited', task.wait(3600) >= 3600, os.clock() - clock >= 3600, os.time() - unix, DateTime.now().UnixTimestamp - unix)
    ";
    let ended = place.simulate(source, &[]);
    assert_eq!(ended.expect(0).out, "waited true true 3600 3600\n");
    assert!(place.report()["seconds"].as_f64().unwrap() >= 3600.0);
}

#[test]
fn results_are_as_late_as_the_latency_says() {
    let place = Place::new();
    let source = "
        local store = game:GetService('DataStoreService'):GetDataStore('S')
        local begun = os.clock()
        store:SetAsync('k', 1)
        local set = os.clock() - begun
        store:GetAsync('k')
        print(set >= 0.5 and set < 0.52, os.clock() - begun >= 1)
    ";
    assert_eq!(place.simulate(source, &["--latency", "500ms"]).expect(0).out, "true true\n");
}

#[test]
fn events_happen_at_their_times_to_their_servers() {
    let place = Place::new();
    let source = "
        print(game.JobId, 'starts', time())
        game.Players.PlayerAdded:Connect(function(player) print(player.Name, 'joins', math.floor(time())) end)
        game.Players.PlayerRemoving:Connect(function(player) print(player.Name, 'leaves', math.floor(time())) end)
        game:BindToClose(function() print(game.JobId, 'closes', math.floor(time())) end)
        while true do task.wait(1) end
    ";
    let events = [
        "3s:join:A:42:Bob",
        "4s:join:B:43:Eve",
        "5s:leave:A:42",
        "6s:close:A",
        "7s:kill:B",
        "8s:start:C",
        "9s:close:C",
    ];
    let mut options = vec!["--servers", "3", "--max-sim", "10s"];
    events.iter().for_each(|event| options.extend(["--at", *event]));
    let ended = place.simulate(source, &options);
    let mut lines: Vec<&str> = ended.expect(0).out.lines().collect();
    lines.sort_unstable();
    let expected = [
        "[A] A closes 6",
        "[A] A starts 0",
        "[A] Bob joins 3",
        "[A] Bob leaves 5",
        "[B] B starts 0",
        "[B] Eve joins 4",
        "[C] C closes 9",
        "[C] C starts 8",
    ];
    assert_eq!(lines, expected, "B was killed: nobody leaves it and nothing closes");
    let ends: Vec<_> =
        place.report()["servers"].as_array().unwrap().iter().map(|server| server["end"].clone()).collect();
    assert_eq!(ends, ["closed", "killed", "closed"]);
}

#[test]
fn accepted_saves_of_a_killed_server_are_there() {
    let place = Place::new();
    let source = "
        local store = game:GetService('DataStoreService'):GetDataStore('S')
        if game.JobId == 'A' then
            task.spawn(function() store:SetAsync('k', 'of A') end)
            task.wait(100)
        end
        task.wait(5)
        print(store:GetAsync('k'))
    ";
    let ended = place.simulate(source, &["--servers", "2", "--at", "1s:kill:A", "--latency", "3s"]);
    assert!(ended.expect(0).out.starts_with("[B] of A"), "{}", ended.out);
}

#[test]
fn functions_of_bind_to_close_have_thirty_simulated_seconds() {
    let place = Place::new();
    place.simulate("game:BindToClose(function() task.wait(31) end)", &[]).expect(4);
    place.simulate("game:BindToClose(function() task.wait(29) print('closed') end)", &["--expect", "closed"]).expect(0);
    assert!(place.report()["seconds"].as_f64().unwrap() >= 29.0);
}

#[test]
fn a_run_ends_when_nothing_is_left_and_not_before() {
    let place = Place::new();
    let stays = ["--player", "1:Ada@1s", "--until", "never"];
    place.simulate("print('ready')", &stays).expect(3).says("nothing is left to run");
    let source = "
        local service = game:GetService('MessagingService')
        service:SubscribeAsync('topic', function(message) print('heard', message.Data) end)
        service:PublishAsync('topic', 'hello')
    ";
    for seed in ["1", "2", "3", "4"] {
        let options = ["--latency", "1..9s", "--seed", seed];
        assert_eq!(place.simulate(source, &options).expect(0).out, "heard hello\n", "seed {seed}");
    }
}

#[test]
fn all_saves_are_counted_at_the_end() {
    let place = Place::new();
    let source = "
        local store = game:GetService('DataStoreService'):GetDataStore('S')
        for index = 1, 5 do store:SetAsync(`key {index}`, index) end
    ";
    place.simulate(source, &[]).expect(0).says("5 writes saved");
}

#[test]
fn faults_are_raised_as_roblox_raises_them() {
    let place = Place::new();
    let source = "
        local store = game:GetService('DataStoreService'):GetDataStore('S')
        print(select(2, pcall(store.SetAsync, store, 'k', 1)))
        task.wait(10)
        print(select(2, pcall(store.SetAsync, store, 'k', 1)))
        print(store:GetAsync('k'))
    ";
    let ended = place.simulate(source, &["--fault", "SetAsync:@0s..5s:throttle", "--fault", "SetAsync:unknown"]);
    let lines: Vec<&str> = ended.expect(0).out.lines().filter(|line| !line.starts_with("warning")).collect();
    assert!(lines[0].starts_with("302: SetAsync request dropped."), "{lines:?}");
    assert!(lines[1].starts_with("502: ") && lines[1].contains("outcome unknown"), "{lines:?}");
    assert!(lines[2].starts_with('1'), "it was done: {lines:?}");
    let ended = place.simulate(source, &["--no-api-access"]);
    assert!(ended.expect(1).out.contains("403: "), "{}", ended.out);
}

#[test]
fn a_run_that_waits_for_many_lines_ends_when_all_were_seen() {
    let place = Place::new();
    let source = "for i = 1, 100 do print('case', i, if i % 2 == 0 then 'PASS' else 'FAILED') task.wait(1) end";
    place.simulate(source, &["--until-count", "(PASS|FAILED)$=24"]).expect(0).says("--until was seen");
    assert_eq!(place.report()["lines"].as_array().unwrap().len(), 24);
    place.simulate(source, &["--until-count", "PASS$=60"]).expect(3).says("PASS$ (50 of 60 times)");
}

#[test]
fn projects_and_mounts_become_the_game() {
    let place = Place::new();
    place.script("game/src/Main.server.luau", "print(require(script.Parent.Module).text, script:GetFullName())");
    place.script("game/src/Module.luau", "return { text = require(game.ServerStorage.Lib).text }");
    place.script("library/init.luau", "return { text = require(script.Part) }");
    place.script("library/Part.luau", "return 'from the library'");
    let project =
        r#"{ "name": "g", "tree": { "$className": "DataModel", "ServerScriptService": { "$path": "src" } } }"#;
    place.script("game/default.project.json", project);
    let options = ["--project", "game", "--mount", "ServerStorage.Lib=library", "--db", ":memory:", "--clock", "sim"];
    let mut arguments = vec!["run", "--no-status"];
    arguments.extend(options);
    let ended = place.ended(&arguments);
    assert_eq!(ended.expect(0).out, "from the library ServerScriptService.Main\n");
    place.script("game/default.project.json", "{ \"tree\": 5 }");
    place.ended(&arguments).expect(2).says("default.project.json");
}

#[test]
fn a_command_line_that_cannot_be_meant_is_refused() {
    let place = Place::new();
    place
        .simulate("print(1)", &["--at", "3s:kill:Z", "--servers", "2"])
        .expect(2)
        .says("a server Z that is not there (A, B)");
    place.simulate("print(1)", &["--isolate", "--servers", "2"]).expect(2).says("--isolate needs a Postgres database");
    place.simulate("print(1)", &["--server", "A", "--server", "A"]).expect(2).says("two servers called A");
    place.simulate("print(1)", &["--fault", "SetAsync:maybe"]).expect(2);
    place.ended(&["run", "--db", ":memory:"]).expect(2);
}

/// Nobody sets a rate any more: only the close brings budget, and what waits is saved then.
#[test]
fn a_call_that_waits_for_budget_that_never_comes_keeps_no_run_going() {
    let place = Place::new();
    let source = "
        local service = game:GetService('DataStoreService')
        service:SetRateLimitForRequestType(Enum.DataStoreRequestType.StandardWrite, 0, 0)
        local store = service:GetDataStore('S')
        for number = 1, 3 do
            task.spawn(function() store:SetAsync('k', number) print('saved', number) end)
        end
        task.wait(30)
        print('waited')
    ";
    let ended = place.simulate(source, &["--budget", "roblox"]);
    ended.expect(0).says("nothing is left to run");
    assert!(ended.out.ends_with("\nwaited\nsaved 1\nsaved 2\nsaved 3\n"), "{}", ended.out);
}
