//! The session lock of the process: every key has one owner across servers.
//!
//! Owns: driving `core::lease`: beats, acquisitions for keys that are being activated, and starting over under a new incarnation;
//! giving keys to those who want them is in `hand_over`, what follows when the store has lost something in `losses`, the calls
//! to the store are in `store_calls`. Does not own: the rules
//! (`core::lease`), what an owner may do (`key_actor`), when an idle key's lease is given back (`passivation`).

mod hand_over;
mod losses;
mod store_calls;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use clawstore_core::backend::{
    Backend, BackendError, Beat, BeatAnswer, Fence, GiveBack, Hint, Incarnation, LeaseAnswer, LeaseAsk, LeaseRequest,
};
use clawstore_core::clock::{Clock, Moment};
use clawstore_core::entropy::Entropy;
use clawstore_core::key_machine::Input;
use clawstore_core::lease::{Granted, LeaseEffect, Leases, Sharing};
use clawstore_core::limits::SHARED_QUIET;
use clawstore_core::{EntryKey, GameId};
use metrics::{counter, histogram};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use crate::alarm::Alarm;
use crate::game::Game;
use crate::lane::LaneMsg;
use crate::metric_definitions::{ACQUIRE_SECONDS, ACQUISITIONS_TOTAL, INCARNATIONS_TOTAL, TRACE_LEASES};
use crate::ownership::{Grant, Ownership, Standing, nanos};
use crate::process::{Config, StartError};
use crate::slot::{Activation, Slot};

use store_calls::leases_of;

/// A key that is asked for, and the activation that waits for it.
#[derive(Debug)]
pub(crate) struct Want {
    pub(crate) slot: Arc<Slot>,
    pub(crate) generation: u64,
    /// Of an earlier activation, whose lease was kept.
    pub(crate) fence: Option<Fence>,
    /// The fence of a shared key that only this process has written for long: it is to be owned again.
    pub(crate) instead_of: Option<Fence>,
    pub(crate) reply: oneshot::Sender<Result<Grant, BackendError>>,
}

pub(crate) type Answer<T> = Result<T, BackendError>;

#[derive(Debug)]
pub(crate) enum SessionMsg {
    /// The lane is there: it is told of new incarnations.
    Lane(ActorRef<LaneMsg>),
    /// A game has been opened.
    Register(GameId, Weak<Game>),
    /// A key is being activated.
    Want(Want),
    /// A lease is not needed any more; `wanted`: because others wait for it.
    GiveBack {
        key: EntryKey,
        fence: Fence,
        wanted: bool,
    },
    /// Others wait for a key: seen in the outcome of a batch.
    Wanted(EntryKey),
    /// The store has halted: nothing will be written under these leases any more.
    Halt,
    /// A wanted key has been held long enough.
    HandOver(EntryKey, Fence),
    /// The store does not know the lanes of this incarnation any more.
    Over(Incarnation),
    /// Look what is due: armed for then.
    Tick(Moment),
    /// The process ends: all leases are free.
    Leave(oneshot::Sender<()>),
    /// A hint for this incarnation has arrived.
    Hinted(Incarnation, Hint),
    Joined(Incarnation, Moment, Answer<()>),
    Beaten(Moment, Beat, Answer<BeatAnswer>),
    Acquired(Incarnation, Vec<LeaseAsk>, Answer<Vec<LeaseAnswer>>),
    Released(Vec<GiveBack>, Answer<Vec<Incarnation>>),
    DeclaredDead(Answer<Vec<Incarnation>>),
    HintsSent,
    WantedListed(Incarnation, Answer<Vec<LeaseRequest>>),
}

/// Makes a first incarnation known and starts the session lock of the process.
pub(crate) async fn start(
    backend: &Arc<dyn Backend>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    config: &Config,
) -> Result<(Ownership, JoinHandle<()>), StartError> {
    let me = Incarnation::from_bits(entropy.bits());
    let sent = clock.now();
    leases_of(&**backend)?.join(me).await?;
    let (standing, games) = (Arc::new(Standing::default()), HashMap::new());
    standing.incarnation.store(me.0, Ordering::Release);
    let (leases, effects) = Leases::start(me, sent, config.hints);
    let state = SessionState {
        leases,
        lane: None,
        games,
        requests: HashMap::new(),
        alarm: Alarm::default(),
        beats_fail: false,
        hearing: None,
        has_left: false,
    };
    let (backend, clock, entropy) = (Arc::clone(backend), Arc::clone(clock), Arc::clone(entropy));
    let (standing_too, hints, sharing) = (Arc::clone(&standing), config.hints, config.sharing.clone());
    let actor = SessionLockActor { backend, clock, entropy, standing: standing_too, hints, sharing };
    let (session, ended) = Actor::spawn(None, actor, (state, effects)).await?;
    Ok((Ownership { session, standing }, ended))
}

pub(crate) struct SessionLockActor {
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    standing: Arc<Standing>,
    hints: bool,
    sharing: Sharing,
}

