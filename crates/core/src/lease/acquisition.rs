//! Asking for leases.
//!
//! Owns: which keys are in the next call, when a key is asked for again, taking it over from an owner that does not give it, and
//! what an answer means. Does not own: beats, deaths (`lease`), releases (`giving`).

use std::collections::VecDeque;

use super::{Granted, LeaseEffect, Leases, pause};
use crate::backend::{BackendError, BackendErrorKind, Fence, Hint, Incarnation, LeaseAnswer, LeaseAsk, Peer};
use crate::clock::Moment;
use crate::entry_key::EntryKey;
use crate::limits::{ACQUIRE_EAGER, ACQUIRE_PAUSE, BUSY_PAUSE, LEASES_PER_CALL_MAX, STEAL_AFTER, WATCH_GAP_MAX};

/// A key that is asked for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) fence: Fence,
    /// Under which fence it is shared: it is to be owned again.
    instead_of: Option<Fence>,
    held: Option<Held>,
    /// When it was first asked for.
    asked: Option<Moment>,
    pub(super) turn: Turn,
    /// A call with others was refused as a whole: it is asked for alone.
    alone: bool,
}

/// Who has a key that is asked for.
#[derive(Debug)]
struct Held {
    owner: Incarnation,
    fence: Fence,
    /// Since when it has been seen to be held so, without a gap.
    since: Moment,
    last: Moment,
}

impl Held {
    /// The answer to one more ask. Another fence is another hold, and begins anew, as what was not looked at does.
    fn seen(before: Option<Self>, now: Moment, owner: Incarnation, fence: Fence) -> Self {
        let same = before.filter(|held| held.fence == fence && now.since(held.last) <= WATCH_GAP_MAX);
        Self { owner, fence, since: same.map_or(now, |held| held.since), last: now }
    }
}

/// When a key is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It stands in `ready`, or waits for its release.
    Ready,
    /// It is in the call on its way.
    Asked,
    At(Moment),
}

impl Waiting {
    fn new(fence: Fence, instead_of: Option<Fence>, turn: Turn) -> Self {
        Self { fence, instead_of, held: None, asked: None, turn, alone: false }
    }

    /// The owner, until it is known to be gone.
    pub(super) fn blocked_by(&self) -> Option<Incarnation> {
        self.held.as_ref().map(|held| held.owner)
    }

    /// What is taken over: a shared key, or one whose owner lives and has kept it for too long.
    fn instead_of(&self, now: Moment) -> Option<Fence> {
        let has_kept_it = |held: &&Held| now.since(held.since) >= STEAL_AFTER;
        self.instead_of.or_else(|| self.held.as_ref().filter(has_kept_it).map(|held| held.fence))
    }
}

impl Leases {
    /// Asks for a key. The same fence is used until the key is granted. `instead_of`: the fence of a shared key that is to be owned
    /// again.
    pub fn want(&mut self, now: Moment, key: &EntryKey, fence: Fence, instead_of: Option<Fence>) {
        let cooling = self.cooling.remove(key).filter(|&until| until > now);
        if self.waiting.contains_key(key) {
            return;
        }
        let turn = cooling.map_or(Turn::Ready, Turn::At);
        self.waiting.insert(key.clone(), Waiting::new(fence, instead_of, turn));
        match cooling {
            Some(until) => self.poll_at(until),
            None => self.ready.push_back(key.clone()),
        }
    }

    /// Nobody needs the key any more.
    pub fn withdraw(&mut self, key: &EntryKey) {
        self.waiting.remove(key);
    }

    /// Readies all keys whose time has come: they are asked for in one call.
    pub(super) fn poll(&mut self, now: Moment) {
        self.next_poll = None;
        let mut next = None;
        for (key, waiting) in &mut self.waiting {
            match waiting.turn {
                Turn::At(at) if at <= now => {
                    waiting.turn = Turn::Ready;
                    self.ready.push_back(key.clone());
                }
                Turn::At(at) => next = Some(next.map_or(at, |next: Moment| next.min(at))),
                Turn::Ready | Turn::Asked => {}
            }
        }
        self.next_poll = next;
    }

    pub(super) fn poll_at(&mut self, at: Moment) {
        self.next_poll = Some(self.next_poll.map_or(at, |next| next.min(at)));
    }

    pub(super) fn acquire(&mut self, now: Moment, me: Incarnation) -> Option<LeaseEffect> {
        if self.is_acquiring || self.acquire_pause.is_some_and(|until| until > now) {
            return None;
        }
        self.acquire_pause = None;
        let mut asks: Vec<LeaseAsk> = Vec::new();
        let mut later = VecDeque::new();
        while let Some(key) = self.ready.pop_front() {
            let Some(waiting) = self.waiting.get_mut(&key) else { continue };
            // What is being given back goes on when that has been done.
            if waiting.turn != Turn::Ready || self.releasing.contains_key(&key) {
                continue;
            }
            if waiting.alone && !asks.is_empty() {
                later.push_back(key);
                continue;
            }
            waiting.turn = Turn::Asked;
            waiting.asked.get_or_insert(now);
            asks.push(LeaseAsk { key, fence: waiting.fence, instead_of: waiting.instead_of(now) });
            if waiting.alone || asks.len() == LEASES_PER_CALL_MAX {
                break;
            }
        }
        self.ready.append(&mut later);
        self.is_acquiring = !asks.is_empty();
        self.was_freed = false;
        self.is_acquiring.then_some(LeaseEffect::Acquire(me, asks))
    }

    /// When keys are asked for next.
    pub(super) fn next_acquisition(&self, now: Moment) -> Option<Moment> {
        let has_some = !self.is_acquiring && !self.ready.is_empty();
        has_some.then(|| self.acquire_pause.unwrap_or(now))
    }

