//! Mailboxes of actors.
//!
//! Owns: the order of messages, and that an actor handles one at a time, a little later. Does not own: what is handled.

use std::collections::VecDeque;

use super::{Actor, ServerEvent};
use crate::simulation::context::{Context, Me};

/// Messages of an actor that it has not handled.
#[derive(Debug)]
pub(super) struct Mailbox<M> {
    messages: VecDeque<M>,
    /// It is about to handle one.
    runs: bool,
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), runs: false }
    }
}

impl<M> Mailbox<M> {
    pub(super) fn put(&mut self, context: &mut Context, me: Me, actor: Actor, message: M) {
        self.messages.push_back(message);
        if !std::mem::replace(&mut self.runs, true) {
            run_soon(context, me, actor);
        }
    }

    pub(super) fn take(&mut self, context: &mut Context, me: Me, actor: Actor) -> Option<M> {
        let message = self.messages.pop_front();
        self.runs = !self.messages.is_empty();
        if self.runs {
            run_soon(context, me, actor);
        }
        message
    }
}

fn run_soon(context: &mut Context, me: Me, actor: Actor) {
    let wait = context.rng.micros(1..50);
    context.tell(me, wait, ServerEvent::Runs(actor));
}
