//! The lanes of the process: batches from all games, one in flight in each lane.
//!
//! Owns: gathering rows from the flushers whose turn it is, in equal shares of rows and bytes; driving `core::lane`; timing
//! its pauses. Does not own: turns (`core::turns`), the rules of a bad outcome (`core::lane`), the rows (`flusher`),
//! incarnations (`session_lock`).
//!
//! No timed linger: rows are asked for when a batch may start, through the flushers' mailboxes, so that everything that was
//! sent to them before is gathered too (`decisions.md` 5).

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, Batch, BatchRow, Incarnation, LaneId, RowOutcome,
};
use clawstore_core::clock::Clock;
use clawstore_core::lane::{Lane, LaneEffect};
use clawstore_core::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use clawstore_core::turns::{LaneLoad, Turn, Turns};
use clawstore_core::write_batch::RowResult;
use clawstore_core::{EntryKey, GameId};
use metrics::{counter, histogram};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::flusher::FlusherMsg;
use crate::metric_definitions::{BATCH_FAILURES_TOTAL, BATCH_ROWS, COMMIT_SECONDS, TRACE_BATCHES};
use crate::ownership::Ownership;

type CommitResult = Result<Vec<RowOutcome>, BackendError>;

#[derive(Debug)]
pub(crate) enum LaneMsg {
    /// A game has been opened.
    Register(GameId, ActorRef<FlusherMsg>),
    /// A game that had no rows waiting has some.
    Ready(GameId),
    /// A game has many rows waiting.
    Crowded(GameId),
    /// The answer to `FlusherMsg::Take`; `more` rows are waiting.
    Taken { game: GameId, rows: Vec<BatchRow>, more: bool },
    /// The batch in flight in a lane has come back, this long after it was sent.
    Outcome(usize, CommitResult, Duration),
    /// Send the batch in flight in a lane again.
    Resend(usize),
    /// A lane's pause is over.
    Rested(usize),
    /// The process has a new incarnation.
    Rejoin(Incarnation),
}

pub(crate) struct LaneActor {
    clock: Arc<dyn Clock>,
    backend: Arc<dyn Backend>,
    ownership: Option<Arc<Ownership>>,
    /// Why the store has halted: seen by the process.
    halted: Arc<OnceLock<String>>,
}

/// Rows being asked for.
struct Gathering {
    /// For this lane.
    lane: usize,
    crowded: bool,
    /// Games whose flushers have not answered.
    awaited: Vec<GameId>,
    rows: Vec<BatchRow>,
}

/// One lane, whether it rests, and what its last batch was.
struct Seat {
    lane: Lane,
    resting: bool,
    crowded: bool,
}

impl Seat {
    fn load(&self) -> LaneLoad {
        if self.lane.is_idle() && !self.resting {
            return LaneLoad::Free;
        }
        LaneLoad::Busy { crowded: self.crowded, in_trouble: self.resting || self.lane.is_in_trouble() }
    }
}

pub(crate) struct LaneState {
    seats: Vec<Seat>,
    flushers: HashMap<GameId, ActorRef<FlusherMsg>>,
    turns: Turns,
    gathering: Option<Gathering>,
}