pub(crate) struct SessionState {
    leases: Leases,
    lane: Option<ActorRef<LaneMsg>>,
    games: HashMap<GameId, Weak<Game>>,
    requests: HashMap<EntryKey, Want>,
    alarm: Alarm,
    /// The last beat failed, and it was said.
    beats_fail: bool,
    /// Hears the hints for the incarnation of now.
    hearing: Option<AbortHandle>,
    has_left: bool,
}

impl SessionState {
    fn slot(&self, key: &EntryKey) -> Option<Arc<Slot>> {
        self.games.get(&key.store.game)?.upgrade()?.directory.existing(key)
    }
}

impl SessionLockActor {
    fn want(&self, state: &mut SessionState, want: Want) {
        // One that was given up must not take the place of the one that is waited for: both may have waited for an earlier
        // actor's writes.
        if !want.slot.is_activating(want.generation) {
            return;
        }
        let fence = want.fence.unwrap_or_else(|| Fence::from_bits(self.entropy.bits()));
        state.leases.want(self.clock.now(), &want.slot.key, fence, want.instead_of);
        // An earlier activation of the key that still waited here was given up: it hears so.
        state.requests.insert(want.slot.key.clone(), want);
    }

    /// Activations that nobody waits for any more.
    fn prune(state: &mut SessionState) {
        let SessionState { requests, leases, .. } = state;
        requests.retain(|key, want| {
            let is_wanted = want.slot.is_activating(want.generation);
            if !is_wanted {
                leases.withdraw(key);
            }
            is_wanted
        });
    }

    fn granted(&self, state: &mut SessionState, by: Incarnation, granted: Granted) {
        let Granted { key, fence, entry, is_shared, asked } = granted;
        let Some(mut want) = state.requests.remove(&key) else {
            if !is_shared {
                state.leases.give_back(key, fence);
            }
            return;
        };
        let quiet_since = entry.updated.unix_ms().saturating_add(SHARED_QUIET.as_millis() as u64);
        if is_shared && want.instead_of.is_none() && quiet_since < self.clock.wall().unix_ms() {
            // Nobody has written it for long: it is owned again, unless somebody does so now.
            want.instead_of = Some(fence);
            self.want(state, want);
            return;
        }
        counter!(ACQUISITIONS_TOTAL).increment(1);
        histogram!(ACQUIRE_SECONDS).record(self.clock.now().since(asked));
        let unused = want.reply.send(Ok(Grant { entry, fence, incarnation: by, is_shared })).is_err();
        if unused && !is_shared {
            state.leases.give_back(key, fence);
        }
    }

    /// No lease counts any more. What is active starts over; what is set aside loses its lease.
    fn drop_leases(&self, state: &SessionState) {
        self.standing.incarnation.store(0, Ordering::Release);
        self.standing.trusted_until.store(0, Ordering::Release);
        for game in state.games.values().filter_map(Weak::upgrade) {
            game.directory.for_each(|slot| {
                let mut slot_state = slot.lock();
                // Without its lease a live key is shown to nobody: the next trust is not for it.
                slot_state.lease = None;
                if let Activation::Live(actor) = &slot_state.activation {
                    let _ = actor.cast(Input::HandOver);
                }
            });
        }
    }

    fn execute(&self, me: &ActorRef<SessionMsg>, state: &mut SessionState, effects: Vec<LeaseEffect>) {
        // Else it takes its leave, and whoever found out why has said so.
        let is_dead = !effects.iter().any(|effect| matches!(effect, LeaseEffect::Leave(_)));
        for effect in effects {
            match effect {
                LeaseEffect::Granted(granted) => {
                    if let Some(by) = state.leases.me() {
                        self.granted(state, by, granted);
                    }
                }
                LeaseEffect::Refused(key, error) => {
                    if let Some(want) = state.requests.remove(&key) {
                        // An activation that was given up needs no answer.
                        let _ = want.reply.send(Err(error));
                    }
                }
                LeaseEffect::Wanted(leases) => {
                    for LeaseRequest { key, fence } in leases {
                        self.wanted(me, state, key, Some(fence));
                    }
                }
                LeaseEffect::TrustUntil(moment) => self.standing.trusted_until.store(nanos(moment), Ordering::Release),
                LeaseEffect::Over => {
                    if is_dead {
                        tracing::warn!(target: TRACE_LEASES, "this process was taken for dead: it starts over");
                    }
                    self.hear_hints(me, state, None);
                    self.drop_leases(state);
                }
                effect => self.ask_store(me.clone(), effect),
            }
        }
    }

    /// Does what is due, and sees to it that this is looked at again in time.
    fn pump(&self, me: &ActorRef<SessionMsg>, state: &mut SessionState) {
        let now = self.clock.now();
        let effects = state.leases.tick(now);
        self.execute(me, state, effects);
        if let Some(at) = state.leases.next_tick(now)
            && state.alarm.set(at)
        {
            me.send_after(at.since(now), move || SessionMsg::Tick(at));
        }
    }
}

