//! Simulated players: who joins when, and for how long.
//!
//! Owns: their names and user ids, which are the same in every run, and their timetable. Does not own: the Player that
//! scripts see (`clawstore-luau`).

use std::time::Duration;

use crate::args::Session;

const NAMES: [&str; 16] = [
    "Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gia", "Hugo", "Iris", "Jack", "Kim", "Leo", "Mia", "Nico", "Olga",
    "Paul",
];
/// User id of the first player.
const FIRST_USER_ID: i64 = 1001;
/// So that scripts have started.
const FIRST_JOIN: Duration = Duration::from_millis(500);
/// Pleasant to watch with few players.
const JOIN_INTERVAL_MAX: Duration = Duration::from_millis(1500);
/// Everyone has joined within this time.
const JOINING: Duration = Duration::from_secs(12);

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Join { user_id: i64, name: String },
    Leave { user_id: i64 },
}

/// What is still to come, the next one last.
#[derive(Debug)]
pub(super) struct Timetable {
    events: Vec<(Duration, Event)>,
    players: u32,
}

impl Timetable {
    pub(super) fn new(players: u32, session: Session) -> Self {
        let interval = JOIN_INTERVAL_MAX.min(JOINING / players.max(1));
        let mut events = Vec::new();
        for index in 0..players {
            let joins = FIRST_JOIN + interval * index;
            let user_id = FIRST_USER_ID + i64::from(index);
            events.push((joins, Event::Join { user_id, name: name(index) }));
            events.push((joins + stay(index, session), Event::Leave { user_id }));
        }
        events.sort_by_key(|event| std::cmp::Reverse(event.0));
        Self { events, players }
    }

    /// The next event that is due at this time since the start.
    pub(super) fn next_due(&mut self, elapsed: Duration) -> Option<Event> {
        self.events.pop_if(|event| event.0 <= elapsed).map(|event| event.1)
    }

    /// There were players, and the last one has left.
    pub(super) fn is_over(&self) -> bool {
        self.players > 0 && self.events.is_empty()
    }

    /// There are no players at all.
    pub(super) fn is_empty(&self) -> bool {
        self.players == 0
    }
}

fn name(index: u32) -> String {
    let names = NAMES.len() as u32;
    let name = NAMES[(index % names) as usize];
    if index < names { name.to_owned() } else { format!("{name}{}", index / names + 1) }
}

/// Spread over the range so that no order is seen: multiples of the golden ratio, without their whole part.
fn stay(index: u32, session: Session) -> Duration {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let part = (f64::from(index) * GOLDEN + 0.5).fract();
    session.shortest + (session.longest - session.shortest).mul_f64(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(shortest: u64, longest: u64) -> Session {
        Session { shortest: Duration::from_secs(shortest), longest: Duration::from_secs(longest) }
    }

    #[test]
    fn everyone_joins_once_and_leaves_after_that() {
        let mut table = Timetable::new(40, session(3, 9));
        let (mut present, mut names) = (Vec::new(), Vec::new());
        while let Some(event) = table.next_due(Duration::from_secs(3600)) {
            match event {
                Event::Join { user_id, name } => {
                    present.push(user_id);
                    names.push(name);
                }
                Event::Leave { user_id } => present.retain(|id| *id != user_id),
            }
        }
        assert!(table.is_over() && present.is_empty());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 40);
    }

    #[test]
    fn the_quick_start_ends_within_35_seconds() {
        let mut table = Timetable::new(8, session(12, 20));
        while table.next_due(Duration::from_secs(24)).is_some() {}
        assert!(!table.is_over());
        while table.next_due(Duration::from_secs(35)).is_some() {}
        assert!(table.is_over());
    }

    #[test]
    fn a_server_without_players_is_never_over() {
        let table = Timetable::new(0, session(1, 1));
        assert!(table.is_empty() && !table.is_over());
    }
}