impl LaneActor {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        backend: Arc<dyn Backend>,
        ownership: Option<Arc<Ownership>>,
        halted: Arc<OnceLock<String>>,
    ) -> Self {
        Self { clock, backend, ownership, halted }
    }

    /// Asks for rows, if a batch may start.
    fn gather(&self, state: &mut LaneState) {
        if state.gathering.is_some() || state.turns.is_empty() {
            return;
        }
        let loads: Vec<_> = state.seats.iter().map(Seat::load).collect();
        let Some(turn) = state.turns.next(self.clock.now(), &loads, BATCH_ROWS_MAX) else { return };
        let Turn { lane, games, crowded, rows } = turn;
        // Equal shares: a game with much to save costs the others no more than their turn.
        let shares = games.len().max(1);
        let (rows, bytes) = ((rows / shares).max(1), BATCH_BYTES_MAX / shares);
        let mut awaited = Vec::with_capacity(shares);
        for game in games {
            // One game a batch may have a row above its share; the others' wait for their turn to be first.
            let take = FlusherMsg::Take { rows, bytes, oversized: awaited.is_empty() };
            if let Some(flusher) = state.flushers.get(&game)
                && flusher.cast(take).is_ok()
            {
                awaited.push(game);
            }
        }
        if !awaited.is_empty() {
            state.gathering = Some(Gathering { lane, crowded, awaited, rows: Vec::new() });
        }
    }

    fn taken(&self, me: &ActorRef<LaneMsg>, state: &mut LaneState, game: GameId, rows: Vec<BatchRow>, more: bool) {
        state.turns.taken(self.clock.now(), game, more);
        let Some(gathering) = &mut state.gathering else { return };
        gathering.awaited.retain(|awaited| *awaited != game);
        if gathering.rows.is_empty() {
            gathering.rows = rows;
        } else {
            gathering.rows.extend(rows);
        }
        if !gathering.awaited.is_empty() {
            return;
        }
        let Some(Gathering { lane, crowded, rows, .. }) = state.gathering.take() else { return };
        if let Some(seat) = state.seats.get_mut(lane).filter(|_| !rows.is_empty()) {
            seat.crowded = crowded;
            let effects = seat.lane.start(rows);
            self.execute(me, state, lane, effects);
        }
    }

    /// A flusher has ended. If it died, its game's accepted writes have ended as UNKNOWN, and the process stops writing:
    /// a fault in here is not one to go on with.
    fn flusher_ended(&self, me: &ActorRef<LaneMsg>, state: &mut LaneState, actor: ActorId, died: bool) {
        let game = state.flushers.iter().find(|(_, flusher)| flusher.get_id() == actor).map(|(game, _)| *game);
        if died {
            tracing::error!(target: TRACE_BATCHES, ?game, "a flusher died: the store stops");
            self.halt("a flusher died");
        }
        if let Some(game) = game {
            state.flushers.remove(&game);
            state.turns.remove(game);
            self.taken(me, state, game, Vec::new(), false);
            self.gather(state);
        }
    }

    fn outcome(
        &self,
        me: &ActorRef<LaneMsg>,
        state: &mut LaneState,
        lane: usize,
        result: CommitResult,
        took: Duration,
    ) {
        histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
        match &result {
            Ok(rows) => {
                #[expect(clippy::cast_precision_loss, reason = "at most 1,024")]
                histogram!(BATCH_ROWS).record(rows.len() as f64);
            }
            Err(error) => {
                counter!(BATCH_FAILURES_TOTAL, "kind" => format!("{:?}", error.kind)).increment(1);
                tracing::warn!(target: TRACE_BATCHES, kind = ?error.kind, %error, "a batch did not commit");
            }
        }
        let Some(seat) = state.seats.get_mut(lane) else { return };
        let is_answered = result.is_ok();
        let effects = seat.lane.outcome(result);
        if let Some(ownership) = self.ownership.as_ref().filter(|_| is_answered) {
            ownership.acknowledged(seat.lane.id(), seat.lane.last_committed());
        }
        if let Some(why) = seat.lane.halted() {
            self.halt(why);
        }
        seat.resting |= effects.iter().any(|effect| matches!(effect, LaneEffect::Rest(_)));
        if seat.lane.is_idle() {
            // Ask for the next rows before the flushers answer the callers of these: the store works meanwhile.
            self.gather(state);
        }
        self.execute(me, state, lane, effects);
    }

    fn execute(&self, me: &ActorRef<LaneMsg>, state: &mut LaneState, lane: usize, effects: Vec<LaneEffect>) {
        let mut settled: HashMap<GameId, Vec<(EntryKey, RowResult)>> = HashMap::new();
        for effect in effects {
            match effect {
                LaneEffect::Send(batch) => self.send(me.clone(), lane, batch),
                LaneEffect::ResendAfter(pause) => drop(me.send_after(pause, move || LaneMsg::Resend(lane))),
                LaneEffect::Settle(key, result) => settled.entry(key.store.game).or_default().push((key, result)),
                LaneEffect::Rest(pause) => drop(me.send_after(pause, move || LaneMsg::Rested(lane))),
                LaneEffect::Over => self.over(state, lane),
            }
        }
        for (game, rows) in settled {
            if let Some(flusher) = state.flushers.get(&game) {
                // A flusher that has stopped has answered its callers.
                let _ = flusher.cast(FlusherMsg::Settled(rows));
            }
        }
    }

    /// Nothing is written any more: calls fail at once, and other processes may have the keys.
    fn halt(&self, why: &str) {
        self.halted.get_or_init(|| why.to_owned());
        if let Some(ownership) = &self.ownership {
            ownership.halt();
        }
    }

    /// The store does not know the lane any more: nothing is sent in it until the process has a new incarnation.
    fn over(&self, state: &LaneState, lane: usize) {
        let incarnation = state.seats.get(lane).map(|seat| seat.lane.id().incarnation);
        tracing::error!(target: TRACE_BATCHES, ?incarnation, "the store does not know this lane any more");
        match (&self.ownership, incarnation) {
            (Some(ownership), Some(incarnation)) => ownership.over(incarnation),
            // Nobody can give it another name.
            _ => self.halt("the store does not know the lane any more"),
        }
    }

    fn rejoin(state: &mut LaneState, incarnation: Incarnation) {
        for (number, seat) in (0..).zip(&mut state.seats) {
            seat.lane.rejoin(LaneId { incarnation, number });
        }
    }

    fn send(&self, me: ActorRef<LaneMsg>, lane: usize, batch: Arc<Batch>) {
        let backend = Arc::clone(&self.backend);
        #[expect(
            clippy::disallowed_methods,
            reason = "one per lane: the batch in flight; commit times are only shown"
        )]
        tokio::spawn(async move {
            let sent = Instant::now();
            let mut commit = backend.commit_batch(batch);
            let result = std::future::poll_fn(|context| {
                // A backend that panics in the middle of a commit: what it has done cannot be known.
                catch_unwind(AssertUnwindSafe(|| commit.as_mut().poll(context))).unwrap_or_else(|_| {
                    Poll::Ready(Err(BackendError::new(BackendErrorKind::Halted, "The store failed in a commit.")))
                })
            })
            .await;
            let _ = me.cast(LaneMsg::Outcome(lane, result, sent.elapsed()));
        });
    }
}

