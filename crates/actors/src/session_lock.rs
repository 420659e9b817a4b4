//! The session lock of the process: every key has one owner across servers.
//!
//! Owns: driving `core::lease`: beats, acquisitions for keys that are being activated, hand-over of keys that others want,
//! and starting over under a new incarnation. Does not own: the rules (`core::lease`), what an owner may do (`key_actor`),
//! when an idle key's lease is given back (`passivation`).

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, Beat, BeatAnswer, Fence, HoldLeases, Incarnation, LeaseAnswer,
    LeaseRequest, Peer,
};
use clawstore_core::clock::{Clock, Moment};
use clawstore_core::entropy::Entropy;
use clawstore_core::key_machine::Input;
use clawstore_core::lease::{LeaseEffect, Leases};
use clawstore_core::limits::{HOLD_MIN, LEASES_PER_CALL_MAX};
use clawstore_core::{Entry, EntryKey, GameId};
use metrics::counter;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::alarm::Alarm;
use crate::game::Game;
use crate::lane::LaneMsg;
use crate::metric_definitions::{ACQUISITIONS_TOTAL, HAND_OVERS_TOTAL, INCARNATIONS_TOTAL, TRACE_LEASES};
use crate::ownership::{Grant, Ownership, Standing, nanos};
use crate::process::StartError;
use crate::slot::{Activation, Slot};

/// How long leaving is put off for leases that are still to be given back: half of what a process waits for it.
const GIVE_BACK_PATIENCE: Duration = Duration::from_secs(1);

/// A key that is asked for, and the activation that waits for it.
#[derive(Debug)]
pub(crate) struct Want {
    pub(crate) slot: Arc<Slot>,
    pub(crate) generation: u64,
    /// Of an earlier activation, whose lease was kept.
    pub(crate) fence: Option<Fence>,
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
    Joined(Incarnation, Moment, Answer<()>),
    Beaten(Moment, Beat, Answer<BeatAnswer>),
    Acquired(Incarnation, Vec<LeaseRequest>, Answer<Vec<LeaseAnswer>>),
    Released(Vec<LeaseRequest>, Answer<()>),
    DeclaredDead(Vec<Peer>, Answer<()>),
}

