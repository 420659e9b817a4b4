//! ProfileStore where calls fail, or succeed without telling.

use crate::support::{PROFILE_STORE, Place};

/// Ann moves between two servers every minute, and stays on the last one until everything is well again.
const MOVES: &str = "--servers 2 --latency 20..500ms --at 1s:join:A:7:Ann --at 60s:leave:A:7 --at 62s:join:B:7:Ann
    --at 120s:join:A:7:Ann --at 150s:leave:B:7 --at 240s:leave:A:7 --at 241s:join:B:7:Ann --at 400s:leave:B:7 --max-sim 460s";

#[track_caller]
fn survives(faults: &[&str]) {
    let mut injected = 0;
    for seed in 1..=4 {
        let place = Place::new();
        let faults: String = faults.iter().map(|fault| format!(" --fault {fault}")).collect();
        let played = place.play(&PROFILE_STORE, &format!("--db db --seed {seed}{faults} {MOVES}"));
        played.expect_one_owner(&[]);
        played.expect_nothing_lost();
        let last = played.first("B", "has");
        assert!(
            played.all("has").any(|has| has.server == "B" && has.time > 241.0),
            "seed {seed}: {last:?} {played:#?}"
        );
        let stored = place.stored("PlayerStore", "7");
        let newest = played.all("saved").map(|saved| saved.coins()).max();
        assert_eq!(stored["Data"]["Coins"].as_i64(), newest, "seed {seed}: the last save counts: {played:#?}");
        assert_eq!(stored["MetaData"].get("ActiveSession"), None, "seed {seed}: {stored}");
        injected += played.faults;
    }
    assert!(injected > 4, "there were {injected} faults");
}

#[test]
fn nothing_saved_is_lost_when_calls_are_refused() {
    survives(&["UpdateAsync:p=0.3:@0..300s:502"]);
}

#[test]
fn nothing_saved_is_lost_when_answers_are_lost() {
    survives(&["UpdateAsync:p=0.3:@0..300s:unknown"]);
}

#[test]
fn nothing_saved_is_lost_when_all_goes_wrong_at_once() {
    survives(&[
        "UpdateAsync:p=0.1:@0..300s:unknown",
        "UpdateAsync:p=0.1:@0..300s:502",
        "UpdateAsync:p=0.1:@0..300s:throttle",
        "UpdateAsync:@100s..110s:502",
        "messaging:p=0.3:@0..300s:drop",
    ]);
}
