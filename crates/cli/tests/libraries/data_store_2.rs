//! DataStore2 1.4.0: no locks; it saves when the player leaves, with either of its saving methods.

use crate::support::{DATA_STORE_2, Library, Place};

/// On one server, on another one, and after a restart.
#[track_caller]
fn loads_and_saves(game: &Library) -> Place {
    let place = Place::new();
    let first = place.play(
        game,
        "--servers 2 --db db --start-time 1767225600 --latency 20..80ms --at 1s:join:A:7:Ann --at 50s:leave:A:7
         --at 52s:join:B:7:Ann --at 80s:leave:B:7 --max-sim 130s",
    );
    first.expect_calm();
    first.expect_nothing_lost();
    let saved: Vec<i64> = first.all("saved").map(|saved| saved.coins()).collect();
    let [of_a, of_b] = saved[..] else { panic!("each server saves once: {first:#?}") };
    assert_eq!(of_a, 49);
    let has = first.first("B", "has");
    assert_eq!((has.coins(), has.loads()), (of_a, 2));

    let second = place.play(game, "--servers 1 --db db --start-time 1767229200 --at 1s:join:A:7:Ann --at 5s:leave:A:7");
    second.expect_calm();
    let has = second.first("A", "has");
    assert_eq!((has.coins(), has.loads()), (of_b, 3));
    place
}

#[test]
fn ordered_backups_are_loaded_and_saved() {
    let place = loads_and_saves(&DATA_STORE_2);
    let newest = place.stored("PlayerData/7", "3");
    assert_eq!(newest["loads"], 3, "every save is a key of its own: {newest}");
}

#[test]
fn standard_saves_are_loaded_and_saved() {
    let place = loads_and_saves(&DATA_STORE_2.with("data_store_2_standard.luau"));
    assert_eq!(place.stored("PlayerData", "7")["loads"], 3);
}

#[test]
fn who_is_there_at_the_end_is_saved() {
    let place = Place::new();
    let played = place.play(&DATA_STORE_2, "--servers 1 --db db --latency 50ms --at 1s:join:A:7:Ann --max-sim 20s");
    played.expect_calm();
    assert_eq!(played.all("saved").count(), 1);
    assert_eq!(place.stored("PlayerData/7", "1")["coins"], 19);
}
