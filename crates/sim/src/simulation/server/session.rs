//! The session lock of a process (mirrors `actors::session_lock`).
//!
//! Owns: driving `core::lease`: beats, acquisitions for keys that are being activated, hints, and starting over under a new
//! incarnation; giving keys to those who want them is in `hand_over`. Does not own: the rules (`core::lease`).

use std::collections::BTreeMap;

use clawstore_core::backend::{BackendError, Beat, BeatAnswer, Fence, Hint, Incarnation};
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::Input;
use clawstore_core::lease::{Granted, LeaseEffect, Leases};
use clawstore_core::limits::SHARED_QUIET;
use clawstore_core::lost_history::{Acknowledged, Verdict};

use super::activation::Grant;
use super::lanes::LaneMsg;
use super::slot::Activation;
use super::{Awaited, BEAT_DEADLINE, CALL_DEADLINE, Process, ServerEvent, Timer};
use crate::simulation::context::Context;
use crate::simulation::setup::number_of;
use crate::simulation::store::{Answer, Ask};
use crate::simulation::trace::Who;

/// A key that is asked for, and the activation that waits for it.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) key: usize,
    pub(super) generation: u64,
    /// Of an earlier activation, whose lease was kept.
    pub(super) fence: Option<Fence>,
    /// The fence of a shared key that is to be owned again.
    pub(super) instead_of: Option<Fence>,
    pub(super) asked: Moment,
}

#[derive(Debug)]
pub(super) enum SessionMsg {
    /// A key is being activated.
    Want(Want),
    /// A lease is not needed any more; `wanted`: because others wait for it.
    GiveBack { key: usize, fence: Fence, wanted: bool },
    /// Others wait for a key: seen in the outcome of a batch.
    Wanted(usize),
    /// A wanted key may have been held long enough.
    HandOver(usize, Fence),
    /// The store does not know the lanes of this incarnation any more.
    Over(Incarnation),
    /// Look what is due: armed for then.
    Tick(Moment),
    /// A hint for this incarnation has arrived.
    Hinted(Incarnation, Hint),
    /// The database has answered.
    Answered(Box<Awaited>, Result<Answer, BackendError>),
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) leases: Leases,
    /// What others see as the incarnation; `None` while there is none.
    pub(super) incarnation: Option<Incarnation>,
    pub(super) requests: BTreeMap<usize, Want>,
    /// The earliest timer that is set.
    alarm: Option<Moment>,
    /// The last batches that were acknowledged.
    pub(super) acknowledged: Acknowledged,
}

impl Process {
    pub(super) fn start_session(&mut self, context: &mut Context, me: Incarnation, sent: Moment) {
        let (leases, effects) = Leases::start(me, sent, context.setup.hints);
        let requests = BTreeMap::new();
        let (incarnation, alarm, acknowledged) = (Some(me), None, Acknowledged::default());
        self.session = Some(Session { leases, incarnation, requests, alarm, acknowledged });
        self.do_lease_effects(context, effects);
        self.pump(context);
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("messages are handled from its start on")
    }

    pub(super) fn session_handles(&mut self, context: &mut Context, message: SessionMsg) {
        let now = context.now;
        let effects = match message {
            SessionMsg::Want(want) => {
                self.want(context, want);
                Vec::new()
            }
            SessionMsg::GiveBack { key, fence, wanted: true } => {
                self.give_away(context, key, fence);
                Vec::new()
            }
            SessionMsg::GiveBack { key, fence, wanted: false } => {
                let name = self.keys[key].clone();
                self.session().leases.give_back(name, fence);
                Vec::new()
            }
            SessionMsg::Wanted(key) => {
                self.wanted(context, key, None);
                Vec::new()
            }
            SessionMsg::HandOver(key, fence) => {
                self.hand_over(context, key, fence);
                Vec::new()
            }
            SessionMsg::Tick(at) => {
                let session = self.session();
                session.alarm = session.alarm.filter(|alarm| *alarm != at);
                self.prune();
                Vec::new()
            }
            SessionMsg::Over(incarnation) => self.session().leases.start_over(now, incarnation),
            SessionMsg::Hinted(incarnation, hint) => {
                self.session().leases.hinted(now, incarnation, hint);
                Vec::new()
            }
            SessionMsg::Answered(awaited, answer) => self.session_answered(context, *awaited, answer),
        };
        self.do_lease_effects(context, effects);
        self.pump(context);
    }

