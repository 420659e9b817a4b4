//! Connections between servers and the database.
//!
//! Owns: how long messages take, which are lost, late or held up, and what the client of a lost connection learns.
//! Does not own: deadlines of clients (`server::asking`), what the database does with a message.
//!
//! A request whose sender has given up goes on by itself: it may arrive at any later time.

use std::collections::BTreeSet;
use std::time::Duration;

use clawstore_core::backend::{BackendError, BackendErrorKind, Hint, Incarnation};

use super::context::{Context, Me};
use super::server::ServerEvent;
use super::store::{Answer, Request, StoreEvent};
use super::trace::Who;

/// One server's way to the database.
#[derive(Debug, Default)]
struct Way {
    /// Nothing comes through; nobody is told.
    is_black_hole: bool,
    /// What waits in it, in order.
    held: Vec<Held>,
    /// Times in 100 that a message costs the connection.
    loss: u64,
}

#[derive(Debug)]
enum Held {
    Request(Request),
    Reply(Me, u64, Result<Answer, BackendError>),
}

/// All of them.
#[derive(Debug)]
pub struct Network {
    ways: Vec<Way>,
    /// Requests that will not arrive.
    dropped: BTreeSet<u64>,
}

impl Network {
    /// All is well.
    pub fn new(servers: usize) -> Self {
        Self { ways: (0..servers).map(|_| Way::default()).collect(), dropped: BTreeSet::new() }
    }

    /// From now on nothing comes through.
    pub fn hold_up(&mut self, server: usize) {
        self.ways[server].is_black_hole = true;
    }

    /// From now on this share of messages costs the connection.
    pub fn lose(&mut self, server: usize, percent: u64) {
        self.ways[server].loss = percent;
    }

    /// A request that is on its way will not arrive.
    pub fn drop_request(&mut self, number: u64) {
        self.dropped.insert(number);
    }

    /// Whether a request that has arrived was to be lost.
    pub fn is_dropped(&mut self, number: u64) -> bool {
        self.dropped.remove(&number)
    }
}

impl Context {
    fn latency(&mut self) -> Duration {
        let most = self.setup.latency;
        // A packet that was lost is sent again.
        let again = if self.rng.chance(1) { 200_000 } else { 0 };
        self.rng.micros(20 + again..most + again + 20)
    }

    /// Sends a request to the database.
    pub fn send(&mut self, request: Request) {
        let (me, number) = (request.me, request.number);
        let way = &mut self.net.ways[me.server];
        if way.is_black_hole {
            way.held.push(Held::Request(request));
            return;
        }
        let loss = way.loss;
        if self.rng.chance(loss) {
            self.lose(me, number);
            // Not even sent, in the middle of it, or sent and arriving late.
            if self.rng.chance(40) {
                return;
            }
            let late = self.rng.millis(0..1_500);
            self.tell_store(late, StoreEvent::Arrives(request));
            return;
        }
        let latency = self.latency();
        self.tell_store(latency, StoreEvent::Arrives(request));
    }

    /// Sends an answer to a server.
    pub fn reply(&mut self, me: Me, number: u64, answer: Result<Answer, BackendError>) {
        let way = &mut self.net.ways[me.server];
        if way.is_black_hole {
            way.held.push(Held::Reply(me, number, answer));
            return;
        }
        let loss = way.loss;
        if self.rng.chance(loss) {
            self.lose(me, number);
            return;
        }
        let latency = self.latency();
        self.tell(me, latency, ServerEvent::Answered(number, answer));
    }

    /// The sender of a request learns that its connection is lost.
    pub fn lose(&mut self, me: Me, number: u64) {
        let latency = self.latency();
        self.note(Who::Server(me.server), "connection lost under request {a}", number, 0);
        let lost = BackendError::new(BackendErrorKind::Unknown, "the connection was lost");
        self.tell(me, latency, ServerEvent::Answered(number, Err(lost)));
    }

    /// A hint, which may be lost.
    pub fn hint(&mut self, me: Me, to: Incarnation, hint: Hint) {
        let lost = self.setup.lost_hints;
        if !self.net.ways[me.server].is_black_hole && !self.rng.chance(lost) {
            let latency = self.latency();
            self.tell(me, latency, ServerEvent::Hinted(to, hint));
        }
    }

    /// What was held up arrives now, or never.
    pub fn let_through(&mut self, server: usize) {
        let way = &mut self.net.ways[server];
        way.is_black_hole = false;
        for held in std::mem::take(&mut way.held) {
            if self.rng.chance(40) {
                continue;
            }
            let late = self.rng.millis(0..300);
            match held {
                Held::Request(request) => self.tell_store(late, StoreEvent::Arrives(request)),
                Held::Reply(me, number, answer) => self.tell(me, late, ServerEvent::Answered(number, answer)),
            }
        }
    }
}
