//! ProfileStore 1.0.3: sessions with a lock, handed over on request, stolen from servers that do not answer.
//!
//! Its own times: an autosave every 300 s; who asks looks again after 5 s and then every 10 s, and takes the session at the
//! sixth look.

mod faults;
mod processes;

use serde_json::json;

use crate::played::{Event, Played};
use crate::support::{PROFILE_STORE, Place, START, game};

#[test]
fn sessions_start_save_end_and_are_found_after_a_restart() {
    let place = Place::new();
    let first = place
        .play(&PROFILE_STORE, "--servers 1 --db db --start-time 1767225600 --at 1s:join:A:7:Ann --at 700s:leave:A:7");
    first.expect_calm();
    let has = first.first("A", "has");
    assert_eq!((has.coins(), has.loads()), (0, 1));
    let times: Vec<f64> = first.all("saved").map(|saved| saved.time.round()).collect();
    assert_eq!(times, [301.0, 601.0, 700.0], "every 300 s, and at the end");
    let coins = first.first("A", "ends").coins();
    assert_eq!(first.all("saved").last().unwrap().coins(), coins);
    let stored = place.stored("PlayerStore", "7");
    assert_eq!((&stored["Data"]["Coins"], &stored["UserIds"]), (&json!(coins), &json!([7])));
    assert_eq!(stored["MetaData"].get("ActiveSession"), None, "{stored}");

    let second = place
        .play(&PROFILE_STORE, "--servers 1 --db db --start-time 1767229200 --at 1s:join:A:7:Ann --at 3s:leave:A:7");
    second.expect_calm();
    let has = second.first("A", "has");
    assert_eq!((has.coins(), has.loads()), (coins, 2));
    assert!(second.wait("A") < 1.0);
}

#[test]
fn what_is_open_when_the_server_closes_is_saved() {
    let place = Place::new();
    let game = PROFILE_STORE.with("profile_store_world.luau");
    let played = place.play(&game, "--servers 1 --db db --latency 2s --max-sim 60s");
    played.expect_calm();
    let stored = place.stored("World", "0");
    assert_eq!(stored["Data"]["Coins"], played.first("A", "ends").coins());
    assert_eq!(stored["MetaData"].get("ActiveSession"), None, "{stored}");
}

#[test]
fn a_session_is_handed_over_in_5_s_with_what_was_not_saved() {
    let played = Place::new().play(
        &PROFILE_STORE,
        "--db :memory: --servers 2 --latency 20..80ms --at 1s:join:A:7:Ann --at 30s:join:B:7:Ann --at 60s:leave:B:7
         --max-sim 90s",
    );
    played.expect_calm();
    played.expect_one_owner(&[]);
    played.expect_nothing_lost();
    let (ends, has) = (played.first("A", "ends"), played.first("B", "has"));
    assert_eq!((has.coins(), has.loads()), (ends.coins(), 2));
    assert_eq!(has.coins(), 29, "no autosave has come before");
    let wait = played.wait("B");
    assert!((5.0..6.0).contains(&wait), "{wait} s");
}

#[test]
fn a_session_of_a_killed_server_is_stolen_after_45_s() {
    let played = Place::new().play(
        &PROFILE_STORE,
        "--db :memory: --servers 2 --latency 20..80ms --at 1s:join:A:7:Ann --at 310s:kill:A --at 320s:join:B:7:Ann
         --at 400s:leave:B:7",
    );
    played.expect_one_owner(&[("A", 310.0)]);
    played.expect_nothing_lost();
    assert_eq!(played.first("B", "has").coins(), 300, "as A's autosave left it");
    let wait = played.wait("B");
    assert!((45.0..46.5).contains(&wait), "{wait} s");
}

#[test]
fn a_session_is_stolen_after_45_s_when_messages_are_lost() {
    let place = Place::new();
    let played = place.play(
        &PROFILE_STORE,
        "--db db --servers 2 --latency 20..80ms --fault messaging:drop --at 1s:join:A:7:Ann --at 310s:join:B:7:Ann
         --at 760s:leave:B:7 --max-sim 800s",
    );
    played.expect_nothing_lost();
    assert!(played.faults > 0);
    let wait = played.wait("B");
    assert!((45.0..46.5).contains(&wait), "{wait} s");
    // Its next save tells A that the session is gone, and changes nothing.
    let (ends, has) = (played.first("A", "ends"), played.first("B", "has"));
    assert!((601.0..602.0).contains(&ends.time), "{ends:?}");
    assert_eq!((has.coins(), has.loads()), (300, 2), "as A's autosave left it");
    let stored = place.stored("PlayerStore", "7");
    assert_eq!(stored["Data"]["Coins"], played.first("B", "ends").coins());
    assert_eq!(stored["Data"]["Loads"], json!(["A", "B"]));
}

