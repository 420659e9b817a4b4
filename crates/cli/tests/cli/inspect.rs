//! `get` and `ls`, beside a server that runs.

use rustix::process::Signal;

use crate::support::Place;

const SERVER: &str = r#"
    local service = game:GetService("DataStoreService")
    local store = service:GetDataStore("Players")
    local options = Instance.new("DataStoreSetOptions")
    options:SetMetadata({ slot = 2 })
    store:SetAsync("player_1", { cash = 12.5, items = { "a", "b" }, none = {} }, { 7, 8 }, options)
    service:GetDataStore("Players", "test"):SetAsync("player_1", "other scope")
    store:SetAsync("gone", 1)
    store:RemoveAsync("gone")
    service:GetGlobalDataStore():SetAsync("visits", 3)
    print("ready")
    task.wait(1000)
"#;

#[test]
fn a_running_server_can_be_looked_into() {
    let place = Place::new();
    let mut server = place.start(SERVER, &[]);
    server.wait_for("ready");

    let got = place.get("Players", "player_1");
    got.expect(0).says("user ids  7, 8").says(r#"metadata  {"slot":2}"#).says("revision  1").says(" UTC\n");
    assert!(got.out.contains(r#""cash":12.5"#) && got.out.lines().count() == 1, "{}", got.out);
    let pretty = place.ended(&["get", "--db", "db", "Players", "player_1", "--pretty"]);
    assert!(pretty.expect(0).out.contains("\n  \"items\": [\n    \"a\",\n    \"b\"\n  ]"), "{}", pretty.out);
    let scoped = place.ended(&["get", "--db", "db", "Players", "player_1", "--scope", "test"]);
    assert_eq!(scoped.expect(0).out, "\"other scope\"\n");

    let keys = place.ended(&["ls", "--db", "db", "Players"]);
    assert_eq!(keys.expect(0).out, "player_1\n", "what was removed is not listed");
    let stores = place.ended(&["ls", "--db", "db"]);
    let expected = "(global data store)\tscope u\tgame 1\nPlayers\tscope global\tgame 1\nPlayers\tscope test\tgame 1\n";
    assert_eq!(stores.expect(0).out, expected);

    server.signal(Signal::TERM);
    server.end().expect(0);
    assert_eq!(place.get("Players", "player_1").expect(0).out, got.out, "and after it");
}

#[test]
fn what_is_not_there_is_1_and_says_so() {
    let place = Place::new();
    let saved = "local s = game:GetService('DataStoreService'):GetDataStore('S') s:SetAsync('k', 1) s:RemoveAsync('k')";
    place.run(saved, &[]).expect(0);
    place.get("S", "absent").expect(1).says("there is no key `absent` in store `S`");
    place.get("S", "k").expect(1).says("it was removed");
    place.ended(&["get", "--db", "db", "S", "k", "--universe-id", "2"]).expect(1).says("game 2");
    place.ended(&["ls", "--db", "db", "Absent"]).expect(1).says("there are no keys in store `Absent`");
    assert_eq!(place.get("S", &"k".repeat(51)).expect(1).out, "");
}

#[test]
fn looking_creates_nothing_and_refuses_what_is_no_store() {
    let place = Place::new();
    place.get("S", "k").expect(5).says("there is no");
    assert!(!place.path("db").exists());
    place.ended(&["ls", "--db", "mysql://localhost/x"]).expect(5).says("there is no `mysql`");
    place.ended(&["ls", "--db", ":memory:"]).expect(5);
}
