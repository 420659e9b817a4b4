//! The database: a primary, a synchronous standby, transactions that take time.
//!
//! Owns: the life of a transaction: it begins, waits for locks, is in the log of the primary (unseen, its locks kept), on
//! the disk, at the standby, and is answered; who sees what meanwhile; lock time-outs. Does not own: what a statement does
//! (`statements`), rows (`tables`), crashes and promotions (`outages`), connections (`network`).

mod batches;
mod commit_log;
mod leasing;
pub mod locks;
mod outages;
mod statements;
pub mod tables;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use clawstore_core::Entry;
use clawstore_core::backend::{
    BackendError, BackendErrorKind, Batch, Beat, BeatAnswer, GiveBack, Hint, Incarnation, LeaseAnswer, LeaseAsk,
    LeaseRequest, Peer, RowOutcome,
};
use clawstore_core::mutant::Mutant;

use self::locks::{Lock, Locks};
use self::statements::{Rules, Step};
use self::tables::{Change, Row, Tables};
use super::context::{Context, Me};
use super::trace::Who;

/// As the session of a lane has it set.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server asks for.
#[derive(Debug, Clone)]
pub enum Ask {
    /// `HoldLeases::join`.
    Join(Incarnation),
    /// `HoldLeases::beat`.
    Beat(Beat),
    /// `HoldLeases::declare_dead`.
    DeclareDead(Incarnation, Vec<Peer>, bool),
    /// `HoldLeases::acquire`.
    Acquire(Incarnation, Vec<LeaseAsk>),
    /// `HoldLeases::release`.
    Release(Vec<GiveBack>),
    /// `HoldLeases::leave`.
    Leave(Incarnation),
    /// `HoldLeases::list_wanted`.
    ListWanted(Incarnation),
    /// `HoldLeases::hint`.
    Hint(Vec<(Incarnation, Hint)>),
    /// `CommitBatches::commit_batch`.
    Commit(Arc<Batch>),
    /// `ReadEntries::read_entries`, of keys by number.
    Read(Vec<usize>),
    /// Is this batch there? Only a mutant asks.
    LookUp(Arc<Batch>),
}

/// What it is answered with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It is done.
    Done,
    /// To a beat.
    Beaten(BeatAnswer),
    /// To a declaration: who is not alive now.
    Dead(Vec<Incarnation>),
    /// To an acquisition.
    Acquired(Vec<LeaseAnswer>),
    /// To leases given back: who had asked for them.
    Released(Vec<Incarnation>),
    /// What is wanted.
    Wanted(Vec<LeaseRequest>),
    /// To a batch.
    Committed(Vec<RowOutcome>),
    /// To a read.
    Entries(Vec<Arc<Entry>>),
}

/// A request on its way.
#[derive(Debug)]
pub struct Request {
    /// Its number.
    pub number: u64,
    /// Whose.
    pub me: Me,
    /// What.
    pub ask: Ask,
}

/// Something that happens in the database.
#[derive(Debug)]
pub enum StoreEvent {
    /// A request arrives.
    Arrives(Request),
    /// A transaction goes on.
    Proceeds(u64),
    /// A transaction has waited for a lock for too long, if it still waits for the one that it was at then.
    WaitsTooLong(u64, usize),
    /// The disk has the log up to there.
    OnDisk(u64),
    /// The standby has it too.
    AtStandby(u64),
    /// After a crash or a promotion it takes connections again.
    IsBack,
    /// There is a standby again, with all that is on the disk.
    StandbyIsBack,
    /// A standby that stood still goes on.
    StandbyGoesOn,
}

/// What a statement saw when it began.
#[derive(Debug)]
pub(super) enum Seen {
    /// It looks at locked rows only.
    Nothing,
    /// The asker, and each key with whether its owner lives, and who wants it.
    Leases { is_asker_alive: bool, rows: Vec<(Row, bool, bool)> },
    /// Values.
    Entries(Vec<Arc<Entry>>),
    /// Who has a connection, and is spared for it.
    Connected(BTreeSet<Incarnation>),
}

/// One statement, which is one transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) request: Request,
    pub(super) seen: Seen,
    /// Locks that it holds, in the order in which it got them.
    pub(super) held: Vec<Lock>,
    /// The one that it waits for.
    waits_for: Option<Lock>,
    /// In the log: what it changes, and what it will be answered with.
    logged: Option<(u64, Answer)>,
}

#[derive(Debug)]
struct Record {
    number: u64,
    changes: Vec<Change>,
}

/// The standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standby {
    /// There is none now.
    Absent,
    /// It follows.
    Streams,
    /// It is there and gets nothing.
    StandsStill,
}

/// The database.
#[derive(Debug)]
pub struct Store {
    /// What statements see on the primary.
    pub tables: Tables,
    /// What a crash would leave.
    disk: Tables,
    /// What a promotion would leave.
    copy: Tables,
    /// What is not on the disk and at the standby yet, oldest first.
    log: VecDeque<Record>,
    appended: u64,
    on_disk: u64,
    at_standby: u64,
    /// Transactions in the log that are not answered yet, oldest first.
    waiting: VecDeque<u64>,
    transactions: BTreeMap<u64, Transaction>,
    locks: Locks,
    /// Incarnations that hold their advisory lock: they have a connection.
    connected: BTreeSet<Incarnation>,
    /// Whose incarnation it is: where hints go.
    listeners: BTreeMap<Incarnation, Me>,
    standby: Standby,
    is_up: bool,
    /// How much slower than usual everything is.
    slowness: u32,
    mutant: Option<Mutant>,
}