/// Makes a first incarnation known and starts the session lock of the process.
pub(crate) async fn start(
    backend: &Arc<dyn Backend>,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<(Ownership, JoinHandle<()>), StartError> {
    let me = Incarnation::from_bits(entropy.bits());
    let sent = clock.now();
    leases_of(&**backend)?.join(me).await?;
    let (standing, games) = (Arc::new(Standing::default()), HashMap::new());
    standing.incarnation.store(me.0, Ordering::Release);
    let (leases, effects) = Leases::start(me, sent);
    let state = SessionState {
        leases,
        lane: None,
        games,
        requests: HashMap::new(),
        alarm: Alarm::default(),
        beats_fail: false,
        has_left: false,
    };
    let (backend, clock, entropy) = (Arc::clone(backend), Arc::clone(clock), Arc::clone(entropy));
    let actor = SessionLockActor { backend, clock, entropy, standing: Arc::clone(&standing) };
    let (session, ended) = Actor::spawn(None, actor, (state, effects)).await?;
    Ok((Ownership { session, standing }, ended))
}

/// The backend's leases. A backend that has some keeps having them.
fn leases_of(backend: &dyn Backend) -> Result<&dyn HoldLeases, BackendError> {
    backend.leases().ok_or_else(|| BackendError::new(BackendErrorKind::Internal, "The store has no leases."))
}

pub(crate) struct SessionLockActor {
    backend: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    standing: Arc<Standing>,
}

pub(crate) struct SessionState {
    leases: Leases,
    lane: Option<ActorRef<LaneMsg>>,
    games: HashMap<GameId, Weak<Game>>,
    requests: HashMap<EntryKey, Want>,
    alarm: Alarm,
    /// The last beat failed, and it was said.
    beats_fail: bool,
    has_left: bool,
}

impl SessionState {
    fn slot(&self, key: &EntryKey) -> Option<Arc<Slot>> {
        self.games.get(&key.store.game)?.upgrade()?.directory.existing(key)
    }
}

impl SessionLockActor {
    fn want(&self, state: &mut SessionState, want: Want) {
        let fence = want.fence.unwrap_or_else(|| Fence::from_bits(self.entropy.bits()));
        state.leases.want(self.clock.now(), &want.slot.key, fence);
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

    /// Others wait for a key of this process: it is given away once it has been held for a moment. `unheard`: the fence under
    /// which the store says that it is owned here, should nobody here know of it.
    fn wanted(&self, me: &ActorRef<SessionMsg>, state: &mut SessionState, key: EntryKey, unheard: Option<Fence>) {
        let now = self.clock.now();
        let is_asked_for = state.requests.contains_key(&key);
        let Some(slot) = state.slot(&key) else {
            // A grant whose answer was lost, and that nobody asked for again.
            if let Some(fence) = unheard.filter(|_| !is_asked_for) {
                state.leases.give_back(key, fence, true);
            }
            return;
        };
        let mut slot_state = slot.lock();
        slot_state.wanted_since.get_or_insert(now);
        let due = slot_state.granted_at + HOLD_MIN;
        match (&slot_state.activation, slot_state.lease) {
            (Activation::Live(_), Some(fence)) if due > now => {
                me.send_after(due.since(now), move || SessionMsg::HandOver(key, fence));
            }
            (Activation::Live(actor), Some(_)) if actor.cast(Input::HandOver).is_ok() => {}
            // Its incarnation is over: it is leaving already.
            (Activation::Live(_), None) => {}
            // Without an actor, or with one that has died; only if nothing of the key is on its way (I8).
            (Activation::Live(_) | Activation::Vacant | Activation::Quarantined(_), fence)
                if slot.open.load(Ordering::Acquire) == 0 && !is_asked_for =>
            {
                (slot_state.lease, slot_state.wanted_since) = (None, None);
                drop(slot_state);
                if let Some(fence) = fence.or(unheard) {
                    state.leases.give_back(key, fence, true);
                }
            }
            // On its way in or out. The outcome of its next batch, or the next beat, says it again.
            _ => {}
        }
    }

    fn hand_over(&self, state: &SessionState, key: &EntryKey, fence: Fence) {
        let Some(slot) = state.slot(key) else { return };
        let slot_state = slot.lock();
        // Under another fence it is another hold: nobody has asked for that one yet.
        if let Activation::Live(actor) = &slot_state.activation
            && slot_state.lease == Some(fence)
        {
            let _ = actor.cast(Input::HandOver);
        }
    }

    fn granted(&self, state: &mut SessionState, by: Incarnation, request: LeaseRequest, entry: Entry) {
        counter!(ACQUISITIONS_TOTAL).increment(1);
        let LeaseRequest { key, fence } = request;
        let unused = match state.requests.remove(&key) {
            Some(want) => want.reply.send(Ok(Grant { entry, fence, incarnation: by })).is_err(),
            None => true,
        };
        if unused {
            state.leases.give_back(key, fence, false);
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
        for effect in effects {
            match effect {
                LeaseEffect::Granted(request, entry) => {
                    if let Some(by) = state.leases.me() {
                        self.granted(state, by, request, entry);
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
                    tracing::warn!(target: TRACE_LEASES, "this process was taken for dead: it starts over");
                    self.drop_leases(state);
                }
                effect => self.ask_store(me.clone(), effect),
            }
        }
    }

    /// One call to the store, whose answer comes back as a message.
    fn ask_store(&self, me: ActorRef<SessionMsg>, effect: LeaseEffect) {
        let (backend, sent) = (Arc::clone(&self.backend), self.clock.now());
        let next = Incarnation::from_bits(self.entropy.bits());
        #[expect(clippy::disallowed_methods, reason = "at most one of each kind at a time; each ends by its deadline")]
        tokio::spawn(async move {
            let answer = match leases_of(&*backend) {
                Ok(leases) => ask(leases, effect, next, sent).await,
                Err(_) => None,
            };
            if let Some(answer) = answer {
                let _ = me.cast(answer);
            }
        });
    }

    /// From now on nothing is answered or asked for any more.
    fn leave(&self, state: &mut SessionState, left: Option<oneshot::Sender<()>>) {
        state.has_left = true;
        let (backend, me, releasing) = (Arc::clone(&self.backend), state.leases.me(), state.leases.releasing());
        self.standing.incarnation.store(0, Ordering::Release);
        #[expect(clippy::disallowed_methods, reason = "once, at the end; whoever waits for it has a deadline")]
        tokio::spawn(async move {
            if let (Some(me), Ok(leases)) = (me, leases_of(&*backend)) {
                give_back(leases, releasing).await;
                if let Err(error) = leases.leave(me).await {
                    tracing::warn!(target: TRACE_LEASES, %error, "leases stay until this process is taken for dead");
                }
            }
            // Whoever waits for it may have had enough.
            let _ = left.map(|left| left.send(()));
        });
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

/// Gives leases back that are not given back yet, among them those of keys that were never written, which the store forgets. What
/// is not given back in time ends with the incarnation: leaving must not wait for it.
#[expect(clippy::disallowed_methods, reason = "whoever waits for the end has a deadline, and the leaving comes first")]
async fn give_back(leases: &dyn HoldLeases, releasing: Vec<LeaseRequest>) {
    let all = async {
        for some in releasing.chunks(LEASES_PER_CALL_MAX) {
            leases.release(some.to_vec()).await?;
        }
        Ok::<_, BackendError>(())
    };
    let _ = tokio::time::timeout(GIVE_BACK_PATIENCE, all).await;
}

/// Makes the call that an effect asks for.
async fn ask(leases: &dyn HoldLeases, effect: LeaseEffect, next: Incarnation, sent: Moment) -> Option<SessionMsg> {
    Some(match effect {
        LeaseEffect::Join => SessionMsg::Joined(next, sent, leases.join(next).await),
        LeaseEffect::Beat(beat) => {
            let answer = leases.beat(beat.clone()).await;
            SessionMsg::Beaten(sent, beat, answer)
        }
        LeaseEffect::Acquire(by, requests) => {
            let answer = leases.acquire(by, requests.clone()).await;
            SessionMsg::Acquired(by, requests, answer)
        }
        LeaseEffect::Release(given) => {
            let answer = leases.release(given.clone()).await;
            SessionMsg::Released(given, answer)
        }
        LeaseEffect::DeclareDead(by, seen) => {
            let answer = leases.declare_dead(by, seen.clone()).await;
            SessionMsg::DeclaredDead(seen, answer)
        }
        _ => return None,
    })
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
                    counter!(HAND_OVERS_TOTAL).increment(1);
                }
                state.leases.give_back(key, fence, wanted);
                Vec::new()
            }
            SessionMsg::Wanted(key) => {
                self.wanted(&me, state, key, None);
                Vec::new()
            }
            SessionMsg::HandOver(key, fence) => {
                self.hand_over(state, &key, fence);
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
            SessionMsg::Over(incarnation) => state.leases.over(now, incarnation),
            answer => self.answered(state, now, answer),
        };
        self.execute(&me, state, effects);
        self.pump(&me, state);
        Ok(())
    }
}

impl SessionLockActor {
    /// An answer of the store.
    fn answered(&self, state: &mut SessionState, now: Moment, answer: SessionMsg) -> Vec<LeaseEffect> {
        match answer {
            SessionMsg::Beaten(sent, beat, answer) => {
                match (&answer, std::mem::replace(&mut state.beats_fail, answer.is_err())) {
                    (Err(error), false) => {
                        tracing::warn!(target: TRACE_LEASES, %error, "a beat did not arrive; trying again until one does");
                    }
                    (Ok(_), true) => tracing::warn!(target: TRACE_LEASES, "beats arrive again"),
                    _ => {}
                }
                state.leases.beaten(now, sent, &beat, answer)
            }
            SessionMsg::Acquired(by, requests, answer) => state.leases.acquired(now, by, requests, answer),
            SessionMsg::Released(given, answer) => {
                state.leases.released(now, &given, answer);
                Vec::new()
            }
            SessionMsg::DeclaredDead(seen, answer) => {
                tracing::warn!(target: TRACE_LEASES, ?seen, ok = answer.is_ok(), "servers that stood still: declared dead");
                state.leases.declared_dead(now, &seen, answer);
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
                state.leases.joined(now, incarnation, sent)
            }
            _ => Vec::new(),
        }
    }
}