impl Actor for LaneActor {
    type Msg = LaneMsg;
    type State = LaneState;
    type Arguments = ();

    async fn pre_start(&self, _me: ActorRef<LaneMsg>, (): ()) -> Result<LaneState, ActorProcessingErr> {
        let incarnation =
            self.ownership.as_ref().map_or_else(Incarnation::default, |ownership| ownership.incarnation());
        let lane = |number| Lane::new(LaneId { incarnation, number });
        let seat = |number| Seat { lane: lane(number), resting: false, crowded: false };
        let seats = (0..self.backend.lanes().max(1)).map(seat).collect();
        Ok(LaneState { seats, flushers: HashMap::new(), turns: Turns::default(), gathering: None })
    }

    async fn handle(
        &self,
        me: ActorRef<LaneMsg>,
        msg: LaneMsg,
        state: &mut LaneState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            LaneMsg::Register(game, flusher) => drop(state.flushers.insert(game, flusher)),
            LaneMsg::Ready(game) => state.turns.ready(self.clock.now(), game, false),
            LaneMsg::Crowded(game) => state.turns.ready(self.clock.now(), game, true),
            LaneMsg::Taken { game, rows, more } => self.taken(&me, state, game, rows, more),
            LaneMsg::Outcome(lane, result, took) => self.outcome(&me, state, lane, result, took),
            LaneMsg::Resend(lane) => {
                let effect = state.seats.get(lane).and_then(|seat| seat.lane.resend());
                self.execute(&me, state, lane, effect.into_iter().collect());
            }
            LaneMsg::Rested(lane) => {
                if let Some(seat) = state.seats.get_mut(lane) {
                    seat.resting = false;
                }
            }
            LaneMsg::Rejoin(incarnation) => Self::rejoin(state, incarnation),
        }
        self.gather(state);
        Ok(())
    }

    /// Flushers are linked to the lane, so that it does not wait for one that has ended.
    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<LaneMsg>,
        event: SupervisionEvent,
        state: &mut LaneState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, _) => self.flusher_ended(&me, state, actor.get_id(), true),
            // Only a game that closes tells its flusher to stop, and gives no reason; ractor says "killed".
            SupervisionEvent::ActorTerminated(actor, _, reason) => {
                self.flusher_ended(&me, state, actor.get_id(), reason.is_some());
            }
            _ => {}
        }
        Ok(())
    }
}
