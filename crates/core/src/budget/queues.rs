//! Calls of one server that may not start yet: the four queues (spec §6.7).
//!
//! Owns: which call may start now, in which order the others do, and dropping those that find their queue full. Does not own:
//! what a call is, and starting it (the caller's), budgets (`server_budgets`), what all servers share (asked for as [`Room`]).
//!
//! The order: a call does not pass one that waits for a type of budget that both need, and all calls on one key start in the
//! order in which they came, whatever they need. A call whose key is throttled keeps its place and holds up that key alone.

use std::collections::VecDeque;
use std::time::Duration;

use super::lines::Lines;
use super::{BudgetType, Charge, RequestType, ServerBudgets, Throttle};
use crate::clock::Timestamp;
use crate::entry_key::EntryKey;
use crate::error::CallError;
use crate::limits::{Limits, QUEUE_LOOK_EVERY, QUEUED_FAIRLY_MAX, QUEUED_REQUESTS_MAX};

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
    /// For budget of these types, a bit each, or for a call that waits for it. What it has lacked once it waits for until it
    /// starts, so that calls behind it do not take that away again and again.
    Budget(u8),
    /// For a call on its key.
    Turn,
    /// For its key to be throttled no more.
    Key,
}

#[derive(Debug)]
struct Waiting<T> {
    asked: Asked,
    waits: For,
    /// Grows from call to call.
    number: u64,
    /// It does not wait for its key for longer.
    until: Timestamp,
    call: T,
}

impl<T> Waiting<T> {
    /// The types of budget that nobody behind it may take.
    const fn needed(&self) -> u8 {
        match self.waits {
            For::Budget(types) => types,
            For::Turn | For::Key => 0,
        }
    }

    fn keeps_waiting(&mut self, waits: For) {
        self.waits = match (self.waits, waits) {
            // One whose key is throttled holds up nothing else from then on, whatever else it lacks.
            (For::Key, _) => For::Key,
            (For::Budget(before), For::Budget(now)) => For::Budget(before | now),
            (_, now) => now,
        }
    }
}

/// What may become of a call that is looked at.
enum Look {
    Start,
    /// With the time to look at it again, if that is known.
    Wait(For, Option<Timestamp>),
    Refuse(CallError),
}

/// A look at all calls that wait, one after the other.
#[derive(Debug, Clone, Copy, Default)]
struct Pass {
    /// The place of the next one.
    at: usize,
    /// The types of budget that those before it wait for.
    needed: u8,
    /// Number and patience of the one that was taken out last.
    taken: Option<(u64, Timestamp)>,
}

/// See the module.
#[derive(Debug)]
pub struct Queues<T> {
    /// With fixed rates for servers.
    budgets: Option<ServerBudgets>,
    most: usize,
    most_bytes: usize,
    /// No fixed rates: one long queue.
    is_shared: bool,
    /// For how long a call may wait for its key.
    deadline: Duration,
    /// What ends a call that would have to wait for its key for longer.
    too_late: fn() -> CallError,
    /// In the order in which they came, of all queues.
    waiting: VecDeque<Waiting<T>>,
    lines: Lines,
    /// What those that wait hold in memory.
    bytes: usize,
    /// Of the next call that waits.
    number: u64,
    pass: Option<Pass>,
    wake: Option<Timestamp>,
}

/// Why a call waits behind those that need these types and, perhaps, are about its key; if it does.
fn held_up(asked: &Asked, needed: u8, is_before: impl Fn(&EntryKey) -> bool) -> Option<For> {
    if asked.key.as_ref().is_some_and(is_before) {
        return Some(For::Turn);
    }
    let types = needed & types(asked.charge.requests);
    (types != 0).then_some(For::Budget(types))
}

/// One bit each.
fn types<'a>(requests: impl IntoIterator<Item = &'a RequestType>) -> u8 {
    requests.into_iter().fold(0, |bits, request| bits | 1 << *request as u8)
}

