//! `snapshot` and `game`: nothing is deleted by accident, and everything can be taken back.

use clawstore_testkit::postgres::Database;
use rustix::process::Signal;

use crate::support::{Ended, Place};

const SAVE: &str = "
    local service = game:GetService('DataStoreService')
    for n = 1, 3 do service:GetDataStore('Coins'):SetAsync('player_' .. n, n) end
    service:GetOrderedDataStore('Top'):SetAsync('player_1', 5)
    print('saved')
";

const READ: &str = "
    local store = game:GetService('DataStoreService'):GetDataStore('Coins')
    print(pcall(store.GetAsync, store, 'player_2'))
";

/// A game with data, 7, on a database.
struct Saved<'a> {
    place: &'a Place,
    db: &'a str,
}

impl<'a> Saved<'a> {
    fn new(place: &'a Place, db: &'a str) -> Self {
        let saved = Self { place, db };
        assert_eq!(saved.run(SAVE).expect(0).out, "saved\n");
        saved
    }

    fn run(&self, source: &str) -> Ended {
        self.place.script("script.luau", source);
        self.ended(&["run", "script.luau", "--universe-id", "7", "--no-status", "--max-real", "60"])
    }

    fn game(&self, what: &[&str]) -> Ended {
        self.ended(&[&["game"][..], what].concat())
    }

    fn ended(&self, arguments: &[&str]) -> Ended {
        self.place.ended(&[arguments, &["--db", self.db]].concat())
    }
}

fn comes_and_goes(place: &Place, db: &str) {
    let saved = Saved::new(place, db);
    let keys = || saved.ended(&["ls", "Coins", "--universe-id", "7"]).expect(0).out.clone();
    assert_eq!(saved.game(&["list"]).expect(0).out, "7\n");

    // Where nobody can type, nothing happens without --yes.
    let asked = saved.game(&["delete", "--universe-id", "7"]);
    asked.expect(2).says("game 7: 4 keys in 2 stores").says("Nothing was changed: --yes does it");
    asked.says("clawstore game restore --universe-id 7").says("at least for 30 days");
    assert_eq!(keys().lines().count(), 3);
    assert!(saved.run(READ).expect(0).out.starts_with("true 2"));

    let deleted = saved.game(&["delete", "--universe-id", "7", "--yes"]);
    deleted.expect(0).says("kept until 20").says("`clawstore game restore --universe-id 7` takes it back");
    let refused = saved.run(READ);
    assert!(
        refused.expect(0).out.contains("false 502: ") && refused.out.contains("DatastoreDeleted"),
        "{}",
        refused.out
    );
    assert!(saved.game(&["list"]).expect(0).out.starts_with("7\tdeleted 20"));
    let stores = saved.ended(&["ls"]);
    assert!(stores.expect(0).out.lines().all(|line| line.contains("game 7\tdeleted 20")), "{}", stores.out);
    saved.game(&["delete", "--universe-id", "7", "--yes"]).expect(1).says("deleted already");

    saved.game(&["restore", "--universe-id", "7"]).expect(0).says("4 keys in 2 stores");
    assert_eq!(keys().lines().count(), 3);
    assert!(saved.run(READ).expect(0).out.starts_with("true 2"));
    saved.game(&["restore", "--universe-id", "7"]).expect(1).says("is not deleted");

    // Only what is deleted is purged, and not by a word too little.
    saved.game(&["purge", "--universe-id", "7", "--yes", "--now"]).expect(1).says("is not deleted");
    saved.game(&["delete", "--universe-id", "7", "--yes"]).expect(0);
    saved.game(&["purge", "--universe-id", "7"]).expect(2).says("FOR GOOD: 4 keys").says("Nothing was changed");
    saved.game(&["purge", "--universe-id", "7", "--yes"]).expect(1).says("--now does it before").says("kept until 20");
    assert_eq!(keys().lines().count(), 3);
    saved.game(&["purge", "--universe-id", "7", "--yes", "--now"]).expect(0).says("may be used anew");
    saved.ended(&["ls", "Coins", "--universe-id", "7"]).expect(1);
    assert_eq!(saved.game(&["list"]).expect(0).out, "");
    assert!(saved.run(READ).expect(0).out.starts_with("true nil"));
}