    pub(super) fn want(&mut self, context: &mut Context, want: Want) {
        // One that was given up must not take the place of the one that is waited for.
        if !self.slots[want.key].is_activating(want.generation) {
            return;
        }
        let fence = want.fence.unwrap_or_else(|| Fence::from_bits(context.rng.bits()));
        let name = self.keys[want.key].clone();
        let session = self.session();
        session.leases.want(context.now, &name, fence, want.instead_of);
        // An earlier activation of the key that still waited here was given up.
        session.requests.insert(want.key, want);
    }

    /// Activations that nobody waits for any more.
    fn prune(&mut self) {
        let Self { session: Some(session), slots, keys, .. } = self else { return };
        session.requests.retain(|key, want| {
            let is_wanted = slots[*key].is_activating(want.generation);
            if !is_wanted {
                session.leases.withdraw(&keys[*key]);
            }
            is_wanted
        });
    }

    fn granted(&mut self, context: &mut Context, by: Incarnation, granted: Granted) {
        let Granted { key: name, fence, entry, is_shared, .. } = granted;
        let key = number_of(&name);
        let Some(mut want) = self.session().requests.remove(&key) else {
            if !is_shared {
                self.session().leases.give_back(name, fence);
            }
            return;
        };
        let quiet_since = entry.updated.unix_ms().saturating_add(SHARED_QUIET.as_millis() as u64);
        if is_shared && want.instead_of.is_none() && quiet_since < context.wall(self.me.server).unix_ms() {
            // Nobody has written it for long: it is owned again, unless somebody does so now.
            want.instead_of = Some(fence);
            return self.want(context, want);
        }
        context.note(Who::Server(self.me.server), "has key {a}, shared: {b}", key as u64, u64::from(is_shared));
        let grant = Box::new(Grant { entry, fence, incarnation: by, is_shared, asked: want.asked });
        let wait = context.rng.micros(1..60);
        context.tell(self.me, wait, ServerEvent::GoesLive(key, want.generation, grant));
    }

    /// No lease counts any more. What is active starts over; what is set aside loses its lease.
    fn drop_leases(&mut self, context: &mut Context) {
        self.session().incarnation = None;
        self.shared.trusted_until.set(Moment::default());
        for key in 0..self.slots.len() {
            self.slots[key].lease = None;
            if let Activation::Live(actor) = self.slots[key].activation {
                drop(self.cast_key(context, actor, Input::HandOver));
            }
        }
    }

    fn do_lease_effects(&mut self, context: &mut Context, effects: Vec<LeaseEffect>) {
        for effect in effects {
            match effect {
                LeaseEffect::Granted(granted) => {
                    if let Some(by) = self.session().leases.me() {
                        self.granted(context, by, granted);
                    }
                }
                LeaseEffect::Refused(name, error) => {
                    let key = number_of(&name);
                    if let Some(want) = self.session().requests.remove(&key) {
                        self.give_up(key, want.generation, &error);
                    }
                }
                LeaseEffect::Wanted(leases) => {
                    for lease in leases {
                        self.wanted(context, number_of(&lease.key), Some(lease.fence));
                    }
                }
                LeaseEffect::TrustUntil(moment) => self.shared.trusted_until.set(moment),
                LeaseEffect::Over => {
                    context.note(Who::Server(self.me.server), "was taken for dead: starts over", 0, 0);
                    self.drop_leases(context);
                }
                effect => self.ask_for(context, effect),
            }
        }
    }

    /// One question to the database.
    fn ask_for(&mut self, context: &mut Context, effect: LeaseEffect) {
        let now = context.now;
        let (deadline, ask, awaited) = match effect {
            LeaseEffect::Join => {
                let next = Incarnation::from_bits(context.rng.bits());
                (CALL_DEADLINE, Ask::Join(next), Awaited::Join(next, now))
            }
            LeaseEffect::Beat(beat) => {
                let beat = Beat { lanes: self.session().acknowledged.open(), ..beat };
                (BEAT_DEADLINE, Ask::Beat(beat.clone()), Awaited::Beat(now, beat))
            }
            LeaseEffect::Leave(me) => (CALL_DEADLINE, Ask::Leave(me), Awaited::Nothing),
            LeaseEffect::Acquire(by, asks) => {
                (CALL_DEADLINE, Ask::Acquire(by, asks.clone()), Awaited::Acquire(by, asks))
            }
            LeaseEffect::Release(given) => (CALL_DEADLINE, Ask::Release(given.clone()), Awaited::Release(given)),
            LeaseEffect::DeclareDead(by, seen, is_fast) => {
                context.note(
                    Who::Server(self.me.server),
                    "suspects {a}, fast: {b}",
                    seen.len() as u64,
                    u64::from(is_fast),
                );
                (CALL_DEADLINE, Ask::DeclareDead(by, seen, is_fast), Awaited::DeclareDead)
            }
            LeaseEffect::Hint(hints) => (CALL_DEADLINE, Ask::Hint(hints), Awaited::Hints),
            LeaseEffect::ListWanted(of) => (CALL_DEADLINE, Ask::ListWanted(of), Awaited::ListWanted(of)),
            _ => return,
        };
        self.ask(context, deadline, ask, awaited);
    }

