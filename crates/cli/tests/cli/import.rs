//! `clawstore import`: what it prints, how it ends, and that it goes on after it was killed.

use clawstore_testkit::postgres::Database;
use rustix::process::Signal;

use crate::support::Place;

const GAME: &str = "11111111-1111-4111-8111-111111111111";

/// An engine's database with this many saves, and a key that is too long among the first.
fn engine(saves: u32) -> Database {
    let database = Database::create();
    let table = "CREATE TABLE data_stores (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), game_id UUID NOT NULL,
        store_name VARCHAR(255) NOT NULL, key VARCHAR(255) NOT NULL, value JSONB NOT NULL,
        UNIQUE (game_id, store_name, key))";
    let insert = "INSERT INTO data_stores (game_id, store_name, key, value)";
    database.psql(table).unwrap();
    database
        .psql(&format!("{insert} VALUES ('{GAME}', 'A', repeat('k', 51), '1'), ('{GAME}', 'A', 'gone', 'null')"))
        .unwrap();
    database
        .psql(&format!(
            "{insert} SELECT '{GAME}', 'Saves', 'player_' || n, jsonb_build_object('coins', n)
             FROM generate_series(1, {saves}) AS n"
        ))
        .unwrap();
    database
}

fn checksum(database: &Database) -> String {
    database
        .psql("SELECT md5(string_agg(data_stores::text || xmin || ctid, ',' ORDER BY id)) FROM data_stores")
        .unwrap()
}

#[test]
fn what_is_refused_is_listed_and_the_rest_is_there() {
    let (place, engine) = (Place::new(), engine(3));
    let before = checksum(&engine);
    let url = engine.url();
    let import = |more: &[&str]| place.ended(&[&["import", "clawblox", "--from", &url, "--db", "db"], more].concat());
    let dry = import(&["--dry-run"]);
    dry.expect(1).says("would be written       3\n");
    assert!(!place.path("db").exists());
    let first = import(&[]);
    first.expect(1).says("rows read              5\n").says("written                3\n");
    first.says("removed in the source  1\n").says("refused                1\n").says("rows/s");
    let line = format!("{GAME}\tA\t{}\t102: Key name exceeds the 50 character limit.\n", "k".repeat(51));
    assert_eq!((first.out.as_str(), dry.out.as_str()), (line.as_str(), line.as_str()));
    import(&[]).expect(1).says("written                0\n").says("already there          3\n");
    let got = place.ended(&["get", "--db", "db", "--universe-id", GAME, "Saves", "player_2"]);
    assert_eq!(got.expect(0).out, "{\"coins\":2}\n");
    assert_eq!(checksum(&engine), before);
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let (place, engine) = (Place::new(), engine(1));
    engine.psql("DELETE FROM data_stores WHERE store_name = 'A'").unwrap();
    let url = engine.url();
    place.ended(&["import", "clawblox", "--from", &url, "--db", "db", "--game", GAME]).expect(0);
    place.ended(&["import", "clawblox", "--from", &url, "--game", "7"]).expect(2).says("UUIDs");
    place.ended(&["import", "clawblox", "--db", "db"]).expect(2);
    place.ended(&["import", "clawblox", "--from", "./dir", "--db", "db"]).expect(5).says("Postgres");
    let nobody = place.ended(&["import", "clawblox", "--from", "postgres://me:secret@127.0.0.1:1/x", "--db", "db"]);
    nobody.expect(5).says("127.0.0.1:1/x");
    assert!(!nobody.err.contains("secret"), "{}", nobody.err);
    let empty = Database::create();
    let other = place.ended(&["import", "clawblox", "--from", &empty.url(), "--db", "db"]);
    other.expect(5).says("data_stores");
}

#[test]
fn killed_half_way_it_goes_on_when_it_is_run_again() {
    const SAVES: u32 = 20_000;
    let (place, engine, target) = (Place::new(), engine(SAVES), Database::create());
    let before = checksum(&engine);
    let (from, db) = (engine.url(), target.url());
    let arguments = ["import", "clawblox", "--from", &from, "--db", &db];
    let mut killed = place.start_command(&arguments);
    // Printed when the first page is durable.
    killed.wait_for("exceeds the 50 character limit");
    killed.signal(Signal::KILL);
    drop(killed);
    let stored = || target.psql("SELECT count(*) FROM clawstore.entries").unwrap().trim().parse::<u32>().unwrap();
    let half = stored();
    assert!((900..SAVES).contains(&half), "{half} of {SAVES}");
    let again = place.ended(&arguments);
    again.expect(1).says("refused                1\n");
    assert_eq!(stored(), SAVES);
    let number = |name: &str| -> u32 {
        let line = again.err.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().replace(',', "").parse().unwrap()
    };
    assert!(number("already there") >= half, "{}", again.err);
    assert_eq!(number("already there") + number("written"), SAVES);
    assert_eq!(checksum(&engine), before);
}
