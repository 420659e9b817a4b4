//! What can happen next, in words.
//!
//! Owns: the kinds of steps, the list of all steps from a state, how a trace reads. Does not own: what they do.

use std::fmt;

use crate::config::Config;
use crate::state::{Kind, List, Outcome, State, server_of};
use crate::{database, faults, server};

/// Something that happens at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A caller calls the next operation.
    Call { server: usize, op: usize },
    /// A server asks for the lease.
    Ask { incarnation: u8, fence: u8 },
    /// A server sends a batch, for the first time or again.
    Send { incarnation: u8, seq: u8, fence: u8, base: u8, list: List },
    /// A server gives its lease back.
    Release { incarnation: u8, fence: u8 },
    /// Somebody begins a confirmed read, and this is what it will show.
    Read { list: List },
    /// A server answers a read from what it holds.
    CachedRead { server: usize, list: List },
    /// An answer arrives.
    Receive { kind: Kind, incarnation: u8, outcome: Outcome, list: List },
    /// A server learns that it was declared dead and goes on as a new incarnation.
    Rejoin { server: usize },
    /// A server looks whether its batch is there (a mutant).
    LookUp { server: usize, found: bool },
    /// A batch locks its lane and its row.
    Lock { incarnation: u8, seq: u8 },
    /// A batch that nobody waits for gives up its locks.
    Abort { incarnation: u8, seq: u8 },
    /// A request is answered without a commit.
    Refuse { kind: Kind, incarnation: u8, outcome: Outcome },
    /// A transaction is in the log of the primary.
    Commit { kind: Kind, incarnation: u8, outcome: Outcome },
    /// The standby has the oldest transaction that it lacked.
    Replicate { kind: Kind, incarnation: u8 },
    /// A connection is lost.
    Lose { kind: Kind, incarnation: u8 },
    /// An incarnation is declared dead.
    Death { incarnation: u8 },
    /// A server is killed.
    Kill { server: usize },
    /// The primary crashes and recovers; with `lost`, without the deaths at the end of its log.
    Crash { lost: bool },
    /// The standby takes over.
    Failover,
    /// A wait for the standby is cancelled.
    Cancel { kind: Kind, incarnation: u8 },
    /// The deadline of a call passes.
    Timeout { op: usize },
}

/// All steps that are possible, each with the state that follows.
pub type Steps = Vec<(Step, State)>;

/// Every step from a state.
pub fn next(config: &Config, state: &State, out: &mut Steps) {
    out.clear();
    server::steps(config, state, out);
    database::steps(config, state, out);
    faults::steps(config, state, out);
    for (_, next) in out {
        next.normalize();
    }
}

/// An incarnation as traces name it: A, B, and A', B' after a death.
struct Name(u8);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = ServerName(server_of(self.0));
        write!(f, "{server}{}", if self.0 < 2 { "" } else { "'" })
    }
}

struct ServerName(usize);

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == 0 { "A" } else { "B" })
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ops: Vec<String> = self.ops().map(|op| (op + 1).to_string()).collect();
        write!(f, "[{}]", ops.join(" "))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "nothing",
            Self::Flush => "batch",
            Self::Replay => "repeated batch",
            Self::Acquire => "acquisition",
            Self::Release => "release",
            Self::Read => "confirmed read",
            Self::Death => "death",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Call { server, op } => write!(f, "{} is called: operation {}", ServerName(server), op + 1),
            Self::Ask { incarnation, fence } => {
                write!(f, "{} asks for the lease with fence {fence}", Name(incarnation))
            }
            Self::Send { incarnation, seq, fence, base, list } => {
                let name = Name(incarnation);
                write!(f, "{name} sends batch {seq}: fence {fence}, base {base}, value {list}")
            }
            Self::Release { incarnation, fence } => write!(f, "{} sends back fence {fence}", Name(incarnation)),
            Self::Read { list } => write!(f, "a confirmed read sees {list}"),
            Self::CachedRead { server, list } => write!(f, "{} answers a read: {list}", ServerName(server)),
            Self::Receive { kind, incarnation, outcome, list } => {
                write!(f, "{} gets the answer to its {kind}: {outcome:?}, value {list}", Name(incarnation))
            }
            Self::Rejoin { server } => {
                write!(f, "{} learns that it was declared dead, and joins again", ServerName(server))
            }
            Self::LookUp { server, found } => {
                let what = if found { "it is there" } else { "it is not there" };
                write!(f, "{} reads whether its batch is there: {what}", ServerName(server))
            }
            Self::Lock { incarnation, seq } => {
                write!(f, "database: batch {seq} of {} has its locks", Name(incarnation))
            }
            Self::Abort { incarnation, seq } => {
                write!(f, "database: batch {seq} of {} is rolled back", Name(incarnation))
            }
            Self::Refuse { kind, incarnation, outcome } => {
                write!(f, "database: {kind} of {} is answered at once: {outcome:?}", Name(incarnation))
            }
            Self::Commit { kind, incarnation, outcome } => {
                write!(f, "database: {kind} of {} is in the log: {outcome:?}", Name(incarnation))
            }
            Self::Replicate { kind, incarnation } => {
                write!(f, "database: the standby has the {kind} of {}", Name(incarnation))
            }
            Self::Lose { kind, incarnation } => write!(f, "{} loses the connection of its {kind}", Name(incarnation)),
            Self::Death { incarnation } => write!(f, "{} is declared dead", Name(incarnation)),
            Self::Kill { server } => write!(f, "{} is killed", ServerName(server)),
            Self::Crash { lost } => {
                let lost = if lost { ", without the last deaths" } else { "" };
                write!(f, "database: crash and recovery{lost}")
            }
            Self::Failover => f.write_str("database: the standby takes over"),
            Self::Cancel { kind, incarnation } => {
                write!(f, "database: the wait of the {kind} of {} is cancelled", Name(incarnation))
            }
            Self::Timeout { op } => write!(f, "the deadline of operation {} passes", op + 1),
        }
    }
}