impl Actor for SessionLockActor {
    type Msg = SessionMsg;
    type State = SessionState;
    type Arguments = (SessionState, Vec<LeaseEffect>);

    async fn pre_start(
        &self,
        me: ActorRef<SessionMsg>,
        (mut state, effects): Self::Arguments,
    ) -> Result<SessionState, ActorProcessingErr> {
        counter!(INCARNATIONS_TOTAL).increment(1);
        let incarnation = state.leases.me();
        self.hear_hints(&me, &mut state, incarnation);
        self.execute(&me, &mut state, effects);
        self.pump(&me, &mut state);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<SessionMsg>,
        msg: SessionMsg,
        state: &mut SessionState,
    ) -> Result<(), ActorProcessingErr> {
        if state.has_left {
            if let SessionMsg::Leave(left) = msg {
                let _ = left.send(());
            }
            return Ok(());
        }
        let now = self.clock.now();
        let effects = match msg {
            SessionMsg::Lane(lane) => {
                if let Some(incarnation) = state.leases.me() {
                    // Unless it has that name already.
                    let _ = lane.cast(LaneMsg::Rejoin(incarnation));
                }
                state.lane = Some(lane);
                Vec::new()
            }
            SessionMsg::Register(id, game) => {
                state.games.insert(id, game);
                Vec::new()
            }
            SessionMsg::Want(want) => {
                self.want(state, want);
                Vec::new()
            }
            SessionMsg::GiveBack { key, fence, wanted } => {
                if wanted {
                    self.give_away(state, key, fence);
                } else {
                    state.leases.give_back(key, fence);
                }
                Vec::new()
            }
            SessionMsg::Wanted(key) => {
                self.wanted(&me, state, key, None);
                Vec::new()
            }
            SessionMsg::HandOver(key, fence) => {
                self.hand_over(&me, state, key, fence);
                Vec::new()
            }
            SessionMsg::Tick(at) => {
                state.alarm.rang(at);
                Self::prune(state);
                Vec::new()
            }
            SessionMsg::Leave(left) => {
                self.leave(state, Some(left));
                return Ok(());
            }
            SessionMsg::Halt => {
                self.leave(state, None);
                return Ok(());
            }
            SessionMsg::Over(incarnation) => state.leases.start_over(now, incarnation),
            SessionMsg::Hinted(incarnation, hint) => {
                state.leases.hinted(now, incarnation, hint);
                Vec::new()
            }
            answer => self.answered(&me, state, now, answer),
        };
        self.execute(&me, state, effects);
        self.pump(&me, state);
        Ok(())
    }
}

impl SessionLockActor {
    /// An answer of the store.
    fn answered(
        &self,
        me: &ActorRef<SessionMsg>,
        state: &mut SessionState,
        now: Moment,
        answer: SessionMsg,
    ) -> Vec<LeaseEffect> {
        match answer {
            SessionMsg::Beaten(sent, beat, answer) => {
                match (&answer, std::mem::replace(&mut state.beats_fail, answer.is_err())) {
                    (Err(error), false) => {
                        tracing::warn!(target: TRACE_LEASES, %error, "a beat did not arrive; trying again until one does");
                    }
                    (Ok(_), true) => tracing::warn!(target: TRACE_LEASES, "beats arrive again"),
                    _ => {}
                }
                self.beaten(state, (now, sent), &beat, answer)
            }
            SessionMsg::Acquired(by, asks, answer) => state.leases.acquired(now, by, asks, answer),
            SessionMsg::Released(given, answer) => {
                state.leases.released(now, &given, answer);
                Vec::new()
            }
            SessionMsg::HintsSent => {
                state.leases.hints_sent();
                Vec::new()
            }
            SessionMsg::WantedListed(by, answer) => state.leases.wanted_listed(by, answer).into_iter().collect(),
            SessionMsg::DeclaredDead(answer) => {
                match &answer {
                    Ok(dead) if dead.is_empty() => {}
                    Ok(dead) => tracing::warn!(target: TRACE_LEASES, ?dead, "servers that stood still are dead"),
                    Err(error) => tracing::warn!(target: TRACE_LEASES, %error, "nobody could be declared dead"),
                }
                state.leases.declared_dead(now, answer);
                Vec::new()
            }
            SessionMsg::Joined(_, _, Err(error)) => {
                tracing::warn!(target: TRACE_LEASES, %error, "the store does not take this process among its servers");
                state.leases.join_failed(now);
                Vec::new()
            }
            SessionMsg::Joined(incarnation, sent, Ok(())) => {
                counter!(INCARNATIONS_TOTAL).increment(1);
                self.standing.incarnation.store(incarnation.0, Ordering::Release);
                if let Some(lane) = &state.lane {
                    let _ = lane.cast(LaneMsg::Rejoin(incarnation));
                }
                self.hear_hints(me, state, Some(incarnation));
                state.leases.joined(now, incarnation, sent)
            }
            _ => Vec::new(),
        }
    }
}
