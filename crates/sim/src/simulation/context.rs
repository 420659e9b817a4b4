//! What every part of a run works with: the time, what is to happen when, chance, the log, the network, the calls.
//!
//! Owns: the queue of events. Does not own: what an event does (`world`).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use clawstore_core::clock::{Moment, Timestamp};

use super::faults::Fault;
use super::history::History;
use super::network::Network;
use super::rng::Rng;
use super::server::ServerEvent;
use super::setup::Setup;
use super::store::StoreEvent;
use super::trace::{Trace, Who};

/// A call of the last phase is answered within this time.
const PROBE_DEADLINE: Duration = Duration::from_secs(15);

/// One start of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Me {
    /// Its place.
    pub server: usize,
    /// How often it was started before.
    pub process: u32,
}

/// Something that will happen.
#[derive(Debug)]
pub enum Event {
    /// In a server, unless that process is gone.
    Server(Me, ServerEvent),
    /// In the database, unless it has crashed meanwhile (it counts its starts).
    Store(u32, StoreEvent),
    /// A fault begins or ends.
    Fault(Fault),
    /// A killed server is started again.
    Start(usize),
    /// All faults end: from here on everything must come to its end.
    Heal,
    /// Every server writes every key.
    Probe,
    /// The run is over.
    End,
}

struct Entry(Moment, u64, Event);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// See the module.
pub struct Context {
    /// Simulated time.
    pub now: Moment,
    /// Chance.
    pub rng: Rng,
    /// The log.
    pub trace: Trace,
    /// Connections.
    pub net: Network,
    /// The calls.
    pub history: History,
    /// What does not change.
    pub setup: Setup,
    /// Faults are over.
    pub is_healed: bool,
    /// Every server writes every key: they wait for each other, one beat each where there are no hints.
    pub is_probing: bool,
    /// How often the database has started: later events of an earlier start are void.
    pub store_starts: u32,
    /// How often a server has found that what was acknowledged is gone.
    pub losses: usize,
    /// What must never happen, where it did.
    pub broken: Vec<String>,
    queue: BinaryHeap<Reverse<Entry>>,
    numbers: u64,
}

impl Context {
    /// Nothing has happened.
    pub fn new(seed: u64, setup: Setup, rng: Rng) -> Self {
        let (trace, servers) = (Trace::new(setup.options.keeps_lines), setup.options.servers);
        let mut context = Self {
            now: Moment::default(),
            rng,
            trace,
            net: Network::new(servers),
            history: History::default(),
            setup,
            is_healed: false,
            is_probing: false,
            store_starts: 0,
            losses: 0,
            broken: Vec::new(),
            queue: BinaryHeap::new(),
            numbers: 0,
        };
        context.note(Who::World, "seed {a}", seed, 0);
        context
    }

    /// A line of the log.
    pub fn note(&mut self, who: Who, what: &'static str, a: u64, b: u64) {
        self.trace.note(self.now, who, what, a, b);
    }

    /// A rule is broken here and now.
    pub fn violated(&mut self, text: String) {
        self.note(Who::World, "BROKEN: see the report, entry {a}", self.broken.len() as u64, 0);
        let seconds = self.now.since(Moment::default()).as_secs_f64();
        self.broken.push(format!("at {seconds:.6}: {text}"));
    }

    /// When a call that is made now must have ended.
    pub fn deadline(&self) -> Moment {
        self.now + self.patience()
    }

    /// For how long a call is waited for.
    pub fn patience(&self) -> Duration {
        if self.is_probing { PROBE_DEADLINE } else { self.setup.call_deadline }
    }

    /// A number that nothing else has.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Wall time of a server. The clocks of servers may differ by hours; no promise may depend on them.
    pub fn wall(&self, server: usize) -> Timestamp {
        let skew = self.setup.skew * u32::try_from(server + 1).unwrap_or(1);
        Timestamp::from_unix_ms(1_700_000_000_000).later(skew + self.now.since(Moment::default()))
    }

    /// Something happens after a while.
    pub fn after(&mut self, wait: Duration, event: Event) {
        let number = self.number();
        self.queue.push(Reverse(Entry(self.now + wait, number, event)));
    }

    /// Something happens in a server after a while.
    pub fn tell(&mut self, me: Me, wait: Duration, event: ServerEvent) {
        self.after(wait, Event::Server(me, event));
    }

    /// Something happens in the database after a while, if it does not crash before.
    pub fn tell_store(&mut self, wait: Duration, event: StoreEvent) {
        self.after(wait, Event::Store(self.store_starts, event));
    }

    /// Goes on to the next event.
    pub fn next_event(&mut self) -> Option<Event> {
        let Reverse(Entry(at, _, event)) = self.queue.pop()?;
        self.now = at;
        Some(event)
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}
