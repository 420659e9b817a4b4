//! `clawstore locks`: what operators see of keys, and taking one from its server.

use clawstore_testkit::postgres::Database;
use rustix::process::Signal;

use crate::support::Place;

const COUNT: &str = r#"
    local store = game:GetService("DataStoreService"):GetDataStore("Visits")
    while true do
        print("visit", store:IncrementAsync("door"))
        task.wait(0.05)
    end
"#;

#[test]
fn a_held_key_is_listed_and_taken_and_its_server_goes_on() {
    let (place, database) = (Place::new(), Database::create());
    place.script("count.luau", COUNT);
    let url = database.url();
    let locks = |arguments: &[&str]| place.ended(&[&["locks"], arguments, &["--db", &url]].concat());
    // Nothing is made of a database that no server has used.
    locks(&["list"]).expect(5).says("migrate");

    let mut server = place.start_command(&["run", "count.luau", "--db", &url, "--no-status"]);
    server.wait_for("visit 3");
    let listed = locks(&["list"]);
    assert!(listed.expect(0).out.starts_with("Visits\tscope global\tdoor\theld by process "), "{}", listed.out);
    assert_eq!(locks(&["list", "--store", "Other"]).expect(0).says("no key is held").out, "");
    assert_eq!(locks(&["list", "--universe-id", "2"]).expect(0).out, "");
    assert_eq!(locks(&["list", "--prefix", "do"]).expect(0).out, listed.out);

    locks(&["release", "1", "Visits", "global", "window"]).expect(1).says("nobody holds key `window`");
    locks(&["release", "1", "Visits", "global", "door"]).expect(0).says("its server has given it");
    let stored =
        || -> u64 { place.ended(&["get", "--db", &url, "Visits", "door"]).expect(0).out.trim().parse().unwrap() };
    let so_far = stored();
    server.wait_for(&format!("visit {}", so_far + 5));
    server.signal(Signal::KILL);
    drop(server.end());
    assert!(stored() >= so_far + 5);
}

#[test]
fn an_embedded_database_has_no_locks() {
    let place = Place::new();
    place.ended(&["locks", "list", "--db", "db"]).expect(1).says("one process at a time");
    assert!(!place.path("db").exists());
}