impl Store {
    /// Empty and running.
    pub fn new(context: &Context) -> Self {
        let names: Arc<[_]> = context.setup.keys.iter().map(|key| key.key.clone()).collect();
        let tables = Tables::new(names);
        Self {
            disk: tables.clone(),
            copy: tables.clone(),
            tables,
            log: VecDeque::new(),
            appended: 0,
            on_disk: 0,
            at_standby: 0,
            waiting: VecDeque::new(),
            transactions: BTreeMap::new(),
            locks: Locks::default(),
            connected: BTreeSet::new(),
            listeners: BTreeMap::new(),
            standby: if context.setup.has_standby { Standby::Streams } else { Standby::Absent },
            is_up: true,
            slowness: 1,
            mutant: context.setup.options.mutant,
        }
    }

    /// Something happens. Events of an earlier start than the last are void; but what was on its way may arrive at whoever is
    /// the primary then.
    pub fn handle(&mut self, context: &mut Context, starts: u32, event: StoreEvent) {
        let is_late = starts != context.store_starts;
        match event {
            StoreEvent::Arrives(request) => self.arrives(context, request, is_late),
            StoreEvent::IsBack => self.is_back(context),
            _ if is_late => {}
            StoreEvent::Proceeds(number) => self.proceed(context, number),
            StoreEvent::WaitsTooLong(number, locks) => self.waits_too_long(context, number, locks),
            StoreEvent::OnDisk(number) => self.reached_disk(context, number),
            StoreEvent::AtStandby(number) => self.reached_standby(context, number),
            StoreEvent::StandbyIsBack => self.standby_is_back(context),
            StoreEvent::StandbyGoesOn => self.standby_goes_on(context),
        }
    }

    fn work(&self, context: &mut Context, most: u64) -> Duration {
        context.rng.micros(10..most) * self.slowness
    }

    fn arrives(&mut self, context: &mut Context, request: Request, is_late: bool) {
        if context.net.is_dropped(request.number) {
            return;
        }
        if !self.is_up {
            let refused = BackendError::new(BackendErrorKind::Unavailable, "the database takes no connections");
            context.reply(request.me, request.number, Err(refused));
            return;
        }
        if is_late && context.rng.chance(70) {
            context.lose(request.me, request.number);
            return;
        }
        let number = context.number();
        self.hears_of(&request);
        let seen = statements::look(&self.tables, &self.connected, &request.ask);
        let transaction = Transaction { request, seen, held: Vec::new(), waits_for: None, logged: None };
        self.transactions.insert(number, transaction);
        let work = self.work(context, 400);
        context.tell_store(work, StoreEvent::Proceeds(number));
    }

    fn hears_of(&mut self, request: &Request) {
        let (Ask::Join(incarnation) | Ask::Beat(Beat { incarnation, .. })) = request.ask else { return };
        self.connected.insert(incarnation);
        self.listeners.insert(incarnation, request.me);
    }

    /// Goes on until the transaction waits for something or has ended.
    fn proceed(&mut self, context: &mut Context, number: u64) {
        let (lanes, waits_for_standby) = (context.setup.lanes, self.waits_for_standby(context));
        let rules = Rules { lanes, waits_for_standby, mutant: self.mutant };
        loop {
            let Some(transaction) = self.transactions.get_mut(&number) else { return };
            if let Some(lock) = transaction.waits_for.take() {
                transaction.held.push(lock);
            }
            match statements::step(&self.tables, &self.locks, transaction, rules) {
                Step::Lock(lock) => {
                    transaction.waits_for = Some(lock);
                    if !self.locks.take(lock, number) {
                        let locks = transaction.held.len();
                        context.tell_store(LOCK_TIMEOUT, StoreEvent::WaitsTooLong(number, locks));
                        return;
                    }
                }
                Step::Commit(changes, answer) => return self.append(context, number, changes, answer),
                Step::CommitHurriedly(changes, answer) => {
                    self.append(context, number, changes, answer);
                    return self.show(context, number);
                }
                Step::End(answer) => return self.end(context, number, answer),
            }
        }
    }

    fn waits_too_long(&mut self, context: &mut Context, number: u64, locks: usize) {
        let waits = |transaction: &Transaction| transaction.waits_for.is_some() && transaction.held.len() == locks;
        if self.transactions.get(&number).is_some_and(waits) {
            let error = BackendError::new(BackendErrorKind::Unavailable, "a row stayed locked for too long");
            self.end(context, number, Err(error));
        }
    }

    /// Gives up the locks and answers.
    fn end(&mut self, context: &mut Context, number: u64, answer: Result<Answer, BackendError>) {
        let Some(transaction) = self.transactions.remove(&number) else { return };
        for lock in transaction.held.into_iter().chain(transaction.waits_for) {
            if let Some(next) = self.locks.release(lock, number) {
                let wakes = context.rng.micros(1..60);
                context.tell_store(wakes, StoreEvent::Proceeds(next));
            }
        }
        let Request { number: request, me, .. } = transaction.request;
        context.note(Who::Store, "request {a} is answered, well: {b}", request, u64::from(answer.is_ok()));
        if let Ask::Hint(hints) = &transaction.request.ask {
            for (to, hint) in hints {
                if let Some(listener) = self.listeners.get(to).filter(|_| self.connected.contains(to)) {
                    context.hint(*listener, *to, *hint);
                }
            }
        }
        context.reply(me, request, answer);
    }
}
