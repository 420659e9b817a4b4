//! One state of the model: servers, operations, requests on their way, the write-ahead log, the standby.
//!
//! Owns: the data, and what the database shows and would recover to in a state. Does not own: steps.
//!
//! Every operation appends its own number to the value. So a value is the list of all operations that took effect, in
//! order, and its version is its length. A delete or a plain set would show less.

use crate::config::{Budget, OPS_MAX};
use crate::invariants::Invariant;

/// Two servers take part.
pub const SERVERS: usize = 2;
/// Each has at most this many incarnations.
pub const GENERATIONS: u8 = 2;
pub(crate) const INCARNATIONS: usize = SERVERS * GENERATIONS as usize;
/// Requests and answers on their way. More is reported as [`Invariant::Bound`].
pub(crate) const NET_MAX: usize = 7;
/// Transactions in the log that the standby does not have. More is reported as [`Invariant::Bound`].
pub(crate) const WAL_MAX: usize = 8;

/// A value: operations in the order in which they took effect, two bits each, the oldest lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct List(pub(crate) u16);

impl List {
    /// How many operations; also the version.
    pub const fn len(self) -> u8 {
        ((u16::BITS - self.0.leading_zeros()).div_ceil(2)) as u8
    }

    /// Nothing took effect.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// With one more operation at the end. Eight fit: before twice [`OPS_MAX`] some operation took effect twice.
    #[must_use]
    pub const fn and(self, op: usize) -> Self {
        Self(self.0 | ((op as u16 + 1) << (2 * self.len())))
    }

    /// Does it begin with `other`?
    pub const fn begins_with(self, other: Self) -> bool {
        self.0 & ((1_u32 << (2 * other.len())) - 1) as u16 == other.0
    }

    /// The operations.
    pub fn ops(self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(move |at| usize::from((self.0 >> (2 * at)) & 3) - 1)
    }

    /// How often an operation took effect.
    pub fn count(self, op: usize) -> usize {
        self.ops().filter(|&other| other == op).count()
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// No request: the place is free.
    #[default]
    None,
    /// Write a batch.
    Flush,
    /// The same batch had committed: only a commit, as a barrier.
    Replay,
    /// Take the lease.
    Acquire,
    /// Give the lease back.
    Release,
    /// A confirmed read.
    Read,
    /// Declare an incarnation dead. Commits without waiting for anything (`decisions.md` 26).
    Death,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// On its way to the database, or waiting there for a lock.
    #[default]
    Sent,
    /// Its rows are locked and compared.
    Locked,
    /// In the log of the primary, waiting for the standby: locked, and nobody sees it.
    Committed,
    /// In the log of the primary and seen, but the standby does not have it.
    Visible,
    /// The answer is on its way.
    Answered,
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// Not known yet, or nothing to know.
    #[default]
    None,
    /// The row was written.
    Applied,
    /// Somebody else owns or wrote the row.
    Fenced,
    /// The lease is granted.
    Granted,
    /// Another living incarnation has the lease.
    Held,
    /// The incarnation, or its lane, is not what it was.
    Over,
    /// The lane's row is gone (a mutant).
    NoLane,
}

/// A request, its transaction, or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// What for.
    pub kind: Kind,
    /// How far.
    pub stage: Stage,
    /// Whose; of a death: who dies.
    pub incarnation: u8,
    /// Somebody waits for the answer: the connection is not lost.
    pub live: bool,
    /// Number of the batch in its lane.
    pub seq: u8,
    /// The fence that it carries.
    pub fence: u8,
    /// Version that the writer saw; of a read: length of the longest value shown before it.
    pub base: u8,
    /// What came of it.
    pub outcome: Outcome,
    /// The value to write, or that was read.
    pub list: List,
}

/// The key's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// The value.
    pub list: List,
    /// Incarnation that owns it, counted from 1; 0: none.
    pub owner: u8,
    /// Fence of the last acquisition; 0: none.
    pub fence: u8,
}

