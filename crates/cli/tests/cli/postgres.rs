//! The program on Postgres: by argument and by environment, its schema, and servers that are killed.

use clawstore_testkit::postgres::Database;
use rustix::process::Signal;

use crate::support::{Ended, Place};

const VISIT: &str = r#"
    local store = game:GetService("DataStoreService"):GetDataStore("Visits")
    print("visit", store:IncrementAsync("door"))
"#;

const GUEST: &str = r#"
    local store = game:GetService("DataStoreService"):GetDataStore("Visits")
    print("visit", store:IncrementAsync("door"))
    task.wait(1000)
"#;

#[test]
fn servers_on_one_database_go_on_from_each_other() {
    let (place, database) = (Place::new(), Database::create());
    place.script("visit.luau", VISIT);
    place.script("guest.luau", GUEST);
    let url = database.url();
    let run = || place.ended(&["run", "visit.luau", "--db", &url, "--no-status"]);
    let first = run();
    first.expect(0).says("kill -9 of any process");
    assert!(first.out.contains("visit 1"), "{}", first.out);
    let mut killed = place.start_command(&["run", "guest.luau", "--db", &url, "--no-status"]);
    killed.wait_for("visit 2");
    killed.signal(Signal::KILL);
    let third = run();
    assert!(third.expect(0).out.contains("visit 3"), "nobody waits for the dead for ever: {}", third.out);
    let got = place.ended(&["get", "--db", &url, "Visits", "door"]);
    assert_eq!(got.expect(0).out, "3\n");
    assert_eq!(place.ended(&["ls", "--db", &url, "Visits"]).expect(0).out, "door\n");
}

#[test]
fn the_environment_names_the_database() {
    let (place, database) = (Place::new(), Database::create());
    place.script("visit.luau", VISIT);
    let run = |variable: &str| {
        let mut command = place.command(&["run", "visit.luau", "--no-status"]);
        Ended::of(command.env(variable, database.url()).output().unwrap())
    };
    assert!(run("DATABASE_URL").expect(0).out.contains("visit 1"));
    assert!(run("CLAWSTORE_DB").expect(0).out.contains("visit 2"));
    assert!(!place.path("clawstore-data").exists());
}

#[test]
fn the_schema_is_shown_made_and_taken_back() {
    let (place, database) = (Place::new(), Database::create());
    let url = database.url();
    let migrate = |direction: &str| place.ended(&["migrate", direction, "--db", &url]);
    assert!(migrate("status").expect(0).out.contains("missing"));
    place.script("visit.luau", VISIT);
    let mut refused = place.command(&["run", "visit.luau", "--db", &url]);
    let refused = Ended::of(refused.env("CLAWSTORE_MIGRATE", "off").output().unwrap());
    refused.expect(5).says("clawstore migrate up");
    migrate("up").expect(0).says("applied");
    assert!(migrate("status").expect(0).out.lines().all(|line| line.ends_with("applied")));
    migrate("up").expect(0).says("nothing to apply");
    migrate("down").expect(0).says("taken back");
    place.ended(&["migrate", "up", "--db", "db"]).expect(5).says("only a Postgres database");
}

#[test]
fn a_server_that_is_not_there_is_an_error_of_the_store() {
    let place = Place::new();
    place.script("visit.luau", VISIT);
    let ended = place.ended(&["run", "visit.luau", "--db", "postgres://me:secret@127.0.0.1:1/games"]);
    ended.expect(5).says("127.0.0.1:1/games");
    assert!(!ended.err.contains("secret"), "{}", ended.err);
}

/// Two servers of one process, each with an incarnation of its own, take turns on a key.
fn counts_with_isolated_servers(clock: &str) {
    let (place, database) = (Place::new(), Database::create());
    let source = "
        local store = game:GetService('DataStoreService'):GetDataStore('S')
        for i = 1, 5 do
            store:UpdateAsync('counter', function(count) return (count or 0) + 1 end)
        end
        task.wait(2)
        local options = Instance.new('DataStoreGetOptions')
        options.UseCache = false
        print('count', store:GetAsync('counter', options))
    ";
    place.script("script.luau", source);
    let url = database.url();
    let arguments = ["run", "script.luau", "--db", &url, "--servers", "2", "--isolate", "--clock", clock];
    let mut command = place.command(&arguments);
    let ended = Ended::of(command.args(["--no-status", "--max-real", "60"]).output().unwrap());
    ended.expect(0);
    assert!(ended.out.contains("[A] count 10") && ended.out.contains("[B] count 10"), "{}\n{}", ended.out, ended.err);
}

#[test]
fn isolated_servers_hand_keys_over_to_each_other() {
    counts_with_isolated_servers("real");
}

#[test]
fn isolated_servers_hand_keys_over_in_simulated_time() {
    counts_with_isolated_servers("sim");
}

#[test]
fn a_server_that_only_listens_hears_other_processes() {
    let (place, database) = (Place::new(), Database::create());
    let url = database.url();
    place.script(
        "listen.luau",
        "game:GetService('MessagingService'):SubscribeAsync('news', function(message) print('heard', message.Data) end)
         print('listening')",
    );
    place.script("tell.luau", "game:GetService('MessagingService'):PublishAsync('news', 'hello')");
    let options = ["--no-status", "--max-real", "60", "--until", "heard hello"];
    let mut listening = place.start_command(&[&["run", "listen.luau", "--db", &url][..], &options].concat());
    listening.wait_for("listening");
    place.ended(&["run", "tell.luau", "--db", &url, "--no-status"]).expect(0);
    listening.wait_for("heard hello");
    listening.end().expect(0);
}
