//! Quick start one: the example game, twice on one directory.

use crate::support::{Ended, Place, TYCOON};

const NAMES: [&str; 4] = ["Ada", "Ben", "Cleo", "Dan"];

fn play(place: &Place) -> Ended {
    let ended = place.ended(&[
        "run",
        TYCOON,
        "--db",
        "db",
        "--players",
        "4",
        "--session",
        "4..5",
        "--forbid",
        "^(warning|error)",
    ]);
    ended.expect(0).says("the last player has left").says("0 failed, 0 unknown");
    ended
}

/// What follows `mark` in the line that has it.
#[track_caller]
fn after<'a>(ended: &'a Ended, mark: &str) -> &'a str {
    let line = ended.out.lines().find_map(|line| Some(line.split_once(mark)?.1));
    line.unwrap_or_else(|| panic!("no line with {mark:?}:\n{}", ended.out))
}

#[test]
fn the_same_players_come_back_with_what_they_had() {
    let place = Place::new();
    let first = play(&place);
    for name in NAMES {
        after(&first, &format!("{name} is new here"));
        after(&first, &format!("saved {name} (leaving)"));
    }
    let second = play(&place);
    for name in NAMES {
        let owned = after(&first, &format!("{name} left with "));
        assert_eq!(after(&second, &format!("{name} came back with ")), owned);
    }
    after(&second, "visit number 8 of this game");
    after(&second, "every save has ended");
}
