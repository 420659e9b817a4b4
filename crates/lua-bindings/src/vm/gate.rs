//! The gate that every call of `DataStoreService` passes before it touches the store (spec §6).
//!
//! Owns: starting a call now, or keeping it until there is budget and room for it; starting those that wait, in order. Does
//! not own: which may start (`core::budget::Queues`), room among all servers (`actors`), the calls themselves (`vm`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clawstore_actors::Server;
use clawstore_core::budget::{Asked, BudgetType, Charge, Entered, Queues, Room, Throttle};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::key_machine::Writer;
use clawstore_core::limits::Limits;
use clawstore_core::ops::{Look, Request, Update};
use clawstore_core::{CallError, EntryKey};
use mlua::{Function, Lua};

use super::{Ended, Started, Vm};
use crate::shared::{State, borrow};

/// A call that has passed its checks, with all that it needs.
#[derive(Debug)]
pub(super) enum Call {
    Read { key: EntryKey, use_cache: bool },
    Look(Look),
    Write { key: EntryKey, request: Request },
    Update { key: EntryKey, transform: Function },
    RemoveVersion { key: EntryKey, id: VersionId },
}

/// A call that waits.
#[derive(Debug)]
struct Waiting {
    writer: Writer,
    call: Call,
    /// In a simulated run: how long it takes from its start.
    latency: Duration,
}

/// Why a call was not handed to the store.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// It has ended.
    Ended(Ended),
    /// There is no room for an update whose transform has run: now it is known what it costs.
    NoRoom(Box<Call>, Charge),
}

impl From<Ended> for NotBegun {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Limits,
    /// Nothing may be passed without a look at it.
    has_waiting: AtomicBool,
    queues: State<Queues<Waiting>>,
}

impl Call {
    fn key(&self) -> Option<&EntryKey> {
        match self {
            Self::Read { key, .. }
            | Self::Write { key, .. }
            | Self::Update { key, .. }
            | Self::RemoveVersion { key, .. } => Some(key),
            Self::Look(look) => look.key(),
        }
    }

    /// What it costs, and what it is dropped with.
    fn cost(&self) -> (Charge, Throttle) {
        let of =
            |key: &EntryKey, request: &Request| (Charge::of(key.store.kind, request), Throttle::of_request(request));
        match self {
            Self::Read { key, .. } => of(key, &Request::Get),
            Self::Look(look) => (look.charge(), Throttle::of_look(look)),
            Self::Write { key, request } => of(key, request),
            Self::Update { key, .. } => of(key, &Request::Update(Update::NOT_RUN)),
            Self::RemoveVersion { key, id } => of(key, &Request::RemoveVersion(*id)),
        }
    }

    fn asked(&self) -> Asked {
        let (charge, throttle) = self.cost();
        Asked { key: self.key().cloned(), charge, throttle }
    }

    /// What the line that Roblox prints names: a key, or the store of a list.
    fn named(&self) -> String {
        match self {
            Self::Look(Look::Sorted(query) | Look::Scores(query, _)) => query.store.name.to_string(),
            Self::Look(Look::Keys(list)) => list.store.name.to_string(),
            Self::Look(Look::Batch(keys)) => keys.iter().map(|key| &*key.key).collect::<Vec<_>>().join(", "),
            call => call.key().map_or_else(String::new, |key| key.key.to_string()),
        }
    }
}

impl Gate {
    pub(super) fn new(server: &Server) -> Self {
        let limits = server.limits();
        let queues = Queues::new(limits, server.steady(), server.pending_bytes_max(), server.call_deadline());
        let queues = State::new(queues);
        Self { limits, has_waiting: AtomicBool::new(false), queues }
    }

    /// Does a call wait that writes this key? Nothing that this VM asks about the key may be answered before it.
    pub(crate) fn waits_to_write(&self, key: &EntryKey) -> bool {
        self.has_waiting.load(Ordering::Relaxed) && borrow(&self.queues).waits_to_write(key)
    }

    /// Does a read cost something although its answer is at hand?
    pub(super) fn charges_read_at_hand(&self, use_cache: bool) -> bool {
        self.limits.are_fixed() && !use_cache
    }

    /// When it is to be looked at again.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        if !self.has_waiting.load(Ordering::Relaxed) {
            return None;
        }
        borrow(&self.queues).wake()
    }

    /// What the newest call that waits is about.
    fn newest(&self) -> String {
        let mut queues = borrow(&self.queues);
        let newest = queues.calls().next_back();
        newest.map_or_else(Default::default, |Waiting { call, .. }| call.named())
    }

    /// A call that waits gets its latency when it starts; `false` if it does not wait.
    pub(super) fn delay(&self, op: u64, latency: Duration) -> bool {
        if !self.has_waiting.load(Ordering::Relaxed) {
            return false;
        }
        let mut queues = borrow(&self.queues);
        let waiting = queues.calls().rfind(|waiting| waiting.writer.op == op);
        waiting.map(|waiting| waiting.latency = latency).is_some()
    }
}

impl Vm {
    /// Starts a call, or keeps it until it may start.
    pub(super) fn pass(&self, lua: &Lua, call: Call) -> Started {
        let writer = self.server.next_writer();
        let gate = &self.gate;
        let starts_now = match gate.limits {
            Limits::Off => true,
            _ if gate.has_waiting.load(Ordering::Relaxed) => false,
            Limits::Fair => self.room_for(&call) == Room::Now,
            Limits::Roblox | Limits::RobloxClassic => false,
        };
        if starts_now {
            return self.start_now(lua, writer, call);
        }
        let asked = call.asked();
        let room = |asked: &Asked| self.server.room(asked.key.as_ref(), &asked.charge);
        self.enter(lua, writer, call, asked, room)
    }

