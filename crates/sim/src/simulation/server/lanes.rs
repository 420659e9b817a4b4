//! The lanes of a process (mirrors `actors::lane`).
//!
//! Owns: gathering rows when a batch may start; driving `core::lane`; its pauses. Does not own: turns (`core::turns`), the rules of
//! a bad outcome (`core::lane`), the rows (`flusher`), incarnations (`session`).
//!
//! Three mutants live here: they settle an unknown outcome in ways that the rules forbid.

use std::sync::Arc;

use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, BatchRow, Incarnation, LaneId, RowOutcome};
use clawstore_core::lane::{Lane, LaneEffect};
use clawstore_core::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use clawstore_core::mutant::Mutant;
use clawstore_core::turns::{LaneLoad, Turns};
use clawstore_core::write_batch::RowResult;
use clawstore_core::{EntryKey, GameId};

use super::flusher::FlusherMsg;
use super::session::SessionMsg;
use super::{Awaited, CALL_DEADLINE, COMMIT_DEADLINE, Process, ServerEvent, Timer};
use crate::simulation::context::Context;
use crate::simulation::store::{Answer, Ask};
use crate::simulation::trace::Who;

const GAME: GameId = GameId::Number(1);

type CommitResult = Result<Vec<RowOutcome>, BackendError>;

#[derive(Debug)]
pub(super) enum LaneMsg {
    /// The game has rows waiting.
    Ready { crowded: bool },
    /// The answer to `FlusherMsg::Take`; `more` rows are waiting.
    Taken { rows: Vec<BatchRow>, more: bool },
    /// The batch in flight in a lane has come back.
    Outcome(usize, CommitResult),
    /// Send the batch in flight in a lane again.
    Resend(usize),
    /// A lane's pause is over.
    Rested(usize),
    /// The process has a new incarnation.
    Rejoin(Incarnation),
}

/// One lane, whether it rests, and what its last batch was.
#[derive(Debug)]
struct Seat {
    lane: Lane,
    rests: bool,
    is_crowded: bool,
    /// What is in flight.
    batch: Option<Arc<Batch>>,
}

#[derive(Debug)]
pub(super) struct Lanes {
    seats: Vec<Seat>,
    turns: Turns,
    /// Rows are being asked for, for this lane; crowded or not.
    gathering: Option<(usize, bool)>,
}

impl Lanes {
    pub(super) fn new(count: u16) -> Self {
        let lane = |number| Lane::new(LaneId { incarnation: Incarnation::default(), number });
        let seat = |number| Seat { lane: lane(number), rests: false, is_crowded: false, batch: None };
        Self { seats: (0..count).map(seat).collect(), turns: Turns::default(), gathering: None }
    }

    pub(super) fn rejoin(&mut self, incarnation: Incarnation) {
        for (number, seat) in (0..).zip(&mut self.seats) {
            seat.lane.rejoin(LaneId { incarnation, number });
        }
    }

    /// Is a row of the key in flight?
    pub(super) fn carries(&self, key: &EntryKey) -> bool {
        let rows = self.seats.iter().filter_map(|seat| seat.batch.as_ref()).flat_map(|batch| &batch.rows);
        rows.into_iter().any(|row| row.key == *key)
    }
}

impl Process {
    pub(super) fn lanes_handle(&mut self, context: &mut Context, message: LaneMsg) {
        match message {
            LaneMsg::Ready { crowded } => self.lanes.turns.ready(context.now, GAME, crowded),
            LaneMsg::Taken { rows, more } => self.taken(context, rows, more),
            LaneMsg::Outcome(lane, result) => self.outcome(context, lane, result),
            LaneMsg::Resend(lane) => {
                let effect = self.lanes.seats[lane].lane.resend();
                self.do_lane_effects(context, lane, effect.into_iter().collect());
            }
            LaneMsg::Rested(lane) => self.lanes.seats[lane].rests = false,
            LaneMsg::Rejoin(incarnation) => self.lanes.rejoin(incarnation),
        }
        self.gather(context);
    }

    /// Asks for rows, if a batch may start.
    fn gather(&mut self, context: &mut Context) {
        if self.lanes.gathering.is_some() || self.lanes.turns.is_empty() {
            return;
        }
        let load = |seat: &Seat| match seat.lane.is_idle() && !seat.rests {
            true => LaneLoad::Free,
            false => LaneLoad::Busy { crowded: seat.is_crowded, in_trouble: seat.rests || seat.lane.is_in_trouble() },
        };
        let loads: Vec<_> = self.lanes.seats.iter().map(load).collect();
        let Some(turn) = self.lanes.turns.next(context.now, &loads, BATCH_ROWS_MAX) else { return };
        self.lanes.gathering = Some((turn.lane, turn.crowded));
        // Small batches now and then, so that a key's writes are spread over several.
        let rows = if context.rng.chance(20) { 2 } else { turn.rows };
        self.cast_flusher(context, FlusherMsg::Take { rows, bytes: BATCH_BYTES_MAX });
    }

