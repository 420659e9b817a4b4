//! Hints: what is said to other processes so that they need not wait for their next look.
//!
//! Owns: which hints are to be sent, and when others' hints make this process look at what is wanted of it. Does not own: how they
//! travel; and nothing depends on them (`ownership-protocol.md` A15).

use std::collections::BTreeSet;

use super::{LeaseEffect, Leases};
use crate::backend::{BackendError, Hint, Incarnation, LeaseRequest};
use crate::clock::Moment;
use crate::limits::LIST_PAUSE;

#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Without them everything goes on, later.
    are_on: bool,
    /// To be sent, each once.
    outgoing: BTreeSet<(Incarnation, Hint)>,
    is_sending: bool,
    /// Others want keys of this process: which, is to be asked.
    list_at: Option<Moment>,
    is_listing: bool,
    /// Nothing is listed again before.
    rested_at: Moment,
}

impl Hints {
    pub(super) fn new(are_on: bool) -> Self {
        Self { are_on, ..Self::default() }
    }

    pub(super) fn send(&mut self, to: Incarnation, hint: Hint) {
        if self.are_on {
            self.outgoing.insert((to, hint));
        }
    }

    /// The incarnation is over: nobody waits for its keys.
    pub(super) fn clear(&mut self) {
        self.outgoing.clear();
        self.list_at = None;
    }

    /// When there is something to do next.
    pub(super) fn next(&self, now: Moment) -> Option<Moment> {
        let send = (!self.is_sending && !self.outgoing.is_empty()).then_some(now);
        let list = self.list_at.filter(|_| !self.is_listing);
        [send, list].into_iter().flatten().min()
    }

    pub(super) fn take_due(&mut self, now: Moment, me: Incarnation, effects: &mut Vec<LeaseEffect>) {
        if !self.is_sending && !self.outgoing.is_empty() {
            self.is_sending = true;
            effects.push(LeaseEffect::Hint(std::mem::take(&mut self.outgoing).into_iter().collect()));
        }
        if !self.is_listing && self.list_at.take_if(|at| *at <= now).is_some() {
            (self.is_listing, self.rested_at) = (true, now + LIST_PAUSE);
            effects.push(LeaseEffect::ListWanted(me));
        }
    }

    /// What is wanted of this process is to be looked at.
    pub(super) fn list_soon(&mut self, now: Moment) {
        self.list_at = Some(self.rested_at.max(now));
    }
}

impl Leases {
    /// A hint for an incarnation of this process has arrived.
    pub fn hinted(&mut self, now: Moment, to: Incarnation, hint: Hint) {
        if self.me != Some(to) {
            return;
        }
        match hint {
            Hint::Wanted => self.hints.list_soon(now),
            Hint::Freed => self.ask_for_held(),
        }
    }

    /// The answer to `Hint`. One that failed is lost: whoever it was for finds out by itself.
    pub fn hints_sent(&mut self) {
        self.hints.is_sending = false;
    }

    /// The answer to `ListWanted`.
    pub fn wanted_listed(
        &mut self,
        by: Incarnation,
        result: Result<Vec<LeaseRequest>, BackendError>,
    ) -> Option<LeaseEffect> {
        self.hints.is_listing = false;
        // What could not be listed comes with the next beat.
        let wanted = result.ok().filter(|wanted| self.me == Some(by) && !wanted.is_empty())?;
        Some(LeaseEffect::Wanted(wanted))
    }
}
