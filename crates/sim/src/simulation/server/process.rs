//! A process that runs.
//!
//! Owns: its parts, its questions to the database with their deadlines, and who handles an event. Does not own: what the parts do
//! (the modules beside this one), kills and freezes (`server`).

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clawstore_core::EntryKey;
use clawstore_core::backend::{BackendError, BackendErrorKind, Batch, Beat, GiveBack, Incarnation, LeaseAsk};
use clawstore_core::clock::Moment;
use clawstore_core::mutant::Mutant;

use super::flusher::{Flusher, FlusherMsg};
use super::key_actor::KeyActor;
use super::lanes::{LaneMsg, Lanes};
use super::mailbox::Mailbox;
use super::port::Shared;
use super::reads::{Job, Reader};
use super::session::{Session, SessionMsg};
use super::slot::{KeyMsg, Slot};
use super::vm::Vm;
use super::{Actor, ServerEvent, Timer};
use crate::simulation::context::{Context, Me};
use crate::simulation::store::{Answer, Ask, Request};
use crate::simulation::trace::Who;

/// A call to the database.
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// A beat.
pub(super) const BEAT_DEADLINE: Duration = Duration::from_secs(2);
/// A batch.
pub(super) const COMMIT_DEADLINE: Duration = Duration::from_secs(10);

/// What a question to the database is for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// The first incarnation of the process.
    FirstJoin(Incarnation, Moment),
    Join(Incarnation, Moment),
    Beat(Moment, Beat),
    DeclareDead,
    Acquire(Incarnation, Vec<LeaseAsk>),
    Release(Vec<GiveBack>),
    Hints,
    ListWanted(Incarnation),
    /// Nobody waits for it.
    Nothing,
    Commit(usize, Arc<Batch>),
    LookUp(usize),
    Read(Vec<Job>, Moment),
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) me: Me,
    pub(super) keys: Vec<EntryKey>,
    pub(super) shared: Rc<Shared>,
    pub(super) slots: Vec<Slot>,
    pub(super) actors: BTreeMap<u64, KeyActor>,
    pub(super) mailboxes: BTreeMap<u64, Mailbox<KeyMsg>>,
    pub(super) flusher: Flusher,
    pub(super) flusher_box: Mailbox<FlusherMsg>,
    pub(super) lanes: Lanes,
    pub(super) lanes_box: Mailbox<LaneMsg>,
    /// `None` until the first incarnation is known.
    pub(super) session: Option<Session>,
    pub(super) session_box: Mailbox<SessionMsg>,
    pub(super) reader: Reader,
    pub(super) vms: Vec<Vm>,
    pub(super) awaited: BTreeMap<u64, Awaited>,
    pub(super) has_lost_actors: bool,
    pub(super) mutant: Option<Mutant>,
}

impl Process {
    pub(super) fn new(context: &mut Context, me: Me) -> Self {
        let keys: Vec<_> = context.setup.keys.iter().map(|key| key.key.clone()).collect();
        let mut process = Self {
            me,
            slots: keys.iter().map(|_| Slot::new()).collect(),
            keys,
            shared: Rc::default(),
            actors: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            flusher: Flusher::default(),
            flusher_box: Mailbox::default(),
            lanes: Lanes::new(context.setup.lanes),
            lanes_box: Mailbox::default(),
            session: None,
            session_box: Mailbox::default(),
            reader: Reader::default(),
            vms: Vec::new(),
            awaited: BTreeMap::new(),
            has_lost_actors: false,
            mutant: context.setup.options.mutant,
        };
        process.join_first(context);
        process
    }

    pub(super) fn join_first(&mut self, context: &mut Context) {
        let incarnation = Incarnation::from_bits(context.rng.bits());
        let awaited = Awaited::FirstJoin(incarnation, context.now);
        self.ask(context, CALL_DEADLINE, Ask::Join(incarnation), awaited);
    }

    /// Asks the database; the answer comes as an event, and so does its missing.
    pub(super) fn ask(&mut self, context: &mut Context, deadline: Duration, ask: Ask, awaited: Awaited) {
        let number = context.number();
        self.awaited.insert(number, awaited);
        context.tell(self.me, deadline, ServerEvent::GivesUp(number));
        context.send(Request { number, me: self.me, ask });
    }

    pub(super) fn cast_session(&mut self, context: &mut Context, message: SessionMsg) {
        self.session_box.put(context, self.me, Actor::Session, message);
    }

    pub(super) fn cast_lanes(&mut self, context: &mut Context, message: LaneMsg) {
        self.lanes_box.put(context, self.me, Actor::Lanes, message);
    }

    pub(super) fn cast_flusher(&mut self, context: &mut Context, message: FlusherMsg) {
        self.flusher_box.put(context, self.me, Actor::Flusher, message);
    }

