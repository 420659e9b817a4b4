//! Calls of one server that may not start yet: the four queues (spec §6.7).
//!
//! Owns: which call may start now, in which order the others do, and dropping those that find their queue full. Does not own:
//! what a call is, and starting it (the caller's), budgets (`server_budgets`), what all servers share (asked for as [`Room`]).
//!
//! The order: calls that need the same type start in the order in which they came, and so do all calls on one key, whatever
//! they need. A call whose key is throttled keeps its place and holds up that key alone.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::{BudgetType, Charge, ServerBudgets, Throttle};
use crate::clock::Timestamp;
use crate::entry_key::EntryKey;
use crate::error::CallError;
use crate::limits::{CALL_DEADLINE, Limits, QUEUE_LOOK_EVERY, QUEUED_FAIRLY_MAX, QUEUED_REQUESTS_MAX};

/// What is asked for a call.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The key that it is about, if it is about one.
    pub key: Option<EntryKey>,
    /// What it costs.
    pub charge: Charge,
    /// What it is dropped with.
    pub throttle: Throttle,
}

/// Is there room among what all servers share?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// Yes, and it is taken.
    Now,
    /// Not for this key, and not before this time has passed.
    In(Duration),
    /// No.
    Refused(CallError),
}

/// What becomes of a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered<T> {
    /// It starts now.
    Starts(T),
    /// It waits.
    Waits,
    /// It ends.
    Refused(T, CallError),
}

/// Why a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// For budget, or for a call that does.
    Budget,
    /// For a call on its key.
    Turn,
    /// For its key to be throttled no more, since then.
    Key(Timestamp),
}

#[derive(Debug)]
struct Waiting<T> {
    asked: Asked,
    waits: For,
    call: T,
}

/// What may become of a call that is looked at.
enum Look {
    Start,
    Wait(For),
    Refuse(CallError),
}

/// See the module.
#[derive(Debug)]
pub struct Queues<T> {
    /// With fixed rates for servers.
    budgets: Option<ServerBudgets>,
    most: usize,
    /// No fixed rates: one long queue.
    is_shared: bool,
    /// What ends a call that has waited for its key for as long as a call may take.
    too_late: fn() -> CallError,
    /// In the order in which they came, of all queues.
    waiting: VecDeque<Waiting<T>>,
    wake: Option<Timestamp>,
}

/// The types and keys of the calls before one: it may not pass them.
#[derive(Default)]
struct Before<'a> {
    types: u8,
    keys: HashSet<&'a EntryKey, FixedState>,
}

impl<'a> Before<'a> {
    /// Why a call waits behind them, if it does.
    fn holds_up(&self, asked: &Asked) -> Option<For> {
        held_up(asked, self.types, |key| self.keys.contains(key))
    }

    fn add<T>(&mut self, call: &'a Waiting<T>) {
        if call.waits == For::Budget {
            self.types |= types(&call.asked.charge);
        }
        self.keys.extend(&call.asked.key);
    }
}

/// Why a call waits behind those that need these types and are about these keys, if it does.
fn held_up(asked: &Asked, needed: u8, is_before: impl Fn(&EntryKey) -> bool) -> Option<For> {
    if asked.key.as_ref().is_some_and(is_before) {
        return Some(For::Turn);
    }
    (needed & types(&asked.charge) != 0).then_some(For::Budget)
}

/// One bit each.
fn types(charge: &Charge) -> u8 {
    charge.requests.iter().fold(0, |bits, request| bits | 1 << *request as u8)
}

/// Which of the four: writes or not, ordered or not.
fn queue(charge: &Charge) -> (bool, bool) {
    (charge.is_write(), charge.requests.iter().any(|request| request.is_ordered()))
}

