//! Each exit code, and what ends a run (`decisions.md` 30).

use std::process::Command;

use crate::support::{Ended, Place};

const SAVE: &str = "
    local store = game:GetService('DataStoreService'):GetDataStore('Store')
";

#[test]
fn a_script_that_has_nothing_left_to_do_ends_well() {
    let place = Place::new();
    place.run("print('hello') task.delay(0.1, print, 'later')", &[]).expect(0).says("nothing is left to run");
    let ended = place.run(&format!("{SAVE} task.spawn(function() store:SetAsync('a', 1) print('saved') end)"), &[]);
    assert_eq!(ended.expect(0).out, "saved\n");
}

#[test]
fn connections_to_frames_keep_a_server_up_and_others_do_not() {
    let place = Place::new();
    let frames = "game:GetService('RunService').Heartbeat:Connect(function() end)";
    place.run(frames, &["--max-real", "0.3"]).expect(0).says("--max-real");
    place.run("game.Players.PlayerAdded:Connect(print)", &[]).expect(0).says("nothing is left to run");
}

#[test]
fn until_ends_a_run_at_once() {
    let place = Place::new();
    let ended =
        place.run("task.wait(0.1) print('Tests: 3 passed') task.wait(1000)", &["--until", r"^Tests: \d+ passed$"]);
    ended.expect(0).says("--until was seen");
}

#[test]
fn what_was_awaited_and_not_seen_is_3() {
    let place = Place::new();
    place.run("print('one')", &["--expect", "one", "--expect", "two"]).expect(3).says("never seen: two");
    place.run("print('one')", &["--until", "two"]).expect(3);
    place.run("task.wait(1000)", &["--until", "two", "--max-real", "0.2"]).expect(3);
}

#[test]
fn a_script_that_raises_is_1_and_a_thread_of_it_is_not() {
    let place = Place::new();
    let ended = place.run("print('a') task.wait() error('boom')", &["--expect", "nothing"]);
    ended.expect(1).says("a script raised an error");
    assert!(ended.out.contains("error: script:1: boom"), "{}", ended.out);
    place.run("task.spawn(function() error('boom') end)", &[]).expect(0);
}

#[test]
fn what_is_forbidden_is_1() {
    let place = Place::new();
    place.run("warn('FAIL: 1')", &["--forbid", "^FAIL"]).expect(1).says("a forbidden line was seen: FAIL: 1");
    let refused = format!("{SAVE} pcall(store.SetAsync, store, '', 1)");
    place.run(&refused, &["--forbid", "API: SetAsync"]).expect(1);
    place.run("print('fine')", &["--forbid", "^FAIL"]).expect(0);
}

#[test]
fn scripts_that_cannot_be_loaded_are_2_before_anything_is_opened() {
    let place = Place::new();
    place.run("local = 1", &[]).expect(2).says("script.luau:1: ");
    place.ended(&["run", "absent.luau", "--db", "db"]).expect(2).says("absent.luau");
    std::fs::create_dir(place.path("empty")).unwrap();
    place.ended(&["run", "empty", "--db", "db"]).expect(2).says("no *.server.luau");
    assert!(!place.path("db").exists());
    place.ended(&["run", "script.luau", "--until", "("]).expect(2);
}

#[test]
fn a_folder_runs_its_server_scripts() {
    let place = Place::new();
    place.script("game/b.server.luau", "print('b')");
    place.script("game/a/a.server.luau", "print('a', script.Name)");
    place.script("game/module.luau", "error('not a server script')");
    let ended = place.ended(&["run", "game", "--db", ":memory:"]);
    assert_eq!(ended.expect(0).out, "a a/a.server\nb\n");
}

#[test]
fn a_script_that_takes_all_memory_gets_an_error() {
    let place = Place::new();
    let ended =
        place.run("local all = {} while true do table.insert(all, string.rep(#all, 1000000)) end", &["--no-status"]);
    ended.expect(1);
}

#[test]
fn close_functions_that_take_longer_than_30_s_are_4() {
    let place = Place::new();
    let source = format!(
        "{SAVE} game:BindToClose(function() task.wait(1000) end)
         game:BindToClose(function() store:SetAsync('late', 1) print('saved') end)"
    );
    let ended = place.run(&source, &["--no-status"]);
    ended.expect(4).says("longer than 30 s");
    assert_eq!(ended.out, "saved\n");
    assert_eq!(place.get("Store", "late").expect(0).out, "1\n");
}

#[test]
fn a_store_that_cannot_be_opened_is_5() {
    let place = Place::new();
    place.script("script.luau", "print('never')");
    let run = |db: &str| place.ended(&["run", "script.luau", "--db", db]);
    run("mysql://localhost/game").expect(5).says("there is no `mysql`");
    std::fs::write(place.path("file"), "").unwrap();
    assert_eq!(run("file").expect(5).out, "");
    std::fs::create_dir(place.path("broken")).unwrap();
    std::fs::write(place.path("broken/clawstore.db"), "this is not a database, it only has its name".repeat(200))
        .unwrap();
    run("broken").expect(5).says("broken");
}

#[test]
fn a_store_that_fails_under_way_is_5() {
    let place = Place::new();
    let source = format!(
        "{SAVE}
         for save = 1, 60 do
             local ok, problem = pcall(store.SetAsync, store, 'key', save)
             if not ok then print('refused:', problem) break end
         end"
    );
    place.script("script.luau", &source);
    let run = place.command(&["run", "script.luau", "--db", "db", "--no-status", "--max-real", "60"]);
    // From the 20th sync on the disk reports errors.
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    traced.args(["-e", "inject=fsync,fdatasync:error=EIO:when=20+"]);
    traced.arg(run.get_program()).args(run.get_args()).current_dir(place.path(""));
    let ended = Ended::of(traced.output().expect("strace is needed: `cargo xtask test --install` installs it"));
    ended.expect(5).says("the store has failed: ");
    assert!(ended.out.contains("refused: 502: "), "{}", ended.out);
}
