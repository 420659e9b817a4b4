//! Simulated players and other events: what happens when.
//!
//! Owns: names and user ids of players, which are the same in every run, and the timetable. Does not own: the Player that
//! scripts see (`clawstore-luau`).

use std::time::Duration;

use crate::args::values::{Range, What};
use crate::run::plan::Event;

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

/// What is still to come, the next one last.
#[derive(Debug)]
pub(crate) struct Timetable {
    events: Vec<(Duration, Event)>,
    has_players: bool,
}

impl Timetable {
    /// So many simulated players on each of so many servers, and `others`.
    pub(crate) fn new(servers: usize, players: u32, session: Range, others: Vec<(Duration, Event)>) -> Self {
        let interval = JOIN_INTERVAL_MAX.min(JOINING / players.max(1));
        let mut events = others;
        for server in 0..servers {
            for index in 0..players {
                let joins = FIRST_JOIN + interval * index;
                let number = u32::try_from(server).unwrap_or(u32::MAX).saturating_mul(players).saturating_add(index);
                let user_id = FIRST_USER_ID + i64::from(number);
                let join = What::Join { user_id, name: name(number) };
                events.push((joins, Event { server, what: join }));
                let leave = What::Leave { user_id };
                events.push((joins + stay(index, session), Event { server, what: leave }));
            }
        }
        // Stable: of two at the same time the one that was given first comes first.
        events.sort_by_key(|event| event.0);
        events.reverse();
        let has_players = events.iter().any(|(_, event)| matches!(event.what, What::Join { .. }));
        Self { events, has_players }
    }

    /// Nothing happens any more.
    pub(crate) fn empty() -> Self {
        Self { events: Vec::new(), has_players: false }
    }

    /// The next event that is due at this time since the start.
    pub(crate) fn next_due(&mut self, elapsed: Duration) -> Option<Event> {
        self.events.pop_if(|event| event.0 <= elapsed).map(|event| event.1)
    }

    /// When the next event is due.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        self.events.last().map(|event| event.0)
    }

    /// Nothing is to come.
    pub(crate) fn is_over(&self) -> bool {
        self.events.is_empty()
    }

    /// Some players join.
    pub(crate) fn has_players(&self) -> bool {
        self.has_players
    }
}

fn name(index: u32) -> String {
    let names = NAMES.len() as u32;
    let name = NAMES[(index % names) as usize];
    if index < names { name.to_owned() } else { format!("{name}{}", index / names + 1) }
}

/// Spread over the range so that no order is seen: multiples of the golden ratio, without their whole part.
fn stay(index: u32, session: Range) -> Duration {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let part = (f64::from(index) * GOLDEN + 0.5).fract();
    session.shortest + (session.longest - session.shortest).mul_f64(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(shortest: u64, longest: u64) -> Range {
        Range { shortest: Duration::from_secs(shortest), longest: Duration::from_secs(longest) }
    }

    #[test]
    fn everyone_joins_once_and_leaves_after_that() {
        let mut table = Timetable::new(2, 20, session(3, 9), Vec::new());
        let (mut present, mut names) = (Vec::new(), Vec::new());
        while let Some(event) = table.next_due(Duration::from_secs(3600)) {
            match event.what {
                What::Join { user_id, name } => {
                    present.push((event.server, user_id));
                    names.push(name);
                }
                What::Leave { user_id } => present.retain(|player| *player != (event.server, user_id)),
                other => panic!("{other:?}"),
            }
        }
        assert!(table.is_over() && table.has_players() && present.is_empty());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 40);
    }

    #[test]
    fn the_quick_start_ends_within_35_seconds() {
        let mut table = Timetable::new(1, 8, session(12, 20), Vec::new());
        while table.next_due(Duration::from_secs(24)).is_some() {}
        assert!(!table.is_over());
        while table.next_due(Duration::from_secs(35)).is_some() {}
        assert!(table.is_over());
    }

    #[test]
    fn events_of_one_time_keep_their_order() {
        let event = |what: What| (Duration::from_secs(1), Event { server: 0, what });
        let leave = |user_id: i64| event(What::Leave { user_id });
        let mut table = Timetable::new(1, 0, session(1, 1), vec![leave(1), leave(2), event(What::Close)]);
        let order: Vec<What> =
            std::iter::from_fn(|| table.next_due(Duration::from_secs(1))).map(|due| due.what).collect();
        assert_eq!(order, [What::Leave { user_id: 1 }, What::Leave { user_id: 2 }, What::Close]);
        assert!(!table.has_players());
    }
}
