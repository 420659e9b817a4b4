//! Which games' rows form the next batch, and in which lane.
//!
//! Owns: turns of the games that have rows waiting; keeping a game that floods out of the batches of the others; when a
//! second lane is used. Does not own: the rows (`write_batch`), batches in flight (`lane`).
//!
//! A game is *crowded* while more rows of it wait than a small batch holds. Crowded games go in batches of their own, and
//! leave one lane to the others while there are others: a row waits for a small batch then, not for a big one. Their batches are
//! smaller then, too: a thousand callers answered at once keep the processors from everyone else. A
//! second batch of the others is never sent beside the first, unless the first is in trouble: two small batches cost more than
//! one of their size.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::clock::Moment;
use crate::entry_key::GameId;
use crate::limits::{BATCH_ROWS_BESIDE_OTHERS, BATCH_ROWS_MAX};

/// A game that had rows within this time is one for whom a lane is left free: games save every second or more often.
const AROUND: Duration = Duration::from_secs(2);

/// What a lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneLoad {
    /// Nothing: it may take a batch.
    Free,
    /// It carries a batch, or rests.
    Busy {
        /// The batch is of crowded games.
        crowded: bool,
        /// Its outcome has been bad or unknown at least once.
        in_trouble: bool,
    },
}

/// A batch to be gathered.
#[derive(Debug, PartialEq, Eq)]
pub struct Turn {
    /// Number of the lane.
    pub lane: usize,
    /// Whose rows, each with an equal share.
    pub games: Vec<GameId>,
    /// They are crowded.
    pub crowded: bool,
    /// Most rows of the batch.
    pub rows: usize,
}

/// The games that have rows waiting.
#[derive(Debug, Default)]
pub struct Turns {
    /// In order; each game once.
    ready: VecDeque<GameId>,
    crowded: HashSet<GameId, FixedState>,
    last_ready: HashMap<GameId, Moment, FixedState>,
}

impl Turns {
    /// A game has rows waiting; `crowded`: many.
    pub fn ready(&mut self, now: Moment, game: GameId, crowded: bool) {
        self.last_ready.insert(game, now);
        if crowded {
            self.crowded.insert(game);
        }
        if !self.ready.contains(&game) {
            self.ready.push_back(game);
        }
    }

    /// Rows of a game have been taken; `more` are waiting.
    pub fn taken(&mut self, now: Moment, game: GameId, more: bool) {
        if more {
            self.ready(now, game, true);
        } else {
            self.crowded.remove(&game);
        }
    }

    /// No game has rows waiting.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// A game has ended.
    pub fn remove(&mut self, game: GameId) {
        self.ready.retain(|ready| *ready != game);
        self.crowded.remove(&game);
        self.last_ready.remove(&game);
    }

    /// The next batch, if one may start now. At most `most` games.
    pub fn next(&mut self, now: Moment, lanes: &[LaneLoad], most: usize) -> Option<Turn> {
        let lane = lanes.iter().position(|load| *load == LaneLoad::Free)?;
        if self.ready.is_empty() {
            return None;
        }
        if lanes.len() == 1 {
            let games = take(&mut self.ready, most, |_| true);
            return Some(Turn { lane, games, crowded: false, rows: BATCH_ROWS_MAX });
        }
        let carries = |load: &LaneLoad, wanted: bool| matches!(load, LaneLoad::Busy { crowded, in_trouble: false } if *crowded == wanted);
        let crowded = &self.crowded;
        let is_crowded = |game: &GameId| crowded.contains(game);
        let has_others = self.ready.iter().any(|game| !is_crowded(game));
        if has_others && !lanes.iter().any(|load| carries(load, false)) {
            let games = take(&mut self.ready, most, |game| !is_crowded(game));
            return Some(Turn { lane, games, crowded: false, rows: BATCH_ROWS_MAX });
        }
        let has_crowded = self.ready.iter().any(is_crowded);
        let is_flooding = lanes.iter().any(|load| carries(load, true));
        let others = has_crowded && self.others_are_around(now);
        if has_crowded && !(is_flooding && others) {
            let games = take(&mut self.ready, most, is_crowded);
            let rows = if others { BATCH_ROWS_BESIDE_OTHERS } else { BATCH_ROWS_MAX };
            return Some(Turn { lane, games, crowded: true, rows });
        }
        None
    }

    fn others_are_around(&self, now: Moment) -> bool {
        self.last_ready.iter().any(|(game, &at)| now.since(at) < AROUND && !self.crowded.contains(game))
    }
}

