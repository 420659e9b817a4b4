//! ProfileService 1.4.2: the predecessor of ProfileStore. It hands over at its next autosave (30 s), without messages.

use crate::support::{PROFILE_SERVICE, Place};

#[test]
fn profiles_are_loaded_saved_and_found_after_a_restart() {
    let place = Place::new();
    let first = place.play(
        &PROFILE_SERVICE,
        "--servers 1 --db db --start-time 1767225600 --at 10s:join:A:7:Ann --at 100s:leave:A:7",
    );
    first.expect_calm();
    let (has, ends) = (first.first("A", "has"), first.first("A", "ends"));
    assert_eq!((has.coins(), has.loads()), (0, 1));
    let autosaves = first.all("saved").filter(|saved| saved.time < 100.0).count();
    assert_eq!(autosaves, 2, "every 30 s, the first time after 30 s: {first:#?}");
    assert_eq!(first.all("saved").last().unwrap().coins(), ends.coins());
    let stored = place.stored("PlayerStore", "Player_7");
    assert_eq!(stored["Data"]["Coins"], ends.coins());
    assert_eq!((&stored["UserIds"][0], stored["MetaData"].get("ActiveSession")), (&serde_json::json!(7), None));

    let second = place
        .play(&PROFILE_SERVICE, "--servers 1 --db db --start-time 1767229200 --at 10s:join:A:7:Ann --at 20s:leave:A:7");
    second.expect_calm();
    let has = second.first("A", "has");
    assert_eq!((has.coins(), has.loads()), (ends.coins(), 2));
}

#[test]
fn a_profile_is_handed_over_at_the_next_autosave() {
    let played = Place::new().play(
        &PROFILE_SERVICE,
        "--db :memory: --servers 2 --latency 20..80ms --at 10s:join:A:7:Ann --at 45s:join:B:7:Ann --at 200s:leave:B:7
         --max-sim 230s",
    );
    played.expect_calm();
    played.expect_one_owner(&[]);
    played.expect_nothing_lost();
    assert_eq!(played.first("B", "has").coins(), played.first("A", "ends").coins(), "what A had not saved, too");
    let wait = played.wait("B");
    // A's autosave sees the request, and B's next look, at most 7 s later, finds the profile free.
    assert!((15.0..38.0).contains(&wait), "{wait} s");
}

#[test]
fn a_profile_of_a_dead_server_is_taken() {
    let played = Place::new().play(
        &PROFILE_SERVICE,
        "--db :memory: --servers 2 --at 10s:join:A:7:Ann --at 60s:kill:A --at 70s:join:B:7:Ann --at 200s:leave:B:7",
    );
    played.expect_one_owner(&[("A", 60.0)]);
    played.expect_nothing_lost();
    let wait = played.wait("B");
    // Eight more looks, 7 s apart, and the ninth takes it.
    assert!((60.0..66.0).contains(&wait), "{wait} s");
}
