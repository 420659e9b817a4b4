//! Players who come and go, for the program and the bench.
//!
//! Owns: who joins, plays and leaves when. The same each time. Does not own: what they do in the game.

use crate::manager::{Departure, GameManager};

/// Players with the user ids from 1.
#[derive(Debug)]
pub struct Crowd {
    players: i64,
    /// Ticks between two visits of a player.
    visit_ticks: u64,
    /// Ticks that a player is away in between.
    pause_ticks: u64,
}

impl Crowd {
    /// So many players, each of whom leaves once in `visit_ticks` and comes back a second later.
    pub fn new(players: i64, visit_ticks: u64) -> Self {
        Self { players, visit_ticks: visit_ticks.max(120), pause_ticks: 60 }
    }

    /// Lets those join and leave whose time has come. Ten join in a tick at most.
    pub fn act(&self, manager: &mut GameManager, tick: u64) -> anyhow::Result<Vec<Departure>> {
        let mut departures = Vec::new();
        for user_id in 1..=self.players {
            // Spread over the visit, so that every tick has about as many.
            let place = u64::try_from(user_id).unwrap_or(0);
            let time = tick + place * self.visit_ticks / u64::try_from(self.players).unwrap_or(1);
            match time % self.visit_ticks {
                0 if tick > 0 => departures.extend(manager.leave(user_id)?),
                phase if phase == self.pause_ticks => drop(manager.join(user_id, &format!("Climber{user_id}"))?),
                _ if tick == place / 10 => drop(manager.join(user_id, &format!("Climber{user_id}"))?),
                _ => {}
            }
            if time.is_multiple_of(300) {
                manager.input(user_id);
            }
        }
        Ok(departures)
    }
}