    fn enter(&self, lua: &Lua, writer: Writer, call: Call, asked: Asked, room: impl FnOnce(&Asked) -> Room) -> Started {
        let gate = &self.gate;
        let (now, players) = (self.clock(), self.players());
        let waiting = Waiting { writer, call, latency: Duration::ZERO };
        let entered = borrow(&gate.queues).enter(now, players, asked, room, waiting);
        match entered {
            Entered::Starts(Waiting { writer, call, .. }) => self.start_now(lua, writer, call),
            Entered::Refused(_, error) => Started::Ended(Ended::Refused(error)),
            Entered::Waits => {
                // Who waits for a share has not asked for too much.
                if gate.limits.are_fixed() {
                    let named = gate.newest();
                    self.log(&format!(
                        "DataStore request was added to queue. If request queue fills, further requests will be \
                         dropped. Try sending fewer requests.Key = {named}"
                    ));
                }
                gate.has_waiting.store(true, Ordering::Relaxed);
                self.open(lua, writer.op, None);
                self.note_next_due();
                Started::Ticket(writer.op)
            }
        }
    }

    fn room_for(&self, call: &Call) -> Room {
        self.server.room(call.key(), &call.cost().0)
    }

    /// The cost of an update whose transform has run, if it waits for room for that.
    pub(super) fn no_room_for(&self, key: &EntryKey, update: &Request) -> Option<Charge> {
        let charge = (self.gate.limits == Limits::Fair).then(|| Charge::of(key.store.kind, update))?;
        (self.server.room(Some(key), &charge) != Room::Now).then_some(charge)
    }

    fn start_now(&self, lua: &Lua, writer: Writer, call: Call) -> Started {
        match self.begin(lua, writer, call) {
            Err(NotBegun::Ended(ended)) => Started::Ended(ended),
            Err(NotBegun::NoRoom(call, charge)) => {
                let asked = Asked { charge, ..call.asked() };
                self.enter(lua, writer, *call, asked, |_| Room::In(Duration::ZERO))
            }
            Ok(writes) => {
                self.open(lua, writer.op, writes);
                Started::Ticket(writer.op)
            }
        }
    }

    /// Starts those that wait no longer, in order.
    pub(super) fn start_waiting(&self, lua: &Lua) {
        let gate = &self.gate;
        if !gate.has_waiting.load(Ordering::Relaxed) || self.is_settling.load(Ordering::Relaxed) {
            return;
        }
        loop {
            let (now, players) = (self.clock(), self.players());
            let room = |asked: &Asked| self.server.room(asked.key.as_ref(), &asked.charge);
            let next = borrow(&gate.queues).next(now, players, room);
            let Some((Waiting { writer, call, latency }, refused)) = next else { break };
            if !latency.is_zero() {
                self.hold_back(writer.op, latency);
            }
            let refused = refused.map(|error| Err(NotBegun::Ended(Ended::Refused(error))));
            match refused.unwrap_or_else(|| self.begin(lua, writer, call)) {
                Err(NotBegun::NoRoom(call, charge)) => {
                    let asked = Asked { charge, ..call.asked() };
                    borrow(&gate.queues).put_back(asked, Waiting { writer, call: *call, latency });
                    continue;
                }
                Err(NotBegun::Ended(ended)) => borrow(&self.calls).end(writer.op, ended),
                Ok(writes) => borrow(&self.calls).started(writer.op, writes),
            }
            self.settle(lua, writer.op);
        }
        gate.has_waiting.store(!borrow(&gate.queues).is_empty(), Ordering::Relaxed);
        self.note_next_due();
    }

    /// The VM goes: what it has accepted to write is written, whatever room there is, and nobody waits for the rest.
    /// Transforms cannot run any more.
    pub(super) fn start_writes_at_end(&self) {
        for Waiting { writer, call, .. } in borrow(&self.gate.queues).calls() {
            match call {
                Call::Write { key, request } => self.server.write_at_end(key, *writer, request.clone()),
                Call::RemoveVersion { key, id } => {
                    self.server.write_at_end(key, *writer, Request::RemoveVersion(*id));
                }
                Call::Read { .. } | Call::Look(_) | Call::Update { .. } => {}
            }
        }
    }

    /// Calls that wait for what never comes, unless somebody changes rates or joins.
    pub(super) fn stuck_calls(&self) -> usize {
        if !self.gate.has_waiting.load(Ordering::Relaxed) {
            return 0;
        }
        let (now, players) = (self.clock(), self.players());
        borrow(&self.gate.queues).stuck(now, players)
    }

    fn players(&self) -> u32 {
        self.server.identity().players.load(Ordering::Relaxed)
    }

    /// Requests of a type that this server can make now.
    pub(crate) fn request_budget(&self, budget: BudgetType) -> i32 {
        let (now, players) = (self.clock(), self.players());
        borrow(&self.gate.queues).budget(now, players, budget)
    }

    /// Sets the rate of a type for this server: a base, and more for each player.
    ///
    /// # Errors
    /// For what is out of its range (spec §6.5).
    pub(crate) fn set_rate_limit(&self, budget: BudgetType, rate: (i64, i64)) -> Result<(), CallError> {
        let (now, players) = (self.clock(), self.players());
        borrow(&self.gate.queues).set_rate(now, players, budget, rate)?;
        self.note_next_due();
        Ok(())
    }

    /// The server closes: it gets budget to save with (spec §6.4).
    pub(crate) fn top_up_budgets(&self) {
        let (now, players) = (self.clock(), self.players());
        borrow(&self.gate.queues).top_up(now, players);
        self.note_next_due();
    }
}