/// A lane's row: its last batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lane {
    /// What the batch would write: stands for the digest.
    pub list: List,
    /// Number.
    pub seq: u8,
    /// What became of its row.
    pub outcome: Outcome,
}

/// Tables of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tables {
    /// The key.
    pub row: Row,
    /// One lane per incarnation.
    pub lanes: [Lane; INCARNATIONS],
    /// Incarnations declared dead, one bit each.
    pub dead: u8,
}

impl Tables {
    /// Is this incarnation declared dead?
    pub const fn is_dead(&self, incarnation: u8) -> bool {
        self.dead & (1 << incarnation) != 0
    }

    /// Carries out a transaction of the log.
    pub fn apply(&mut self, entry: &Request) {
        match entry.kind {
            Kind::Flush => {
                let lane = Lane { list: entry.list, seq: entry.seq, outcome: entry.outcome };
                self.lanes[usize::from(entry.incarnation)] = lane;
                if entry.outcome == Outcome::Applied {
                    self.row.list = entry.list;
                }
            }
            Kind::Acquire => (self.row.owner, self.row.fence) = (entry.incarnation + 1, entry.fence),
            Kind::Release => (self.row.owner, self.row.fence) = (0, 0),
            Kind::Death => self.dead |= 1 << entry.incarnation,
            Kind::None | Kind::Replay | Kind::Read => {}
        }
    }
}

/// What a server knows of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lease {
    /// It does not own the key.
    #[default]
    None,
    /// It has asked, and does not know.
    Asked,
    /// It owns the key, as far as it knows.
    Held,
}