#[test]
fn a_game_is_deleted_taken_back_and_purged() {
    comes_and_goes(&Place::new(), "db");
}

#[test]
fn a_game_is_deleted_taken_back_and_purged_on_postgres() {
    comes_and_goes(&Place::new(), &Database::create().url());
}

#[test]
fn no_game_is_meant_unless_it_is_named() {
    let place = Place::new();
    let saved = Saved::new(&place, "db");
    for what in ["delete", "restore", "purge"] {
        saved.game(&[what]).expect(2).says("--universe-id");
    }
    saved.game(&["delete", "--universe-id", "0", "--yes"]).expect(2).says("is not a game id");
    saved.game(&["delete", "--universe-id", "1", "--yes"]).expect(1).says("game 1 has no data");
    place.ended(&["game", "delete", "--universe-id", "7", "--yes", "--db", "absent"]).expect(5);
    place.ended(&["snapshot", "--db", "absent"]).expect(5);
    assert!(!place.path("absent").exists());
    assert_eq!(saved.game(&["list"]).expect(0).out, "7\n");
    place.script("clawstore.toml", "[games.\"7\"]\nuniverse = 1");
    saved.game(&["delete", "--universe-id", "7", "--yes"]).expect(1).says("uses the data of game 1");
}

#[test]
fn a_server_that_runs_is_named() {
    let place = Place::new();
    let saved = Saved::new(&place, "db");
    let mut server = place.start(&format!("{SAVE} task.wait(1000)"), &["--universe-id", "7"]);
    server.wait_for("saved");
    let pid = server.pid().to_string();
    saved.game(&["delete", "--universe-id", "7", "--yes"]).expect(5).says(&pid).says("stop that process first");
    saved.ended(&["snapshot", "--universe-id", "7"]).expect(5).says(&pid);
    assert_eq!(saved.game(&["list"]).expect(0).out, "7\n", "looking works beside it");
    server.signal(Signal::TERM);
    server.end().expect(0);
    saved.game(&["delete", "--universe-id", "7", "--yes"]).expect(0);
}

#[test]
fn a_game_in_use_on_postgres_is_not_deleted_and_is_backed_up() {
    let (place, database) = (Place::new(), Database::create());
    let url = database.url();
    let saved = Saved::new(&place, &url);
    place.script("server.luau", &format!("{SAVE} task.wait(1000)"));
    let arguments = ["run", "server.luau", "--db", &url, "--universe-id", "7", "--no-status", "--max-real", "60"];
    let mut server = place.start_command(&arguments);
    server.wait_for("saved");
    saved.game(&["delete", "--universe-id", "7", "--yes"]).expect(1).says("in use by").says("stop its servers first");
    saved.ended(&["snapshot", "--universe-id", "7"]).expect(0).says("snapshot of game 7 at 20");
    server.signal(Signal::TERM);
    server.end().expect(0);
}

#[test]
fn a_snapshot_is_taken_once_a_day_and_backs_up_the_next_writes() {
    let place = Place::new();
    let saved = Saved::new(&place, "db");
    saved.ended(&["snapshot", "--universe-id", "7"]).expect(0).says("keeps what it supersedes");
    saved.ended(&["snapshot", "--universe-id", "7"]).expect(0).says("has a snapshot of");
    let backups = "
        local store = game:GetService('DataStoreService'):GetDataStore('Coins')
        for n = 1, 3 do
            store:SetAsync('player_' .. n, 10 * n)
            local oldest = store:ListVersionsAsync('player_' .. n):GetCurrentPage()[1]
            print(n, (store:GetVersionAsync('player_' .. n, oldest.Version)))
        end
    ";
    assert_eq!(saved.run(backups).expect(0).out, "1 1\n2 2\n3 3\n");
}