    /// Does what is due, and sees to it that this is looked at again in time.
    fn pump(&mut self, context: &mut Context) {
        let now = context.now;
        let effects = self.session().leases.tick(now);
        self.do_lease_effects(context, effects);
        let session = self.session();
        if let Some(at) = session.leases.next_tick(now)
            && session.alarm.is_none_or(|alarm| at < alarm)
        {
            session.alarm = Some(at);
            context.tell(self.me, at.since(now), ServerEvent::Rings(Timer::Session(at)));
        }
    }

    fn session_answered(
        &mut self,
        context: &mut Context,
        awaited: Awaited,
        answer: Result<Answer, BackendError>,
    ) -> Vec<LeaseEffect> {
        let now = context.now;
        match awaited {
            Awaited::Join(incarnation, sent) => match answer {
                Ok(_) => {
                    context.note(Who::Server(self.me.server), "is incarnation {a} now", incarnation.0, 0);
                    self.session().incarnation = Some(incarnation);
                    self.cast_lanes(context, LaneMsg::Rejoin(incarnation));
                    self.session().leases.joined(now, incarnation, sent)
                }
                Err(_) => {
                    self.session().leases.join_failed(now);
                    Vec::new()
                }
            },
            Awaited::Beat(sent, beat) => {
                let answer =
                    answer.map(|answer| if let Answer::Beaten(beaten) = answer { beaten } else { Default::default() });
                self.beaten(context, sent, &beat, answer)
            }
            Awaited::Acquire(by, asks) => {
                let answer =
                    answer.map(|answer| if let Answer::Acquired(answers) = answer { answers } else { Vec::new() });
                self.session().leases.acquired(now, by, asks, answer)
            }
            Awaited::Release(given) => {
                let answer =
                    answer.map(|answer| if let Answer::Released(askers) = answer { askers } else { Vec::new() });
                self.session().leases.released(now, &given, answer);
                Vec::new()
            }
            Awaited::DeclareDead => {
                let answer = answer.map(|answer| if let Answer::Dead(dead) = answer { dead } else { Vec::new() });
                self.session().leases.declared_dead(now, answer);
                Vec::new()
            }
            Awaited::Hints => {
                self.session().leases.hints_sent();
                Vec::new()
            }
            Awaited::ListWanted(by) => {
                let answer = answer.map(|answer| if let Answer::Wanted(wanted) = answer { wanted } else { Vec::new() });
                self.session().leases.wanted_listed(by, answer).into_iter().collect()
            }
            Awaited::Nothing
            | Awaited::FirstJoin(..)
            | Awaited::Commit(..)
            | Awaited::LookUp(_)
            | Awaited::Read(..) => Vec::new(),
        }
    }

    /// The answer to a beat. Nothing else in it counts before it is known whether it comes from a database that has everything
    /// (mirrors `actors::session_lock::losses`).
    fn beaten(
        &mut self,
        context: &mut Context,
        sent: Moment,
        beat: &Beat,
        answer: Result<BeatAnswer, BackendError>,
    ) -> Vec<LeaseEffect> {
        let now = context.now;
        let session = self.session();
        let verdict = match &answer {
            Ok(answer) => session.acknowledged.answered(&beat.lanes, answer),
            Err(_) => Verdict::Same,
        };
        match verdict {
            Verdict::Same => return session.leases.beaten(now, sent, beat, answer),
            Verdict::AskAgain => {
                session.leases.beat_again(now);
                return Vec::new();
            }
            Verdict::TakenOver => {}
            Verdict::Lost(batches) => {
                context.note(Who::Server(self.me.server), "finds that {a} acknowledged batches are lost", batches, 0);
                context.losses += 1;
            }
        }
        for slot in self.slots.iter_mut().filter(|slot| matches!(slot.activation, Activation::Vacant)) {
            slot.cached_at = None;
        }
        self.session().leases.start_over(now, beat.incarnation)
    }
}