impl<T> Queues<T> {
    /// Those of a server that starts now.
    pub fn new(limits: Limits, now: Timestamp) -> Self {
        let most = if limits.are_fixed() { QUEUED_REQUESTS_MAX } else { QUEUED_FAIRLY_MAX };
        let budgets = (limits == Limits::Roblox).then(|| ServerBudgets::new(now));
        let too_late = if limits.are_fixed() { CallError::key_throttled } else { CallError::timed_out };
        Self { budgets, most, is_shared: !limits.are_fixed(), too_late, waiting: VecDeque::new(), wake: None }
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Does a call wait that writes this key?
    pub fn waits_to_write(&self, key: &EntryKey) -> bool {
        let mut of_key = self.waiting.iter().filter(|call| call.asked.key.as_ref() == Some(key));
        of_key.any(|call| call.asked.charge.is_write())
    }

    /// A call comes. `room` is asked only if there is budget for it and nothing that it may not pass.
    pub fn enter(
        &mut self,
        now: Timestamp,
        players: u32,
        asked: Asked,
        room: impl FnOnce(&Asked) -> Room,
        call: T,
    ) -> Entered<T> {
        self.fill(now, players);
        let of_budget = self.waiting.iter().filter(|call| call.waits == For::Budget);
        let needed = of_budget.fold(0, |bits, call| bits | types(&call.asked.charge));
        let is_before = |key: &EntryKey| self.waiting.iter().any(|call| call.asked.key.as_ref() == Some(key));
        let (look, wake) = match held_up(&asked, needed, is_before) {
            Some(waits) => (Look::Wait(waits), None),
            None => look(self.budgets.as_mut(), now, &asked, None, self.too_late, room),
        };
        match look {
            Look::Start => Entered::Starts(call),
            Look::Refuse(error) => Entered::Refused(call, error),
            Look::Wait(waits) => {
                if let Err(error) = self.check_length(&asked) {
                    return Entered::Refused(call, error);
                }
                self.wake = self.wake.into_iter().chain(wake).chain([now.later(QUEUE_LOOK_EVERY)]).min();
                self.waiting.push_back(Waiting { asked, waits, call });
                Entered::Waits
            }
        }
    }

    fn check_length(&self, asked: &Asked) -> Result<(), CallError> {
        if self.is_shared {
            return if self.waiting.len() < self.most { Ok(()) } else { Err(CallError::memory_full()) };
        }
        let of_queue = self.waiting.iter().filter(|call| queue(&call.asked.charge) == queue(&asked.charge));
        if of_queue.count() < self.most {
            return Ok(());
        }
        let longest = self.budgets.as_ref().and_then(|budgets| budgets.wait(&asked.charge).1);
        Err(asked.throttle.dropped(longest.unwrap_or_else(|| asked.throttle.usual_type())))
    }

    /// The next call that waits no longer, with the error that ends it, if one does. Ask until there is none: then
    /// [`Self::wake`] tells when to ask again.
    pub fn next(
        &mut self,
        now: Timestamp,
        players: u32,
        mut room: impl FnMut(&Asked) -> Room,
    ) -> Option<(T, Option<CallError>)> {
        self.fill(now, players);
        self.wake = (!self.waiting.is_empty()).then(|| now.later(QUEUE_LOOK_EVERY));
        let Self { waiting, budgets, wake, too_late, .. } = self;
        let (mut before, mut found) = (Before::default(), None);
        for (at, call) in waiting.iter_mut().enumerate() {
            let look = match before.holds_up(&call.asked) {
                Some(waits) => Look::Wait(waits),
                None => {
                    let (look, again) =
                        look(budgets.as_mut(), now, &call.asked, Some(call.waits), *too_late, &mut room);
                    *wake = wake.iter().copied().chain(again).min();
                    look
                }
            };
            match look {
                Look::Wait(waits) => {
                    // One whose key is throttled holds up nothing else from then on, whatever else it lacks.
                    if !matches!(call.waits, For::Key(_)) {
                        call.waits = waits;
                    }
                    before.add(call);
                }
                Look::Start => found = Some((at, None)),
                Look::Refuse(error) => found = Some((at, Some(error))),
            }
            if found.is_some() {
                break;
            }
        }
        let (at, error) = found?;
        waiting.remove(at).map(|waiting| (waiting.call, error))
    }

    /// When [`Self::next`] is to be asked again; `None` while nothing waits.
    pub const fn wake(&self) -> Option<Timestamp> {
        self.wake
    }

    /// The calls that wait, in order.
    pub fn calls(&mut self) -> impl Iterator<Item = &mut T> {
        self.waiting.iter_mut().map(|waiting| &mut waiting.call)
    }

    /// Requests of a type that can be made now; as many as there are numbers for where there are no budgets.
    pub fn budget(&mut self, now: Timestamp, players: u32, budget: BudgetType) -> i32 {
        self.fill(now, players);
        self.budgets.as_ref().map_or(i32::MAX, |budgets| budgets.shown(budget))
    }

    /// Sets the rate of a type from now on; checked only, where there are no budgets.
    ///
    /// # Errors
    /// For what is out of its range (spec §6.5).
    pub fn set_rate(
        &mut self,
        now: Timestamp,
        players: u32,
        budget: BudgetType,
        rate: (i64, i64),
    ) -> Result<(), CallError> {
        self.fill(now, players);
        match &mut self.budgets {
            Some(budgets) => budgets.set_rate(budget, rate.0, rate.1)?,
            None => ServerBudgets::check_rate(budget, rate.0, rate.1)?,
        }
        self.look_at(now);
        Ok(())
    }

    /// The server closes.
    pub fn top_up(&mut self, now: Timestamp, players: u32) {
        self.fill(now, players);
        if let Some(budgets) = &mut self.budgets {
            budgets.top_up();
        }
        self.look_at(now);
    }

    fn look_at(&mut self, now: Timestamp) {
        self.wake = self.wake.map(|wake| wake.min(now));
    }

    fn fill(&mut self, now: Timestamp, players: u32) {
        if let Some(budgets) = &mut self.budgets {
            budgets.fill(now, players);
        }
    }
}

/// What becomes of a call that nothing before it holds up, and when to look at it again.
fn look(
    mut budgets: Option<&mut ServerBudgets>,
    now: Timestamp,
    asked: &Asked,
    waited: Option<For>,
    too_late: fn() -> CallError,
    room: impl FnOnce(&Asked) -> Room,
) -> (Look, Option<Timestamp>) {
    let budget_in = budgets.as_ref().map_or(Some(Duration::ZERO), |budgets| budgets.wait(&asked.charge).0);
    if budget_in != Some(Duration::ZERO) {
        return (Look::Wait(For::Budget), budget_in.map(|wait| now.later(wait)));
    }
    match room(asked) {
        Room::Now => {
            if let Some(budgets) = &mut budgets {
                budgets.take(&asked.charge);
            }
            (Look::Start, None)
        }
        Room::Refused(error) => (Look::Refuse(error), None),
        Room::In(wait) => {
            let since = if let Some(For::Key(since)) = waited { since } else { now };
            let again = now.later(wait.max(Duration::from_millis(1)));
            match again > since.later(CALL_DEADLINE) {
                true => (Look::Refuse(too_late()), None),
                false => (Look::Wait(For::Key(since)), Some(again)),
            }
        }
    }
}