    /// The answer to `Acquire`.
    pub fn acquired(
        &mut self,
        now: Moment,
        by: Incarnation,
        asks: Vec<LeaseAsk>,
        result: Result<Vec<LeaseAnswer>, BackendError>,
    ) -> Vec<LeaseEffect> {
        self.is_acquiring = false;
        match result {
            // Granted to an incarnation that is over: it is asked for again.
            _ if self.me != Some(by) => self.ask_again(now, &asks, now),
            Ok(answers) if answers.len() == asks.len() => {
                self.acquire_attempts = 0;
                let answers = asks.into_iter().zip(answers);
                return answers.filter_map(|(ask, answer)| self.answered(now, ask, answer)).collect();
            }
            Ok(_) => {
                let error = BackendError::new(BackendErrorKind::Internal, "The store's answer was not complete.");
                return self.refused(&asks, &error);
            }
            Err(error) => match error.kind {
                BackendErrorKind::Over => {
                    self.ask_again(now, &asks, now);
                    return self.over(now, by);
                }
                BackendErrorKind::Unavailable | BackendErrorKind::Unknown => {
                    let pause = pause(&mut self.acquire_attempts);
                    self.acquire_pause = Some(now + pause);
                    self.ask_again(now, &asks, now);
                }
                _ => return self.refused(&asks, &error),
            },
        }
        Vec::new()
    }

    fn answered(&mut self, now: Moment, ask: LeaseAsk, answer: LeaseAnswer) -> Option<LeaseEffect> {
        // Withdrawn meanwhile: a grant is told all the same, so that it is kept or given back.
        let (entry, fence, is_shared) = match answer {
            LeaseAnswer::Granted(entry) => (entry, ask.fence, false),
            LeaseAnswer::Shared { entry, fence } => (entry, fence, true),
            LeaseAnswer::Busy => {
                self.ask_again(now, &[ask], now + BUSY_PAUSE);
                return None;
            }
            LeaseAnswer::Held { owner, fence } => {
                self.found_held(now, ask, owner, fence);
                return None;
            }
        };
        let asked = self.waiting.remove(&ask.key).and_then(|waiting| waiting.asked).unwrap_or(now);
        Some(LeaseEffect::Granted(Granted { key: ask.key, fence, entry, is_shared, asked }))
    }

    fn found_held(&mut self, now: Moment, ask: LeaseAsk, owner: Peer, fence: Fence) {
        self.peers.seen(now, owner);
        let Some(waiting) = self.waiting.get_mut(&ask.key) else { return };
        let before = waiting.held.take();
        if before.as_ref().is_none_or(|held| held.fence != fence) {
            // The owner of this hold has not been told yet.
            self.hints.send(owner.incarnation, Hint::Wanted);
        }
        // It is not shared any more.
        waiting.instead_of = None;
        let held = waiting.held.insert(Held::seen(before, now, owner.incarnation, fence));
        let (eager, later) = ACQUIRE_PAUSE;
        let pause = if now.since(held.since) < ACQUIRE_EAGER { eager } else { later };
        // A key was freed while this was asked: perhaps this one.
        let at = if self.was_freed { now } else { now + pause };
        self.ask_again(now, &[ask], at);
    }

    /// A key whose release is done: asked for at once if it waits, or when it has been left to others for long enough.
    pub(super) fn ask_after_release(&mut self, key: &EntryKey, cooling_until: Option<Moment>) {
        match (self.waiting.get_mut(key), cooling_until) {
            (Some(waiting), Some(until)) if waiting.turn == Turn::Ready => {
                waiting.turn = Turn::At(until);
                self.poll_at(until);
            }
            (Some(_), _) => self.ready.push_back(key.clone()),
            (None, Some(until)) => drop(self.cooling.insert(key.clone(), until)),
            (None, None) => {}
        }
    }

    pub(super) fn ask_again(&mut self, now: Moment, asks: &[LeaseAsk], at: Moment) {
        for ask in asks {
            let Some(waiting) = self.waiting.get_mut(&ask.key) else { continue };
            if at <= now {
                waiting.turn = Turn::Ready;
                self.ready.push_back(ask.key.clone());
            } else {
                waiting.turn = Turn::At(at);
                self.poll_at(at);
            }
        }
    }

    /// The store will not answer such a call. Alone, each key shows whether it is the one.
    fn refused(&mut self, asks: &[LeaseAsk], error: &BackendError) -> Vec<LeaseEffect> {
        let mut effects = Vec::new();
        for LeaseAsk { key, .. } in asks {
            let Some(waiting) = self.waiting.get_mut(key) else { continue };
            if asks.len() > 1 {
                (waiting.alone, waiting.turn) = (true, Turn::Ready);
                self.ready.push_back(key.clone());
            } else {
                self.waiting.remove(key);
                effects.push(LeaseEffect::Refused(key.clone(), error.clone()));
            }
        }
        effects
    }

    /// Asks at once for the keys of owners that are gone.
    pub(super) fn retry_those_behind(&mut self, is_gone: impl Fn(Incarnation) -> bool) {
        self.ask_now(|waiting| waiting.blocked_by().is_some_and(&is_gone));
    }

    /// Asks at once for all keys that others hold: one of them has been given back.
    pub(super) fn ask_for_held(&mut self) {
        self.was_freed = true;
        self.ask_now(|waiting| waiting.held.is_some());
    }

    fn ask_now(&mut self, is_meant: impl Fn(&Waiting) -> bool) {
        for (key, waiting) in &mut self.waiting {
            if is_meant(waiting) && matches!(waiting.turn, Turn::At(_)) {
                waiting.turn = Turn::Ready;
                self.ready.push_back(key.clone());
            }
        }
    }
}