/// The first of those that are wanted, at most so many; the others keep their order.
fn take(ready: &mut VecDeque<GameId>, most: usize, wanted: impl Fn(&GameId) -> bool) -> Vec<GameId> {
    let (mut taken, mut left) = (Vec::new(), VecDeque::new());
    for game in ready.drain(..) {
        if taken.len() < most && wanted(&game) {
            taken.push(game);
        } else {
            left.push_back(game);
        }
    }
    *ready = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: LaneLoad = LaneLoad::Busy { crowded: false, in_trouble: false };
    const FLOOD: LaneLoad = LaneLoad::Busy { crowded: true, in_trouble: false };
    const TROUBLED: LaneLoad = LaneLoad::Busy { crowded: false, in_trouble: true };
    use LaneLoad::Free;

    fn turns(ready: &[(u64, bool)]) -> Turns {
        let mut turns = Turns::default();
        for &(game, crowded) in ready {
            turns.ready(Moment::default(), GameId::Number(game), crowded);
        }
        turns
    }

    fn next(turns: &mut Turns, lanes: &[LaneLoad]) -> Option<(usize, Vec<u64>)> {
        let turn = turns.next(Moment::default(), lanes, 8)?;
        Some((turn.lane, turn.games.into_iter().map(GameId::number).collect()))
    }

    #[test]
    fn small_loads_share_one_batch_at_a_time() {
        let mut turns = turns(&[(1, false), (2, false)]);
        assert_eq!(next(&mut turns, &[CALM, Free]), None, "they gather while the first is on its way");
        assert_eq!(next(&mut turns, &[Free, Free]), Some((0, vec![1, 2])));
        assert_eq!(next(&mut turns, &[Free, Free]), None);
    }

    #[test]
    fn one_game_with_much_to_save_uses_both_lanes() {
        let mut turns = turns(&[(1, true)]);
        assert_eq!(next(&mut turns, &[CALM, Free]), Some((1, vec![1])));
        turns.taken(Moment::default(), GameId::Number(1), true);
        assert_eq!(next(&mut turns, &[Free, FLOOD]), Some((0, vec![1])));
        turns.taken(Moment::default(), GameId::Number(1), false);
        turns.ready(Moment::default(), GameId::Number(1), false);
        assert_eq!(next(&mut turns, &[Free, CALM]), None, "it is not crowded any more");
    }

    #[test]
    fn a_flood_leaves_a_lane_to_the_others_while_they_are_around() {
        let mut turns = turns(&[(1, true), (2, false), (3, false)]);
        assert_eq!(next(&mut turns, &[Free, FLOOD]), Some((0, vec![2, 3])), "none of the flood among them");
        turns.taken(Moment::default(), GameId::Number(2), false);
        turns.taken(Moment::default(), GameId::Number(3), false);
        assert_eq!(next(&mut turns, &[Free, FLOOD]), None);
        assert_eq!(next(&mut turns, &[Free, CALM]), Some((0, vec![1])));
        turns.taken(Moment::default(), GameId::Number(1), true);
        let later = Moment::default() + AROUND;
        assert!(turns.next(later, &[Free, FLOOD], 8).is_some(), "nobody else has saved for a while");
    }

    #[test]
    fn a_flood_goes_in_small_batches_while_others_are_around() {
        let rows = |ready: &[(u64, bool)]| turns(ready).next(Moment::default(), &[CALM, Free], 8).map(|turn| turn.rows);
        assert_eq!(rows(&[(1, true)]), Some(BATCH_ROWS_MAX));
        assert_eq!(rows(&[(1, true), (2, false)]), Some(BATCH_ROWS_BESIDE_OTHERS));
    }

    #[test]
    fn a_batch_in_trouble_holds_up_nobody() {
        let mut turns = turns(&[(1, false)]);
        assert_eq!(next(&mut turns, &[TROUBLED, Free]), Some((1, vec![1])));
    }

    #[test]
    fn a_single_lane_takes_all_in_turn() {
        let mut turns = turns(&[(1, true), (2, false)]);
        assert_eq!(next(&mut turns, &[CALM]), None);
        assert_eq!(next(&mut turns, &[Free]), Some((0, vec![1, 2])));
    }

    #[test]
    fn a_game_that_has_ended_has_no_turn() {
        let mut turns = turns(&[(1, true), (2, false)]);
        turns.remove(GameId::Number(1));
        assert_eq!(next(&mut turns, &[Free, Free]), Some((0, vec![2])));
        assert!(turns.is_empty());
    }
}
