//! Lapis 0.3.8: documents with a lock that others wait for, loaded through the runtime of roblox-ts 3.0.0.

use crate::support::{LAPIS, Place};

#[test]
fn documents_are_loaded_saved_and_found_after_a_restart() {
    let place = Place::new();
    let first = place.play(
        &LAPIS,
        "--servers 1 --db db --start-time 1767225600 --at 1s:join:A:7:Ann --at 400s:kill:A --max-sim 410s",
    );
    assert!(first.complaints.is_empty(), "{:#?}", first.complaints);
    let has = first.first("A", "has");
    assert_eq!((has.coins(), has.loads()), (0, 1));
    let stored = place.stored("PlayerStore", "Player_7");
    assert_eq!(stored["data"]["coins"], 299, "as at the autosave after 300 s: {stored}");

    // The dead server's lock holds for half an hour.
    let second =
        place.play(&LAPIS, "--servers 1 --db db --start-time 1767229200 --at 1s:join:A:7:Ann --at 31s:leave:A:7");
    second.expect_calm();
    let has = second.first("A", "has");
    assert_eq!((has.coins(), has.loads()), (299, 2));
    let ends = second.first("A", "ends");
    let stored = place.stored("PlayerStore", "Player_7");
    assert_eq!(stored["data"]["coins"], ends.coins());
    assert_eq!(stored.get("lockId"), None);
}

#[test]
fn a_document_is_handed_over_when_it_is_closed() {
    let played = Place::new().play(
        &LAPIS,
        "--db :memory: --servers 2 --latency 20..80ms --at 1s:join:A:7:Ann --at 30s:join:B:7:Ann --at 36s:leave:A:7
         --at 60s:leave:B:7",
    );
    assert!(played.complaints.iter().all(|text| text.contains("Could not acquire lock")), "{:#?}", played.complaints);
    played.expect_one_owner(&[]);
    played.expect_nothing_lost();
    assert_eq!(played.first("B", "has").coins(), played.first("A", "ends").coins());
    let wait = played.first("B", "has").time - played.first("A", "ends").time;
    assert!((0.0..1.5).contains(&wait), "it looks every second: {wait} s");
}

#[test]
fn a_document_that_stays_locked_is_refused() {
    let played =
        Place::new().play(&LAPIS, "--db :memory: --servers 2 --at 1s:join:A:7:Ann --at 30s:join:B:7:Ann --max-sim 90s");
    let refused = played.first("B", "none");
    assert!((48.0..54.0).contains(&refused.time), "20 looks, 1 s apart: {refused:?}");
    assert_eq!(played.all("has").count(), 1);
}