/// One server: one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Server {
    /// It was killed, and stays away.
    pub killed: bool,
    /// Which of its incarnations is running.
    pub generation: u8,
    /// Number of the last batch that is settled in its lane.
    pub seq: u8,
    /// The lease.
    pub lease: Lease,
    /// The fence it asked with, or owns with.
    pub fence: u8,
    /// The durable value, while the lease is held.
    pub durable: List,
}

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Not called yet.
    #[default]
    Ahead,
    /// In its server, never sent since it was last known not to be applied.
    Queued,
    /// In the batch in flight.
    InFlight,
    /// Its server is done with it.
    Over,
}

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answer {
    /// Nothing yet.
    #[default]
    None,
    /// Durable.
    Ok,
    /// Not applied, now or later.
    Fail,
    /// May be applied.
    Unknown,
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Op {
    /// Which server was called.
    pub server: u8,
    /// Where it is.
    pub place: Place,
    /// What its caller knows.
    pub answer: Answer,
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The servers.
    pub servers: [Server; SERVERS],
    /// The operations, in the order of their calls.
    pub ops: [Op; OPS_MAX],
    /// Requests and answers on their way, and requests that hold locks. In the order of their contents.
    pub net: [Request; NET_MAX],
    /// The log from where the standby is, in order.
    pub wal: [Request; WAL_MAX],
    /// The standby.
    pub standby: Tables,
    /// The longest value that anyone was shown.
    pub shown: List,
    /// What may still happen.
    pub left: Budget,
    /// A rule that the last step broke.
    pub broken: Option<Invariant>,
}

impl State {
    /// Before the first call.
    pub fn new(left: Budget) -> Self {
        Self { left, ..Self::default() }
    }

    /// Number of a server's incarnation.
    pub fn incarnation(&self, server: usize) -> u8 {
        incarnation(server, self.servers[server].generation)
    }

    /// What the primary shows.
    pub fn visible(&self) -> Tables {
        self.tables(|entry| entry.stage == Stage::Visible)
    }

    /// What the primary would have after a crash: all that is in its log.
    pub fn recovered(&self) -> Tables {
        self.tables(|_| true)
    }

    fn tables(&self, counts: impl Fn(&Request) -> bool) -> Tables {
        let mut tables = self.standby;
        for entry in self.log().iter().filter(|entry| counts(entry)) {
            tables.apply(entry);
        }
        tables
    }

    /// The used part of the log.
    pub fn log(&self) -> &[Request] {
        let end = self.wal.iter().position(|entry| entry.kind == Kind::None).unwrap_or(WAL_MAX);
        &self.wal[..end]
    }

    /// Requests and transactions of an incarnation whose answer is awaited.
    pub fn awaited(&self, incarnation: u8) -> impl Iterator<Item = &Request> {
        let all = self.net.iter().chain(self.log());
        all.filter(move |request| request.live && request.incarnation == incarnation && request.kind != Kind::None)
    }

    /// Operations of a server in a place, in order.
    pub fn ops_in(&self, server: usize, place: Place) -> impl Iterator<Item = usize> {
        (0..OPS_MAX).filter(move |&op| usize::from(self.ops[op].server) == server && self.ops[op].place == place)
    }

    /// Has the server a batch that is not settled?
    pub fn is_unsettled(&self, server: usize) -> bool {
        self.ops_in(server, Place::InFlight).next().is_some()
    }

    /// Puts a request on its way.
    pub fn put(&mut self, request: Request) {
        match self.net.iter_mut().find(|place| place.kind == Kind::None) {
            Some(place) => *place = request,
            None => self.broken = Some(Invariant::Bound),
        }
    }

    /// Takes a request off.
    pub fn take(&mut self, at: usize) -> Request {
        std::mem::take(&mut self.net[at])
    }

    /// Writes a transaction to the end of the log.
    pub fn append(&mut self, entry: Request) {
        match self.wal.iter_mut().find(|place| place.kind == Kind::None) {
            Some(place) => *place = entry,
            None => self.broken = Some(Invariant::Bound),
        }
    }

    /// A value was shown to somebody.
    pub fn show(&mut self, list: List) {
        if list.len() > self.shown.len() {
            if !list.begins_with(self.shown) {
                self.broken = Some(Invariant::I4);
            }
            self.shown = list;
        } else if !self.shown.begins_with(list) {
            self.broken = Some(Invariant::I4);
        }
    }

    /// A fence that is nowhere: as good as a random number that was never drawn before.
    pub fn fresh_fence(&self) -> u8 {
        let requests = self.net.iter().chain(self.log()).map(|request| request.fence);
        let used = requests.chain(self.servers.iter().map(|server| server.fence)).chain([self.standby.row.fence]);
        let bits = used.fold(1_u32, |bits, fence| bits | 1 << fence);
        u8::try_from(bits.trailing_ones()).unwrap_or(u8::MAX)
    }
}

/// Number of the incarnation of a server.
pub fn incarnation(server: usize, generation: u8) -> u8 {
    u8::try_from(server).unwrap_or(u8::MAX) + 2 * generation
}

/// Server of an incarnation.
pub fn server_of(incarnation: u8) -> usize {
    usize::from(incarnation) % SERVERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_order_and_repetition() {
        let list = List::default().and(0).and(2).and(0);
        assert_eq!(list.ops().collect::<Vec<_>>(), [0, 2, 0]);
        assert_eq!((list.len(), list.count(0), list.count(1)), (3, 2, 0));
        assert!(list.begins_with(List::default().and(0).and(2)) && list.begins_with(list));
        assert!(!list.begins_with(List::default().and(2)) && !List::default().begins_with(list));
        let eight = (0..8).fold(List::default(), |list, at| list.and(at % OPS_MAX));
        assert!(eight.len() == 8 && eight.begins_with(eight));
    }

    #[test]
    fn what_waits_for_the_standby_is_recovered_but_not_seen() {
        let mut state = State::default();
        let list = List::default().and(0);
        let (kind, stage, outcome) = (Kind::Flush, Stage::Committed, Outcome::Applied);
        state.append(Request { kind, stage, outcome, list, seq: 1, ..Request::default() });
        assert!(state.visible().row.list.is_empty());
        assert_eq!((state.recovered().row.list, state.recovered().lanes[0].seq), (list, 1));
    }
}
