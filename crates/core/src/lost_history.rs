//! Whether the store still has what it has acknowledged (`ownership-protocol.md` A16).
//!
//! Owns: how far each lane has been acknowledged, what the store is asked about that, and what follows from its answer: a standby
//! took over, with everything or not, or an old copy of the store is back. Does not own: asking (beats), what becomes of leases
//! and caches then (`lease`, the shell), lanes.
//!
//! What a store has lost is the end of its history. So it is enough to ask about the last batch of each lane: if that is there,
//! so is everything before it. And a lease that was granted behind it may be gone although no write is: whoever takes over,
//! leases are asked for again.

use crate::backend::{BeatAnswer, LaneId, LaneMark};

/// What an answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Same,
    /// Another copy of the store answers. Ask again at once: about all lanes.
    AskAgain,
    /// Another copy has taken over, and has everything that was acknowledged.
    TakenOver,
    /// Acknowledged writes are gone: so many batches of this process.
    Lost(u64),
}

/// The last batches that were acknowledged to this process.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// Of the last answer; 0 before the first one, and where there are no copies.
    timeline: u32,
    /// It has changed, and the lanes have not been compared yet.
    was_taken_over: bool,
    lanes: Vec<Mark>,
}

/// One lane.
#[derive(Debug)]
struct Mark {
    lane: LaneId,
    seq: u64,
    /// The timeline on which the store was last seen to know the lane. Rows of lanes go a day after their incarnation ended: one that
    /// is gone on the same timeline tells nothing.
    known_on: Option<u32>,
    /// It is to be asked about.
    is_open: bool,
}

impl Acknowledged {
    /// A batch has been acknowledged. Before its callers are answered.
    pub fn acknowledged(&mut self, lane: LaneId, seq: u64) {
        if let Some(mark) = self.lanes.iter_mut().find(|mark| mark.lane == lane) {
            (mark.seq, mark.is_open) = (seq, true);
        } else {
            self.lanes.push(Mark { lane, seq, known_on: None, is_open: true });
        }
    }

    /// What the next beat asks about: nothing if nothing was acknowledged since the last one.
    pub fn open(&self) -> Vec<LaneMark> {
        let open = self.lanes.iter().filter(|mark| mark.is_open);
        open.map(|mark| LaneMark { lane: mark.lane, seq: mark.seq }).collect()
    }

    /// The answer to a beat that asked about these lanes.
    pub fn answered(&mut self, asked: &[LaneMark], answer: &BeatAnswer) -> Verdict {
        let is_first = self.timeline == 0;
        if std::mem::replace(&mut self.timeline, answer.timeline) != answer.timeline && !is_first {
            self.was_taken_over = true;
            self.lanes.iter_mut().for_each(|mark| mark.is_open = true);
            return Verdict::AskAgain;
        }
        let lost: u64 = asked.iter().zip(&answer.lanes).map(|(asked, stored)| self.compare(asked, *stored)).sum();
        if lost > 0 {
            // Said once. What is acknowledged from now on is compared anew.
            (self.was_taken_over, self.lanes) = (false, Vec::new());
            return Verdict::Lost(lost);
        }
        self.forget_earlier();
        match std::mem::take(&mut self.was_taken_over) {
            true => Verdict::TakenOver,
            false => Verdict::Same,
        }
    }

    /// How many batches of the lane the store has lost.
    fn compare(&mut self, asked: &LaneMark, stored: Option<u64>) -> u64 {
        let timeline = self.timeline;
        let Some(mark) = self.lanes.iter_mut().find(|mark| mark.lane == asked.lane) else { return 0 };
        match stored {
            Some(stored) if stored < asked.seq => return asked.seq - stored,
            None if mark.known_on != Some(timeline) => return asked.seq,
            Some(_) => mark.known_on = Some(timeline),
            None => {}
        }
        // Unless more has been acknowledged meanwhile.
        mark.is_open = mark.seq != asked.seq;
        0
    }

    /// Lanes of earlier incarnations: the store has them, and a later lane of the same number, which it got behind them.
    fn forget_earlier(&mut self) {
        let mut later = Vec::new();
        for mark in std::mem::take(&mut self.lanes).into_iter().rev() {
            if mark.is_open || later.iter().all(|later: &Mark| later.lane.number != mark.lane.number) {
                later.push(mark);
            }
        }
        later.reverse();
        self.lanes = later;
    }
}

#[cfg(test)]
mod tests;
