//! What the calls do: lists, counters, banks, registers.
//!
//! Owns: the kinds of keys, the values that calls write and how a stored value is read back. Does not own: when calls are
//! made (`server::vm`), what is wrong with a history (`checks`).
//!
//! Every write can be told from every other: a list holds the numbers of the calls that appended, a register that of the
//! last one that set it; a counter and a bank count.

use clawstore_core::key_machine::Head;
use clawstore_core::ops::{Increment, Request, Set};
use clawstore_core::vm_queue::{Transform, TransformFailed};
use clawstore_core::{Attributes, Entry, Value};

use super::rng::Rng;

/// What a key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `UpdateAsync` appends the number of the call.
    List,
    /// `IncrementAsync` adds one.
    Counter,
    /// `UpdateAsync` moves an amount between accounts, and counts.
    Bank,
    /// `SetAsync` writes the number of the call.
    Register,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::List, Self::Counter, Self::Bank, Self::Register];
}

/// What a call does to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// `GetAsync`; `true`: with the cache.
    Read(bool),
    /// A write that is plain.
    Plain,
    /// `UpdateAsync`.
    Update(Job),
}

/// A transform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Appends the number of the call.
    Append,
    /// Moves an amount between two accounts.
    Transfer { from: usize, to: usize, amount: i64 },
    /// Returns nil.
    Cancel,
    /// Raises.
    Fail,
}

/// Accounts of a bank.
pub const ACCOUNTS: usize = 4;
/// What each begins with.
pub const BALANCE: i64 = 100;

impl What {
    /// One call on a key of this kind.
    pub fn draw(kind: Kind, rng: &mut Rng) -> Self {
        if rng.chance(22) {
            return Self::Read(rng.chance(60));
        }
        match kind {
            Kind::Counter | Kind::Register => Self::Plain,
            Kind::List | Kind::Bank if rng.chance(3) => {
                Self::Update(if rng.chance(50) { Job::Cancel } else { Job::Fail })
            }
            Kind::List => Self::Update(Job::Append),
            Kind::Bank => {
                let (from, to) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS));
                Self::Update(Job::Transfer { from, to, amount: rng.number(1..20).cast_signed() })
            }
        }
    }

    /// A write that a key of this kind takes.
    pub fn write(kind: Kind) -> Self {
        match kind {
            Kind::Counter | Kind::Register => Self::Plain,
            Kind::List => Self::Update(Job::Append),
            Kind::Bank => Self::Update(Job::Transfer { from: 0, to: 1, amount: 1 }),
        }
    }

    /// A line of the log.
    pub const fn note(self) -> &'static str {
        match self {
            Self::Read(true) => "call {a} reads key {b}, with the cache",
            Self::Read(false) => "call {a} reads key {b}",
            Self::Plain => "call {a} writes key {b}",
            Self::Update(Job::Cancel) => "call {a} updates key {b}, with nil",
            Self::Update(Job::Fail) => "call {a} updates key {b}, and will raise",
            Self::Update(_) => "call {a} updates key {b}",
        }
    }

    /// Does it write, if it succeeds?
    pub fn is_write(self) -> bool {
        matches!(self, Self::Plain | Self::Update(Job::Append | Job::Transfer { .. }))
    }
}

/// The request of a plain write.
pub fn plain(kind: Kind, call: usize) -> Request {
    match kind {
        Kind::Counter => Request::Increment(Increment { delta: 1, attributes: Attributes::default() }),
        Kind::List | Kind::Bank | Kind::Register => Request::Set(set(&[integer(call)])),
    }
}

/// A transform with the number of its call in the history.
pub type Handle = (usize, Job);

/// Runs transforms; remembers the calls that have ended in one.
#[derive(Debug, Default)]
pub struct Runner {
    /// Calls whose transform raised, by their numbers in the VM.
    pub failed: Vec<u64>,
}

impl Transform for Runner {
    type Handle = Handle;

    fn run(&mut self, op: u64, (call, job): &Handle, head: &Head) -> Result<Option<Set>, TransformFailed> {
        match *job {
            Job::Append => Ok(Some(appended(&head.entry, integer(*call)))),
            Job::Transfer { from, to, amount } => Ok(Some(set(&transferred(&head.entry, from, to, amount)))),
            Job::Cancel => Ok(None),
            Job::Fail => {
                self.failed.push(op);
                Err(TransformFailed)
            }
        }
    }
}

/// A list without the closing bracket takes one more: lists are long, and are not read for it.
fn appended(entry: &Entry, number: i64) -> Set {
    let mut json = entry.value.as_ref().map_or_else(|| b"[".to_vec(), |value| value.json().to_vec());
    if json.pop_if(|last| *last == b']').is_some() {
        json.push(b',');
    }
    json.extend(number.to_string().bytes());
    json.push(b']');
    Set { value: Value::new(json).expect("a short list"), attributes: Attributes::default() }
}

fn transferred(entry: &Entry, from: usize, to: usize, amount: i64) -> [i64; ACCOUNTS + 1] {
    let mut accounts = [BALANCE; ACCOUNTS + 1];
    accounts[ACCOUNTS] = 0;
    for (account, stored) in accounts.iter_mut().zip(numbers(entry)) {
        *account = stored;
    }
    accounts[from] -= amount;
    accounts[to] += amount;
    accounts[ACCOUNTS] += 1;
    accounts
}

fn set(numbers: &[i64]) -> Set {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    let value = Value::new(format!("[{}]", texts.join(","))).expect("a short list");
    Set { value, attributes: Attributes::default() }
}

/// What is stored: a list of numbers, or one.
pub fn numbers(entry: &Entry) -> Vec<i64> {
    let Some(value) = &entry.value else { return Vec::new() };
    let text = String::from_utf8_lossy(value.json());
    let texts = text.trim_start_matches('[').trim_end_matches(']').split(',');
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn integer(call: usize) -> i64 {
    i64::try_from(call).unwrap_or(i64::MAX)
}
