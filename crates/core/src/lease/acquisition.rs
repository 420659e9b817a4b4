//! Asking for leases.
//!
//! Owns: which keys are in the next call, when a key is asked for again, and what an answer means. Does not own: beats, deaths,
//! releases (`lease`).

use std::collections::VecDeque;

use super::{LeaseEffect, Leases, pause};
use crate::backend::{BackendError, BackendErrorKind, Fence, Incarnation, LeaseAnswer, LeaseRequest};
use crate::clock::Moment;
use crate::entry_key::EntryKey;
use crate::limits::{ACQUIRE_EAGER, ACQUIRE_PAUSE, BUSY_PAUSE, LEASES_PER_CALL_MAX};

/// A key that is asked for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) fence: Fence,
    /// When it was first found in other hands.
    pub(super) held_since: Option<Moment>,
    pub(super) blocked_by: Option<Incarnation>,
    pub(super) turn: Turn,
    /// A call with others was refused as a whole: it is asked for alone.
    pub(super) alone: bool,
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

impl Leases {
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

    pub(super) fn acquire(&mut self, now: Moment, me: Incarnation) -> Option<LeaseEffect> {
        if self.is_acquiring || self.acquire_pause.is_some_and(|until| until > now) {
            return None;
        }
        self.acquire_pause = None;
        let mut requests: Vec<LeaseRequest> = Vec::new();
        let mut later = VecDeque::new();
        while let Some(key) = self.ready.pop_front() {
            let Some(waiting) = self.waiting.get_mut(&key) else { continue };
            // What is being given back goes on when that has been done.
            if waiting.turn != Turn::Ready || self.releasing.contains_key(&key) {
                continue;
            }
            if waiting.alone && !requests.is_empty() {
                later.push_back(key);
                continue;
            }
            waiting.turn = Turn::Asked;
            requests.push(LeaseRequest { key, fence: waiting.fence });
            if waiting.alone || requests.len() == LEASES_PER_CALL_MAX {
                break;
            }
        }
        self.ready.append(&mut later);
        self.is_acquiring = !requests.is_empty();
        self.is_acquiring.then_some(LeaseEffect::Acquire(me, requests))
    }

    /// The answer to `Acquire`.
    pub fn acquired(
        &mut self,
        now: Moment,
        by: Incarnation,
        requests: Vec<LeaseRequest>,
        result: Result<Vec<LeaseAnswer>, BackendError>,
    ) -> Vec<LeaseEffect> {
        self.is_acquiring = false;
        match result {
            // Granted to an incarnation that is over: it is asked for again.
            _ if self.me != Some(by) => self.ask_again(now, &requests, now),
            Ok(answers) if answers.len() == requests.len() => {
                self.acquire_attempts = 0;
                let answers = requests.into_iter().zip(answers);
                return answers.filter_map(|(request, answer)| self.answered(now, request, answer)).collect();
            }
            Ok(_) => {
                let error = BackendError::new(BackendErrorKind::Internal, "The store's answer was not complete.");
                return self.refused(&requests, &error);
            }
            Err(error) => match error.kind {
                BackendErrorKind::Over => {
                    self.ask_again(now, &requests, now);
                    return self.over(now, by);
                }
                BackendErrorKind::Unavailable | BackendErrorKind::Unknown => {
                    let pause = pause(&mut self.acquire_attempts);
                    self.acquire_pause = Some(now + pause);
                    self.ask_again(now, &requests, now);
                }
                _ => return self.refused(&requests, &error),
            },
        }
        Vec::new()
    }

    fn answered(&mut self, now: Moment, request: LeaseRequest, answer: LeaseAnswer) -> Option<LeaseEffect> {
        // Withdrawn meanwhile: a grant is told all the same, so that it is kept or given back.
        match answer {
            LeaseAnswer::Granted(entry) => {
                self.waiting.remove(&request.key);
                return Some(LeaseEffect::Granted(request, entry));
            }
            LeaseAnswer::Busy => self.ask_again(now, &[request], now + BUSY_PAUSE),
            LeaseAnswer::Held(owner) => {
                self.peers.seen(now, owner);
                let waiting = self.waiting.get_mut(&request.key)?;
                let since = *waiting.held_since.get_or_insert(now);
                waiting.blocked_by = Some(owner.incarnation);
                let (eager, later) = ACQUIRE_PAUSE;
                let pause = if now.since(since) < ACQUIRE_EAGER { eager } else { later };
                self.ask_again(now, &[request], now + pause);
            }
        }
        None
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

    pub(super) fn ask_again(&mut self, now: Moment, requests: &[LeaseRequest], at: Moment) {
        for request in requests {
            let Some(waiting) = self.waiting.get_mut(&request.key) else { continue };
            if at <= now {
                waiting.turn = Turn::Ready;
                self.ready.push_back(request.key.clone());
            } else {
                waiting.turn = Turn::At(at);
                self.poll_at(at);
            }
        }
    }

    /// The store will not answer such a call. Alone, each key shows whether it is the one.
    fn refused(&mut self, requests: &[LeaseRequest], error: &BackendError) -> Vec<LeaseEffect> {
        let mut effects = Vec::new();
        for LeaseRequest { key, .. } in requests {
            let Some(waiting) = self.waiting.get_mut(key) else { continue };
            if requests.len() > 1 {
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
        for (key, waiting) in &mut self.waiting {
            if waiting.blocked_by.is_some_and(&is_gone) {
                waiting.blocked_by = None;
                if matches!(waiting.turn, Turn::At(_)) {
                    waiting.turn = Turn::Ready;
                    self.ready.push_back(key.clone());
                }
            }
        }
    }
}
