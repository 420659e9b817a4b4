//! The calls of a round, and the lines in which they are told to the harness.
//!
//! Owns: what a call is, its number, its line before it is made and its line after it is answered; which call a caller
//! makes next. Does not own: making it (`victim`, `scripts`), the calls of several servers (`mix`), judging them (`check`).
//!
//! A line is one `write` of less than a pipe takes in one piece, so lines of many threads never mix, and a killed victim
//! leaves whole lines only. It ends with the time, by a clock that all processes share: so journals can be merged.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::time::{ClockId, clock_gettime};

use super::mix::Mix;
use crate::random::Random;

/// Callers that are scripts: VMs of the same game, each with this many coroutines.
pub(crate) const VMS: u64 = 2;
/// Coroutines of one VM.
pub(crate) const COROUTINES: u64 = 32;
/// Callers that are Rust tasks.
pub(crate) const TASKS: u64 = 64;
/// Calls that every kill of a busy victim must meet in flight.
pub(crate) const IN_FLIGHT_MIN: usize = 64;
/// Calls in flight from which a victim counts as busy. All callers call again as soon as they are answered, so that it
/// stays near their number; the distance to [`IN_FLIGHT_MIN`] is for those that are answered just before the kill.
pub(crate) const BUSY: usize = 112;
/// Calls that were answered before a victim counts as busy: until a dead predecessor's keys are had, nobody's are.
pub(crate) const WARM: u64 = 256;

const HOT_KEYS: u64 = 2;
const COLD_KEYS: u64 = 1_000;
const COLD_LISTS: u64 = 40;
/// Appends to one list in one round: a list is read and written as a whole, so it must stay short.
const APPENDS_MAX: u32 = 150;
/// Rounds after which new lists are begun. The old ones stay and are checked on.
const ROUNDS_PER_LIST: u64 = 5;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `IncrementAsync` by one.
    Increment,
    /// `UpdateAsync` that adds one, on the same counters.
    Bump,
    /// `UpdateAsync` that appends the call's number to a list.
    Append,
    /// `SetAsync` to the call's number.
    Set,
    /// `GetAsync` of a counter.
    Get,
    /// `GetAsync` of a plain value, with `UseCache = false`.
    Read,
    /// The same of a list: its last number.
    Last,
}

impl Kind {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Increment, "increment"),
        (Self::Bump, "bump"),
        (Self::Append, "append"),
        (Self::Set, "set"),
        (Self::Get, "get"),
        (Self::Read, "read"),
        (Self::Last, "last"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// Does it change what is stored?
    pub(crate) fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::Read | Self::Last)
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Unique over all rounds; exact as a Luau number.
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) key: String,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done. Counters, and reads, tell their value; 0 for none.
    Ok(i64),
    /// Surely not applied.
    Fail(String),
    /// May have been applied.
    Unknown,
}

/// Who made the call of this number: its round, and its number there.
pub(crate) fn caller_of(id: u64) -> u64 {
    id >> 28
}

/// The process that made it: those that run beside each other have rounds of their own.
pub(crate) fn process_of(id: u64) -> u64 {
    id >> 40
}

/// Is this caller a script? Its calls on a key keep their order.
pub(crate) fn is_script(caller: u64) -> bool {
    caller & 0xfff < VMS
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn stdout() -> io::Result<Self> {
        Ok(Self(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }

    /// To be told before the call is made.
    pub(crate) fn called(&self, call: &Call) {
        self.line(&format!("C {} {} {} @{}\n", call.id, call.kind.name(), call.key, now_ns()));
    }

    /// To be told after the call has returned.
    pub(crate) fn answered(&self, id: u64, answer: &Answer) {
        match answer {
            Answer::Ok(value) => self.line(&format!("A {id} ok {value} @{}\n", now_ns())),
            Answer::Fail(text) => self.line(&format!("A {id} fail {} @{}\n", text.replace('\n', " "), now_ns())),
            Answer::Unknown => self.line(&format!("A {id} unknown @{}\n", now_ns())),
        }
    }

    /// Without the harness nobody would kill this process: it ends with the pipe.
    pub(crate) fn line(&self, line: &str) {
        if (&self.0).write_all(line.as_bytes()).is_err() {
            std::process::exit(1);
        }
    }
}

/// Nanoseconds since the machine started, by the clock that all processes share.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap_or_default()
}

/// What all callers of a round share.
#[derive(Debug)]
pub(crate) struct Load {
    /// Number of the process and its round: no two that run beside each other have the same.
    number: u64,
    /// In the names of lists: new ones are begun with each.
    epoch: u64,
    seed: u64,
    /// What is called, if it is not what a single victim calls.
    mix: Option<Mix>,
    appends: Vec<AtomicU32>,
    paused: Arc<AtomicBool>,
}

impl Load {
    /// The load of one victim. No call is made any more once `paused` is set.
    pub(crate) fn new(seed: u64, round: u64, paused: &Arc<AtomicBool>) -> Arc<Self> {
        Self::of(seed, round, round / ROUNDS_PER_LIST, None, paused)
    }

    /// The load of one of several servers, or of a victim for want of a mix.
    pub(crate) fn of(seed: u64, number: u64, epoch: u64, mix: Option<Mix>, paused: &Arc<AtomicBool>) -> Arc<Self> {
        let lists = mix.map_or(HOT_KEYS + COLD_LISTS, |mix| mix.keys());
        let appends = (0..lists).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self { number, epoch, seed, mix, appends, paused: Arc::clone(paused) })
    }

    fn may_append(&self, list: u64) -> bool {
        let count = usize::try_from(list).ok().and_then(|list| self.appends.get(list));
        let max = self.mix.map_or(APPENDS_MAX, |mix| mix.appends_max());
        count.is_some_and(|count| count.fetch_add(1, Ordering::Relaxed) < max)
    }
}

