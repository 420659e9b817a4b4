//! How calls enter (mirrors `actors::client`).
//!
//! Owns: the way of one call from its VM to the key's mailbox or queue, and which reads are answered at once. Does not own: what
//! the call does, what its key does next (`activation`).

use std::collections::VecDeque;
use std::sync::Arc;

use clawstore_core::Entry;
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Head, Input, Op, Writer};
use clawstore_core::limits::{READ_CACHE_TTL, WANTED_BEFORE_READ};
use clawstore_core::mutant::Mutant;
use clawstore_core::ops::Request;

use super::Process;
use super::port::Port;
use super::reads::{Job, Purpose};
use super::slot::{Activation, Flight, KeyMsg, Slot};
use crate::simulation::context::Context;

impl Process {
    /// Makes a write.
    pub(super) fn submit(&mut self, context: &mut Context, key: usize, writer: Writer, request: Request, port: Port) {
        port.set_unsettled(request.is_write());
        let (at, deadline) = (context.wall(self.me.server), context.deadline());
        self.deliver(context, key, Input::Call(Box::new(Op { writer, at, deadline, request, caller: port })));
    }

    /// Puts a message where it will be taken in order.
    fn deliver(&mut self, context: &mut Context, key: usize, message: KeyMsg) {
        let slot = &mut self.slots[key];
        slot.last_used = context.now;
        match &mut slot.activation {
            Activation::Live(actor) => {
                let actor = *actor;
                // The actor has died: the message comes back and starts the next activation.
                if let Err(message) = self.cast_key(context, actor, message) {
                    self.activate(context, key, message, true);
                }
            }
            Activation::Activating(waiting) | Activation::Leaving(_, waiting) => waiting.push_back(message),
            Activation::Vacant => self.activate(context, key, message, false),
        }
    }

    /// Tells a key's machine something, if it has one or is getting one.
    pub(super) fn tell(&mut self, context: &mut Context, key: usize, message: KeyMsg) {
        match &mut self.slots[key].activation {
            Activation::Live(actor) => {
                let actor = *actor;
                drop(self.cast_key(context, actor, message));
            }
            Activation::Activating(waiting) | Activation::Leaving(_, waiting) => waiting.push_back(message),
            Activation::Vacant => {}
        }
    }

    /// Reads: `Some` if the value is at hand, else the answer goes to a port.
    pub(super) fn read(
        &mut self,
        context: &mut Context,
        key: usize,
        writer: Writer,
        use_cache: bool,
        port: impl FnOnce(&Self) -> Port,
    ) -> Option<Arc<Entry>> {
        if let Some(entry) = self.at_hand(context, key, use_cache) {
            return Some(entry);
        }
        let mut port = port(self);
        let (at, deadline) = (context.wall(self.me.server), context.deadline());
        if self.is_answered_by_owner(key) {
            port.confirm_with(use_cache, deadline);
            let op = Box::new(Op { writer, at, deadline, request: Request::Get, caller: port });
            self.deliver(context, key, Input::Call(op));
        } else {
            self.board_flight(context, key, deadline, port, use_cache);
        }
        None
    }

    /// Does a read go the way of the writes?
    fn is_answered_by_owner(&self, key: usize) -> bool {
        match self.slots[key].activation {
            Activation::Live(_) => self.slots[key].has_unsettled(),
            Activation::Activating(_) | Activation::Leaving(..) => true,
            Activation::Vacant => false,
        }
    }

    /// The durable value, if a read may be answered with it now.
    fn at_hand(&mut self, context: &Context, key: usize, use_cache: bool) -> Option<Arc<Entry>> {
        let is_owned = self.is_surely_owned(context, key, use_cache);
        let slot = &mut self.slots[key];
        let now = context.now;
        let is_cached = |slot: &Slot| slot.cached_at.is_some_and(|at| now.since(at) < READ_CACHE_TTL);
        let is_fresh = match slot.activation {
            Activation::Live(_) => {
                slot.last_used = now;
                if self.mutant == Some(Mutant::SpeculativeReads) && is_owned {
                    return Some(Arc::clone(&slot.head.entry));
                }
                let is_known = if slot.shared.is_shared() { use_cache && is_cached(slot) } else { is_owned };
                is_known && !slot.has_unsettled()
            }
            Activation::Vacant => use_cache && is_cached(slot),
            Activation::Activating(_) | Activation::Leaving(..) => false,
        };
        is_fresh.then(|| Arc::clone(&slot.durable))
    }

    /// May the value of an owned key be shown without asking the store?
    pub(super) fn is_surely_owned(&self, context: &Context, key: usize, use_cache: bool) -> bool {
        let slot = &self.slots[key];
        let wanted_for_long = slot.wanted_since.is_some_and(|since| context.now.since(since) > WANTED_BEFORE_READ);
        slot.lease.is_some() && self.shared.may_show_owned(use_cache) && !wanted_for_long
    }

    /// Waits for a read of the key that began no earlier than its last activation; without `may_join`, than this call.
    pub(super) fn board_flight(
        &mut self,
        context: &mut Context,
        key: usize,
        deadline: Moment,
        port: Port,
        may_join: bool,
    ) {
        let slot = &mut self.slots[key];
        slot.wants_ticks = true;
        let generation = slot.generation;
        let joins = |flight: &&mut Flight| may_join && flight.is_shared && flight.generation == generation;
        if let Some(flight) = slot.flights.iter_mut().find(joins) {
            flight.waiters.push((deadline, port));
            return;
        }
        let number = context.number();
        slot.flights.push(Flight { number, generation, is_shared: may_join, waiters: vec![(deadline, port)] });
        self.start_read(context, Job { key, purpose: Purpose::Flight(number) });
    }

    /// The newest accepted revision of a key that is active here.
    pub(super) fn published_head(&self, key: usize) -> Option<Head> {
        let slot = &self.slots[key];
        matches!(slot.activation, Activation::Live(_)).then(|| slot.head.clone())
    }
}

/// Takes out the calls whose deadline has passed.
pub(super) fn take_expired(waiting: &mut VecDeque<KeyMsg>, now: Moment) -> Vec<Port> {
    let mut expired = Vec::new();
    for message in std::mem::take(waiting) {
        match message {
            Input::Call(op) if op.deadline <= now => expired.push(op.caller),
            message => waiting.push_back(message),
        }
    }
    expired
}