/// Which of the four: writes or not, ordered or not.
fn queue(charge: &Charge) -> (bool, bool) {
    (charge.is_write(), charge.requests.iter().any(|request| request.is_ordered()))
}

impl<T> Queues<T> {
    /// Those of a server that starts now. Calls that wait may hold so many bytes, and wait for their key for so long after
    /// they came.
    pub fn new(limits: Limits, now: Timestamp, most_bytes: usize, deadline: Duration) -> Self {
        let is_shared = !limits.are_fixed();
        Self {
            budgets: (limits == Limits::Roblox).then(|| ServerBudgets::new(now)),
            most: if is_shared { QUEUED_FAIRLY_MAX } else { QUEUED_REQUESTS_MAX },
            most_bytes,
            is_shared,
            deadline,
            too_late: if is_shared { CallError::timed_out } else { CallError::key_throttled },
            waiting: VecDeque::new(),
            lines: Lines::default(),
            bytes: 0,
            number: 0,
            pass: None,
            wake: None,
        }
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Does a call wait that writes this key?
    pub fn waits_to_write(&self, key: &EntryKey) -> bool {
        self.lines.has_write(key)
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
        let until = now.later(self.deadline);
        let look = match held_up(&asked, self.needed(), |key| self.lines.has(key)) {
            Some(waits) => Look::Wait(waits, None),
            None => look(self.budgets.as_mut(), now, &asked, until, self.too_late, room),
        };
        match look {
            Look::Start => Entered::Starts(call),
            Look::Refuse(error) => Entered::Refused(call, error),
            Look::Wait(waits, again) => {
                if let Err(error) = self.check_length(&asked) {
                    return Entered::Refused(call, error);
                }
                self.wake = self.wake.into_iter().chain(again).chain([now.later(QUEUE_LOOK_EVERY)]).min();
                self.add(asked, waits, until, call);
                Entered::Waits
            }
        }
    }

    /// The types of budget that calls wait for: few calls, where there are budgets.
    fn needed(&self) -> u8 {
        let budgets = self.budgets.iter();
        budgets.flat_map(|_| &self.waiting).fold(0, |types, call| types | call.needed())
    }

    fn check_length(&self, asked: &Asked) -> Result<(), CallError> {
        let of_queue = |call: &&Waiting<T>| queue(&call.asked.charge) == queue(&asked.charge);
        let length = match self.is_shared {
            true => self.waiting.len(),
            false => self.waiting.iter().filter(of_queue).count(),
        };
        if length >= self.most && !self.is_shared {
            let longest = self.budgets.as_ref().and_then(|budgets| budgets.wait(&asked.charge).1);
            return Err(asked.throttle.dropped(longest.unwrap_or_else(|| asked.throttle.usual_type())));
        }
        let fits = length < self.most && self.bytes.saturating_add(asked.charge.bytes) <= self.most_bytes;
        fits.then_some(()).ok_or_else(CallError::memory_full)
    }

    fn add(&mut self, asked: Asked, waits: For, until: Timestamp, call: T) {
        self.number += 1;
        if let Some(key) = &asked.key {
            self.lines.join(key, self.number, asked.charge.is_write());
        }
        self.bytes += asked.charge.bytes;
        self.waiting.push_back(Waiting { asked, waits, number: self.number, until, call });
    }

    /// The next call that waits no longer, with the error that ends it, if one does. Ask until there is none: then all that
    /// wait have been looked at once, and [`Self::wake`] tells when to ask again.
    pub fn next(
        &mut self,
        now: Timestamp,
        players: u32,
        mut room: impl FnMut(&Asked) -> Room,
    ) -> Option<(T, Option<CallError>)> {
        self.fill(now, players);
        if self.pass.is_none() {
            self.wake = Some(now.later(QUEUE_LOOK_EVERY));
        }
        let mut pass = self.pass.take().unwrap_or_default();
        let Self { waiting, lines, budgets, wake, too_late, .. } = self;
        let (mut ends, mut error) = (false, None);
        while let Some(call) = waiting.get_mut(pass.at) {
            let look = match held_up(&call.asked, pass.needed, |key| !lines.is_first(key, call.number)) {
                Some(waits) => Look::Wait(waits, None),
                None => look(budgets.as_mut(), now, &call.asked, call.until, *too_late, &mut room),
            };
            match look {
                Look::Wait(waits, again) => {
                    *wake = wake.iter().copied().chain(again).min();
                    call.keeps_waiting(waits);
                    pass = Pass { at: pass.at + 1, needed: pass.needed | call.needed(), taken: None };
                    continue;
                }
                Look::Start => {}
                Look::Refuse(refused) => error = Some(refused),
            }
            ends = true;
            break;
        }
        if !ends {
            self.wake = self.wake.filter(|_| !self.waiting.is_empty());
            return None;
        }
        let Waiting { asked: Asked { key, charge, .. }, number, until, call, .. } = self.waiting.remove(pass.at)?;
        self.pass = Some(Pass { taken: Some((number, until)), ..pass });
        if let Some(key) = key {
            self.lines.first_leaves(key, charge.is_write());
        }
        self.bytes -= charge.bytes;
        Some((call, error))
    }

    /// Puts the call that [`Self::next`] gave last into its place again: it has turned out to cost this, and there is no room
    /// for that now.
    pub fn put_back(&mut self, asked: Asked, call: T) {
        let taken = self.pass.as_mut().and_then(|pass| pass.taken.take().map(|taken| (pass.at, taken)));
        let Some((at, (number, until))) = taken else {
            debug_assert!(false, "nothing was taken out");
            return;
        };
        if let Some(key) = &asked.key {
            self.lines.comes_back(key, number, asked.charge.is_write());
        }
        self.bytes += asked.charge.bytes;
        self.waiting.insert(at, Waiting { asked, waits: For::Key, number, until, call });
    }

    /// When [`Self::next`] is to be asked again; `None` while nothing waits.
    pub const fn wake(&self) -> Option<Timestamp> {
        self.wake
    }

    /// How many calls wait that never start, as rates and players are: all, or none if one of them may start. Each waits for
    /// budget of which none comes, or for a call on its key that does.
    pub fn stuck(&mut self, now: Timestamp, players: u32) -> usize {
        self.fill(now, players);
        let Some(budgets) = &self.budgets else { return 0 };
        let is_stuck = |call: &Waiting<T>| {
            let is_behind = call.asked.key.as_ref().is_some_and(|key| !self.lines.is_first(key, call.number));
            is_behind || budgets.wait(&call.asked.charge).0.is_none()
        };
        if self.waiting.iter().all(is_stuck) { self.waiting.len() } else { 0 }
    }

    /// The calls that wait, in order.
    pub fn calls(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
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

/// What becomes of a call that nothing before it holds up. It waits for its key until that time at most.
fn look(
    budgets: Option<&mut ServerBudgets>,
    now: Timestamp,
    asked: &Asked,
    until: Timestamp,
    too_late: fn() -> CallError,
    room: impl FnOnce(&Asked) -> Room,
) -> Look {
    if let Some(budgets) = &budgets {
        let budget_in = budgets.wait(&asked.charge).0;
        if budget_in != Some(Duration::ZERO) {
            return Look::Wait(
                For::Budget(types(budgets.lacking(&asked.charge))),
                budget_in.map(|wait| now.later(wait)),
            );
        }
    }
    match room(asked) {
        Room::Now => {
            if let Some(budgets) = budgets {
                budgets.take(&asked.charge);
            }
            Look::Start
        }
        Room::Refused(error) => Look::Refuse(error),
        Room::In(wait) => {
            let again = now.later(wait.max(Duration::from_millis(1)));
            if again > until { Look::Refuse(too_late()) } else { Look::Wait(For::Key, Some(again)) }
        }
    }
}
