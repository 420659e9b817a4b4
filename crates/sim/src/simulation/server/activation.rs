//! Giving a key its actor (mirrors `actors::activation`).
//!
//! Owns: getting the lease, or the fence of all, and the durable state first and starting the actor then; calls that wait
//! meanwhile. Does not own: when an actor leaves (`key_actor`), when a lease is granted (`session`).

use std::collections::VecDeque;
use std::sync::Arc;

use clawstore_core::CallError;
use clawstore_core::Entry;
use clawstore_core::backend::{BackendError, Fence, Incarnation};
use clawstore_core::clock::Moment;
use clawstore_core::key_machine::{Access, Head, Input, Owned};

use super::flusher::FlusherMsg;
use super::key_actor::KeyActor;
use super::mailbox::Mailbox;
use super::session::{SessionMsg, Want};
use super::slot::{Activation, KeyMsg, is_call};
use super::{Process, ServerEvent};
use crate::simulation::context::Context;
use crate::simulation::trace::Who;

/// A key that may be written.
#[derive(Debug)]
pub struct Grant {
    pub(super) entry: Entry,
    pub(super) fence: Fence,
    /// To whom it was granted.
    pub(super) incarnation: Incarnation,
    /// Nobody owns it.
    pub(super) is_shared: bool,
    /// The durable state is none from before this.
    pub(super) asked: Moment,
}

impl Process {
    /// Starts the activation of a key for its first call. `after_death`: an earlier actor of it died.
    pub(super) fn activate(&mut self, context: &mut Context, key: usize, first: KeyMsg, after_death: bool) {
        let slot = &mut self.slots[key];
        slot.generation += 1;
        slot.cached_at = None;
        slot.has_orphans |= after_death;
        self.load(context, key, VecDeque::from([first]));
    }

    /// Goes on with a key whose actor has left, if calls wait for it.
    pub(super) fn activate_again(&mut self, context: &mut Context, key: usize, waiting: VecDeque<KeyMsg>) {
        if waiting.iter().any(is_call) {
            self.slots[key].cached_at = None;
            self.load(context, key, waiting);
        }
    }

    fn load(&mut self, context: &mut Context, key: usize, waiting: VecDeque<KeyMsg>) {
        let slot = &mut self.slots[key];
        slot.activation = Activation::Activating(waiting);
        slot.wants_ticks = true;
        let (generation, has_orphans) = (slot.generation, slot.has_orphans);
        if has_orphans {
            self.cast_flusher(context, FlusherMsg::Orphaned(key, generation));
        } else {
            self.go_on_loading(context, key, generation);
        }
    }

    /// The task of the activation has its turn soon.
    pub(super) fn go_on_loading(&mut self, context: &mut Context, key: usize, generation: u64) {
        let wait = context.rng.micros(1..60);
        context.tell(self.me, wait, ServerEvent::Activates(key, generation));
    }

    pub(super) fn acquire_for(&mut self, context: &mut Context, key: usize, generation: u64) {
        let slot = &mut self.slots[key];
        let instead_of = slot.shared.take_instead_of();
        let want = Want { key, generation, fence: slot.lease, instead_of, asked: context.now };
        self.cast_session(context, SessionMsg::Want(want));
    }

    /// Starts the actor with what was granted.
    pub(super) fn go_live(&mut self, context: &mut Context, key: usize, generation: u64, grant: Grant) {
        if self.session.as_ref().and_then(|session| session.incarnation) != Some(grant.incarnation) {
            // The process has got a new incarnation in between.
            return self.acquire_for(context, key, generation);
        }
        let lease = (!grant.is_shared).then_some(grant.fence);
        let slot = &mut self.slots[key];
        let waiting = match std::mem::replace(&mut slot.activation, Activation::Vacant) {
            Activation::Activating(waiting) if slot.generation == generation => waiting,
            other => {
                // Nobody waited any more. A lease that nobody uses stays with a slot that has no actor.
                let is_kept = matches!(other, Activation::Vacant) || slot.lease == lease;
                if matches!(other, Activation::Vacant) {
                    slot.lease = lease;
                }
                slot.activation = other;
                if let Some(fence) = lease.filter(|_| !is_kept) {
                    self.cast_session(context, SessionMsg::GiveBack { key, fence, wanted: false });
                }
                return;
            }
        };
        let actor = context.number();
        self.check_settled(context, key);
        let slot = &mut self.slots[key];
        let entry = Arc::new(grant.entry);
        let access = if grant.is_shared { slot.shared.access() } else { Access::Alone };
        let numbers = u32::try_from(generation & u64::from(u32::MAX)).unwrap_or_default();
        let owned = Owned { entry: Arc::clone(&entry), fence: grant.fence, access, generation: numbers };
        slot.has_orphans = false;
        (slot.lease, slot.granted_at, slot.wanted_since) = (lease, context.now, None);
        slot.shared.begin(context.now, grant.is_shared.then_some(grant.fence));
        slot.cached_at = (grant.is_shared && entry.revision >= slot.shown).then_some(grant.asked);
        slot.granted_revision = entry.revision;
        slot.head = Head::stored(Arc::clone(&entry));
        slot.durable = entry;
        slot.reads_wait = false;
        slot.activation = Activation::Live(actor);
        context.note(Who::Server(self.me.server), "key {a} is live at revision {b}", key as u64, slot.durable.revision);
        self.actors.insert(actor, KeyActor::new(&self.keys[key], key, owned));
        let mut mailbox = Mailbox::default();
        for message in waiting {
            mailbox.put(context, self.me, super::Actor::Key(actor), message);
        }
        self.mailboxes.insert(actor, mailbox);
    }

    /// I8: a key has a new machine only when nothing of it is in a batch.
    fn check_settled(&self, context: &mut Context, key: usize) {
        if self.mutant.is_none() && self.lanes.carries(&self.keys[key]) {
            context.violated(format!("I8: key {key} is activated while a batch with it is on its way"));
        }
    }

    /// The store cannot give the key.
    pub(super) fn give_up(&mut self, key: usize, generation: u64, error: &BackendError) {
        let slot = &mut self.slots[key];
        let waiting = match std::mem::replace(&mut slot.activation, Activation::Vacant) {
            Activation::Activating(waiting) if slot.generation == generation => waiting,
            other => {
                slot.activation = other;
                return;
            }
        };
        // What is still on its way to it comes too late.
        slot.generation += 1;
        for message in waiting {
            if let Input::Call(mut op) = message {
                op.caller.answer(Err(CallError::unavailable(error)));
            }
        }
    }
}