    fn taken(&mut self, context: &mut Context, rows: Vec<BatchRow>, more: bool) {
        self.lanes.turns.taken(context.now, GAME, more);
        let Some((lane, is_crowded)) = self.lanes.gathering.take().filter(|_| !rows.is_empty()) else { return };
        let seat = &mut self.lanes.seats[lane];
        seat.is_crowded = is_crowded;
        let effects = seat.lane.start(rows);
        self.do_lane_effects(context, lane, effects);
    }

    fn outcome(&mut self, context: &mut Context, lane: usize, result: CommitResult) {
        let seat = &mut self.lanes.seats[lane];
        let (was_in_flight, is_answered) = (seat.batch.take(), result.is_ok());
        let effects = match (&result, &was_in_flight) {
            (Err(error), Some(batch))
                if error.kind == BackendErrorKind::Over && self.mutant == Some(Mutant::LanesGoWithTheDead) =>
            {
                forget_lane(seat, batch)
            }
            _ => seat.lane.outcome(result),
        };
        if is_answered && let Some(session) = &mut self.session {
            session.acknowledged.acknowledged(seat.lane.id(), seat.lane.last_committed());
        }
        let keeps = effects.iter().any(|effect| matches!(effect, LaneEffect::ResendAfter(_)));
        seat.batch = was_in_flight.filter(|_| keeps);
        seat.rests |= effects.iter().any(|effect| matches!(effect, LaneEffect::Rest(_)));
        if seat.lane.is_idle() {
            // The next rows are asked for before the callers of these are answered.
            self.gather(context);
        }
        self.do_lane_effects(context, lane, effects);
    }

    fn do_lane_effects(&mut self, context: &mut Context, lane: usize, effects: Vec<LaneEffect>) {
        let mut settled = Vec::new();
        for effect in effects {
            match effect {
                LaneEffect::Send(batch) => self.send_batch(context, lane, batch),
                LaneEffect::ResendAfter(pause) => {
                    context.tell(self.me, pause, ServerEvent::Rings(Timer::Resend(lane)));
                }
                LaneEffect::Settle(key, result) => settled.push((key, result)),
                LaneEffect::Rest(pause) => context.tell(self.me, pause, ServerEvent::Rings(Timer::Rested(lane))),
                LaneEffect::Over => {
                    let incarnation = self.lanes.seats[lane].lane.id().incarnation;
                    self.cast_session(context, SessionMsg::Over(incarnation));
                }
            }
        }
        if !settled.is_empty() {
            self.cast_flusher(context, FlusherMsg::Settled(settled));
        }
    }

    fn send_batch(&mut self, context: &mut Context, lane: usize, batch: Arc<Batch>) {
        let (seq, rows) = (batch.seq, batch.rows.len() as u64);
        context.note(Who::Server(self.me.server), "sends batch {a} of {b} rows", seq, rows);
        self.lanes.seats[lane].batch = Some(Arc::clone(&batch));
        self.ask(context, COMMIT_DEADLINE, Ask::Commit(Arc::clone(&batch)), Awaited::Commit(lane, batch));
    }

    /// The database has answered to a batch, or not.
    pub(super) fn committed(
        &mut self,
        context: &mut Context,
        lane: usize,
        batch: &Arc<Batch>,
        answer: Result<Answer, BackendError>,
    ) {
        let result = outcomes(answer);
        let is_unknown = result.as_ref().is_err_and(|error| error.kind == BackendErrorKind::Unknown);
        match self.mutant {
            // Looks whether it is there, instead of sending it again.
            Some(Mutant::UnknownByReading) if is_unknown => {
                return self.ask(context, CALL_DEADLINE, Ask::LookUp(Arc::clone(batch)), Awaited::LookUp(lane));
            }
            // Goes on as if nothing had been sent.
            Some(Mutant::RerunBeforeSettling) if is_unknown => {
                let over = BackendError::new(BackendErrorKind::Over, "given up");
                return self.cast_lanes(context, LaneMsg::Outcome(lane, Err(over)));
            }
            None if result.as_ref().is_err_and(|error| error.kind == BackendErrorKind::Over) => {
                context.violated(format!("I7: batch {} of {:?} is out of order: {result:?}", batch.seq, batch.lane));
            }
            _ => {}
        }
        self.cast_lanes(context, LaneMsg::Outcome(lane, result));
    }

    pub(super) fn looked_up(&mut self, context: &mut Context, lane: usize, answer: Result<Answer, BackendError>) {
        let unavailable = |_| BackendError::new(BackendErrorKind::Unavailable, "it is not there");
        self.cast_lanes(context, LaneMsg::Outcome(lane, outcomes(answer).map_err(unavailable)));
    }
}

fn outcomes(answer: Result<Answer, BackendError>) -> CommitResult {
    match answer? {
        Answer::Committed(outcomes) => Ok(outcomes),
        _ => Err(BackendError::new(BackendErrorKind::Halted, "no answer to a batch")),
    }
}

/// What a mutant makes of a lane that is gone: as if its batch had never been sent.
fn forget_lane(seat: &mut Seat, batch: &Batch) -> Vec<LaneEffect> {
    let (id, not_sent) = (seat.lane.id(), RowResult::NotSent);
    seat.lane = Lane::new(id);
    let mut effects: Vec<_> =
        batch.rows.iter().map(|row| LaneEffect::Settle(row.key.clone(), not_sent.clone())).collect();
    effects.push(LaneEffect::Over);
    effects
}