    /// Gives the message back if the actor has ended.
    pub(super) fn cast_key(&mut self, context: &mut Context, actor: u64, message: KeyMsg) -> Result<(), KeyMsg> {
        match self.mailboxes.get_mut(&actor) {
            Some(mailbox) => {
                mailbox.put(context, self.me, Actor::Key(actor), message);
                Ok(())
            }
            None => Err(message),
        }
    }

    pub(super) fn handle(&mut self, context: &mut Context, event: ServerEvent) {
        self.shared.now.set(context.now);
        match event {
            ServerEvent::Runs(actor) => self.run(context, actor),
            ServerEvent::Answered(number, answer) => self.answered(context, number, answer),
            ServerEvent::GivesUp(number) => {
                let late = BackendError::new(BackendErrorKind::Unknown, "the database did not answer in time");
                self.answered(context, number, Err(late));
            }
            ServerEvent::Hinted(to, hint) => self.cast_session(context, SessionMsg::Hinted(to, hint)),
            ServerEvent::Rings(timer) => self.rings(context, timer),
            ServerEvent::Activates(slot, generation) => self.acquire_for(context, slot, generation),
            ServerEvent::GoesLive(slot, generation, grant) => self.go_live(context, slot, generation, *grant),
            ServerEvent::Polls(vm, thinks) => self.poll(context, vm, thinks),
            ServerEvent::Sweeps(tick) => self.sweep(context, tick),
        }
        self.after_event(context);
    }

    pub(super) fn run(&mut self, context: &mut Context, actor: Actor) {
        let me = self.me;
        match actor {
            Actor::Key(number) => {
                let mailbox = self.mailboxes.get_mut(&number);
                if let Some(message) = mailbox.and_then(|mailbox| mailbox.take(context, me, actor)) {
                    self.key_handles(context, number, message);
                }
            }
            Actor::Flusher => {
                if let Some(message) = self.flusher_box.take(context, me, actor) {
                    self.flusher_handles(context, message);
                }
            }
            Actor::Lanes => {
                if let Some(message) = self.lanes_box.take(context, me, actor) {
                    self.lanes_handle(context, message);
                }
            }
            Actor::Session => {
                if let Some(message) = self.session_box.take(context, me, actor) {
                    self.session_handles(context, message);
                }
            }
        }
    }

    pub(super) fn rings(&mut self, context: &mut Context, timer: Timer) {
        match timer {
            Timer::Key(actor) => drop(self.cast_key(context, actor, KeyMsg::Tick)),
            Timer::Resend(lane) => self.cast_lanes(context, LaneMsg::Resend(lane)),
            Timer::Rested(lane) => self.cast_lanes(context, LaneMsg::Rested(lane)),
            Timer::Session(at) => self.cast_session(context, SessionMsg::Tick(at)),
            Timer::HandOver(slot, fence) => self.cast_session(context, SessionMsg::HandOver(slot, fence)),
            Timer::Joins => self.join_first(context),
        }
    }

    /// An answer of the database, unless the server has given up waiting.
    pub(super) fn answered(&mut self, context: &mut Context, number: u64, answer: Result<Answer, BackendError>) {
        let Some(awaited) = self.awaited.remove(&number) else { return };
        match awaited {
            Awaited::FirstJoin(incarnation, sent) => match answer {
                Ok(_) => self.begin(context, incarnation, sent),
                Err(_) => context.tell(self.me, Duration::from_millis(300), ServerEvent::Rings(Timer::Joins)),
            },
            Awaited::Commit(lane, batch) => self.committed(context, lane, &batch, answer),
            Awaited::LookUp(lane) => self.looked_up(context, lane, answer),
            Awaited::Read(jobs, asked) => self.have_read(context, jobs, asked, answer),
            awaited => self.cast_session(context, SessionMsg::Answered(Box::new(awaited), answer)),
        }
    }

    /// The first incarnation is known: calls can be made.
    pub(super) fn begin(&mut self, context: &mut Context, incarnation: Incarnation, sent: Moment) {
        context.note(Who::Server(self.me.server), "is there as incarnation {a}", incarnation.0, 0);
        self.start_session(context, incarnation, sent);
        self.lanes.rejoin(incarnation);
        context.tell(self.me, Duration::from_millis(100), ServerEvent::Sweeps(1));
        for vm in 0..context.setup.vms {
            self.start_vm(context, vm);
        }
    }

    /// What ports have left to be done.
    pub(super) fn after_event(&mut self, context: &mut Context) {
        let confirms = self.shared.to_confirm.take();
        for confirm in confirms {
            self.confirm_read(context, confirm);
        }
        for vm in self.shared.woken.take() {
            self.wake(context, vm);
        }
        let dropped = self.shared.dropped.take();
        // What is on its way to an actor that dies ends with it.
        for (key, op) in dropped.into_iter().filter(|_| !self.has_lost_actors) {
            context
                .violated(format!("server {}: call {op} of a VM on key {key} was dropped on the way", self.me.server));
        }
    }
}