/// One caller: chooses its calls.
#[derive(Debug)]
pub(crate) struct Caller {
    load: Arc<Load>,
    random: Random,
    next_id: u64,
}

impl Caller {
    pub(crate) fn new(load: &Arc<Load>, number: u64) -> Self {
        let random = Random::new(load.seed, (load.number << 12) | number);
        Self { load: Arc::clone(load), random, next_id: (load.number << 40) | (number << 28) }
    }

    /// The next call; none once the load is paused.
    pub(crate) fn next(&mut self) -> Option<Call> {
        (!self.load.paused.load(Ordering::Acquire)).then(|| self.draw())
    }

    /// A write of the key of this number, by whichever call its kind takes.
    pub(crate) fn write_of(&mut self, key: u64) -> Call {
        self.next_id += 1;
        let (kind, key) = Mix::write_of(key, self.load.epoch);
        Call { id: self.next_id, kind, key }
    }

    fn draw(&mut self) -> Call {
        self.next_id += 1;
        let (kind, key) = match self.load.mix {
            None => self.draw_alone(),
            Some(mix) => mix.draw(&mut self.random, self.load.epoch, |list| self.load.may_append(list)),
        };
        Call { id: self.next_id, kind, key }
    }

    fn draw_alone(&mut self) -> (Kind, String) {
        let kind = match self.random.below(20) {
            0..=6 => Kind::Increment,
            7..=10 => Kind::Bump,
            11..=13 => Kind::Append,
            14..=17 => Kind::Set,
            _ => Kind::Get,
        };
        let hot = self.random.below(2) == 0;
        let lists = if kind == Kind::Append { COLD_LISTS } else { COLD_KEYS };
        let key = if hot { self.random.below(HOT_KEYS) } else { HOT_KEYS + self.random.below(lists) };
        match kind {
            Kind::Append if self.load.may_append(key) => (kind, format!("list_{}_{key}", self.load.epoch)),
            Kind::Append | Kind::Set | Kind::Read | Kind::Last => (Kind::Set, format!("set_{key}")),
            Kind::Increment | Kind::Bump | Kind::Get => (kind, format!("counter_{key}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_exact_and_tell_their_caller() {
        let load = Load::new(1, 199, &Arc::default());
        let (mut script, mut task) = (Caller::new(&load, 1), Caller::new(&load, VMS + TASKS - 1));
        let (a, b, c) = (script.draw().id, script.draw().id, task.draw().id);
        assert!(a < b && b != c && c < 1 << 53);
        assert_eq!(caller_of(a), caller_of(b));
        assert!(caller_of(b) != caller_of(c) && is_script(caller_of(b)) && !is_script(caller_of(c)));
        let other = Caller::new(&Load::new(1, 200, &Arc::default()), 1).draw().id;
        assert_ne!(caller_of(other), caller_of(a), "another round, another caller");
    }

    #[test]
    fn a_paused_load_makes_no_calls() {
        let paused = Arc::default();
        let mut caller = Caller::new(&Load::new(1, 0, &paused), 0);
        assert!(caller.next().is_some());
        paused.store(true, Ordering::Release);
        assert_eq!(caller.next(), None);
    }

    #[test]
    fn lists_stay_short() {
        let load = Load::new(1, 0, &Arc::default());
        let mut caller = Caller::new(&load, 0);
        let calls: Vec<Call> = (0..100_000).map(|_| caller.draw()).collect();
        let appends = |key: &str| calls.iter().filter(|call| call.kind == Kind::Append && call.key == key).count();
        assert_eq!(appends("list_0_0"), APPENDS_MAX as usize);
    }
}
