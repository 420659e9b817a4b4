//! One server: the real state machines of `clawstore_core`, in a shell that is small.
//!
//! Owns: what happens to a server from outside: a start, a kill, a freeze and what that holds up. Does not own: the rules; the
//! parts of the shell are in the modules below. Each says which file of `crates/actors` it mirrors: the same messages in the
//! same order, and nothing else.
//!
//! What is not mirrored: several games, budgets and permits, quarantine, `OnUpdate`, the stop of a game in order. A message is
//! handled as a whole, so threads that meet inside one are not seen here.

mod activation;
mod calls;
mod flusher;
mod hand_over;
mod key_actor;
mod lanes;
mod mailbox;
mod port;
mod process;
mod reads;
mod session;
mod shared_key;
mod slot;
mod sweep;
mod vm;

use clawstore_core::backend::{BackendError, Fence, Hint, Incarnation};
use clawstore_core::clock::Moment;

use self::activation::Grant;
use self::process::{Awaited, BEAT_DEADLINE, CALL_DEADLINE, COMMIT_DEADLINE, Process};
use self::vm::Vm;
use super::context::{Context, Me};
use super::store::Answer;
use super::trace::Who;

/// Something that happens in a server.
#[derive(Debug)]
pub enum ServerEvent {
    /// An actor handles its next message.
    Runs(Actor),
    /// The database has answered, or the connection is lost.
    Answered(u64, Result<Answer, BackendError>),
    /// The server waits for that answer no longer.
    GivesUp(u64),
    /// A hint has arrived.
    Hinted(Incarnation, Hint),
    /// A timer of an actor rings.
    Rings(Timer),
    /// An activation goes on.
    Activates(usize, u64),
    /// A key may be written: its actor starts.
    GoesLive(usize, u64, Box<Grant>),
    /// A VM looks into its inbox; if it thinks, it makes calls.
    Polls(usize, bool),
    /// Deadlines are looked at.
    Sweeps(u32),
}

/// An actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Of a key.
    Key(u64),
    /// Of the game.
    Flusher,
    /// Of all lanes.
    Lanes,
    /// The session lock.
    Session,
}

/// A timer that an actor has set.
#[derive(Debug, Clone)]
pub enum Timer {
    /// Of a key's actor.
    Key(u64),
    /// A lane sends its batch again.
    Resend(usize),
    /// A lane's pause is over.
    Rested(usize),
    /// The session lock looks what is due.
    Session(Moment),
    /// A wanted key may have been held long enough.
    HandOver(usize, Fence),
    /// The first incarnation is made known again.
    Joins,
}

/// One place for processes, one after the other.
#[derive(Debug)]
pub struct Server {
    me: Me,
    process: Option<Process>,
    /// It stands still since then.
    frozen: Option<Moment>,
    stood_still: Vec<(Moment, Moment)>,
    /// What has arrived meanwhile.
    stalled: Vec<ServerEvent>,
}

impl Server {
    /// Nothing runs here yet.
    pub fn new(server: usize) -> Self {
        let me = Me { server, process: 0 };
        Self { me, process: None, frozen: None, stood_still: Vec::new(), stalled: Vec::new() }
    }

    /// Starts a process, unless one runs.
    pub fn start(&mut self, context: &mut Context) {
        if self.process.is_none() {
            self.me.process += 1;
            context.note(Who::Server(self.me.server), "starts as process {a}", u64::from(self.me.process), 0);
            self.process = Some(Process::new(context, self.me));
        }
    }

    /// Something happens in a process.
    pub fn handle(&mut self, context: &mut Context, me: Me, event: ServerEvent) {
        let Some(process) = self.process.as_mut().filter(|_| me == self.me) else { return };
        if self.frozen.is_some() {
            self.stalled.push(event);
        } else {
            process.handle(context, event);
        }
    }

    /// The process is gone, with everything in it. False, as of all of these: nothing happened.
    pub fn kill(&mut self, context: &mut Context) -> bool {
        let Some(process) = self.process.take() else { return false };
        context.note(Who::Server(self.me.server), "is killed", 0, 0);
        process.shared.is_gone.set(true);
        (self.frozen, self.stalled) = (None, Vec::new());
        for call in process.vms.iter().flat_map(Vm::open_calls) {
            context.history.end(call, context.now, super::history::End::Lost);
        }
        // What was on its way may arrive or not.
        for number in process.awaited.into_keys() {
            if context.rng.chance(50) {
                context.net.drop_request(number);
            }
        }
        true
    }

    /// Nothing runs for a while; messages and timers wait.
    pub fn freeze(&mut self, context: &mut Context) -> bool {
        let runs = self.process.is_some() && self.frozen.is_none();
        if runs {
            context.note(Who::Server(self.me.server), "stands still", 0, 0);
            self.frozen = Some(context.now);
        }
        runs
    }

    /// Goes on, with everything that has waited at once.
    pub fn thaw(&mut self, context: &mut Context) {
        let Some(since) = self.frozen.take() else { return };
        context.note(Who::Server(self.me.server), "goes on", self.stalled.len() as u64, 0);
        self.stood_still.push((since, context.now));
        for event in std::mem::take(&mut self.stalled) {
            // Timers and answers wake up in any order.
            let wait = context.rng.micros(1..300);
            context.tell(self.me, wait, event);
        }
    }

    /// All its connections are lost: with requests that are on their way, and with answers.
    pub fn cut(&mut self, context: &mut Context) -> bool {
        let Some(process) = &self.process else { return false };
        for number in process.awaited.keys() {
            if context.rng.chance(50) {
                context.net.drop_request(*number);
            }
            context.lose(self.me, *number);
        }
        true
    }

    /// One of its key actors dies of a fault of its own.
    pub fn lose_actor(&mut self, context: &mut Context) -> bool {
        let process = self.process.as_mut().filter(|_| self.frozen.is_none());
        process.is_some_and(|process| process.lose_actor(context))
    }

    /// One of its VMs ends, and another one starts.
    pub fn end_vm(&mut self, context: &mut Context) -> bool {
        let process = self.process.as_mut().filter(|process| process.session.is_some() && self.frozen.is_none());
        process.map(|process| process.end_vm(context)).is_some()
    }

    /// Writes every key once, to see whether it can.
    pub fn probe(&mut self, context: &mut Context) {
        match self.process.as_mut().filter(|process| process.session.is_some()) {
            Some(process) => process.probe(context),
            None => context.violated(format!("server {} has not come back", self.me.server)),
        }
    }

    /// The incarnation of its process.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.process.as_ref()?.session.as_ref()?.leases.me()
    }

    /// From when to when it stood still.
    pub fn stood_still(&self) -> &[(Moment, Moment)] {
        &self.stood_still
    }
}