#[test]
fn a_server_that_crashed_leaves_its_session_to_the_next_run() {
    let place = Place::new();
    let play = |start: u64| {
        place.play(
            &PROFILE_STORE,
            &format!("--servers 1 --db db --start-time {start} --at 1s:join:A:7:Ann --at 310s:kill:A --max-sim 311s"),
        )
    };
    play(START);
    // The job is another one: a new server of the same name would be taken for the old one.
    let next = |start: u64| {
        place.play(
            &PROFILE_STORE,
            &format!("--server N{start} --db db --start-time {start} --at 1s:join:N{start}:7:Ann --at 60s:kill:N{start} --max-sim 61s"),
        )
    };
    let soon = START + 400;
    let stolen = next(soon);
    assert_eq!(stolen.first(&format!("N{soon}"), "has").coins(), 300);
    assert!((45.0..46.5).contains(&stolen.wait(&format!("N{soon}"))));
    // A session without a sign of life for 630 s is taken for dead.
    let late = soon + 1_000;
    let taken = next(late);
    assert_eq!(taken.first(&format!("N{late}"), "has").loads(), 3);
    assert!(taken.wait(&format!("N{late}")) < 1.0);
}

#[test]
fn there_are_never_two_owners_when_all_start_in_the_same_tick() {
    let place = Place::new();
    for latency in ["0ms", "1..30ms", "20..80ms", "0.3..2"] {
        for (servers, seed) in (2..=4).flat_map(|servers| (1..=3).map(move |seed| (servers, seed))) {
            let joins = ["A", "B", "C", "D"].iter().take(servers);
            let joins: String =
                joins.map(|name| format!(" --at 1s:join:{name}:7:Ann --at 40s:leave:{name}:7")).collect();
            let played = place.play(
                &PROFILE_STORE,
                &format!("--db :memory: --servers {servers} --seed {seed} --latency {latency} --max-sim 60s{joins}"),
            );
            played.expect_one_owner(&[]);
            played.expect_nothing_lost();
            assert_eq!(played.all("asks").count(), servers);
            let owners: Vec<_> = played.all("has").collect();
            assert!(!owners.is_empty(), "nobody has it: {played:#?}");
            for (earlier, later) in owners.iter().zip(&owners[1..]) {
                assert_eq!(later.coins(), played.first(&earlier.server, "ends").coins(), "{played:#?}");
            }
        }
    }
}

#[test]
fn a_message_reaches_a_profile_on_another_server() {
    let options = format!(
        "--db :memory: --server A --server B:{} --latency 20..80ms --at 1s:join:A:7:Ann --at 40s:leave:A:7",
        game("profile_store_mail.luau").display()
    );
    let played = Place::new().play(&PROFILE_STORE, &options);
    played.expect_calm();
    assert_eq!(played.first("B", "sent").word(1), "true");
    let told = played.first("A", "told");
    assert_eq!(told.word(2), "hello");
    assert!((20.0..21.0).contains(&told.time), "not only at the next autosave: {told:?}");
}

/// Plays the game that saves three times an hour for three hours. Ten frames a second are enough for it.
fn versions(versioning: &str) -> Played {
    let played = Place::new().play(
        &PROFILE_STORE.with("profile_store_versions.luau"),
        &format!(
            "--db :memory: --servers 1 --start-time {START} --tick-hz 10 --versioning {versioning} --until ^by_id
             --max-sim 4h"
        ),
    );
    played.expect_calm();
    assert_eq!((steps(&played, "newest"), steps(&played, "restored")), (vec![9], vec![5]));
    assert_eq!(steps(&played, "by_id"), [8]);
    played
}

fn steps(played: &Played, name: &str) -> Vec<i64> {
    played.all(name).map(Event::id).collect()
}

#[test]
fn an_hour_has_one_version() {
    let played = versions("hourly");
    // The last of each hour: steps are saved at 0:20, 0:40, 1:00, …, 3:00, and the session ends at 3:00.
    assert_eq!(steps(&played, "version"), [2, 5, 8, 9]);
    assert_eq!(steps(&played, "between"), [5]);
}

#[test]
fn every_write_has_a_version_if_asked_for() {
    let played = versions("every-write");
    let mut kept = steps(&played, "version");
    // The last update was to restore a version, when these had been listed.
    assert_eq!(kept.len(), played.calls("DataStoreService.UpdateAsync") - 1, "autosaves are among them");
    assert!(kept.is_sorted());
    kept.dedup();
    assert_eq!(kept, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let mut between = steps(&played, "between");
    between.dedup();
    assert_eq!(between, [3, 4, 5]);
}
