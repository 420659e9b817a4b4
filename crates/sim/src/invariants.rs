//! What must hold in every state.
//!
//! Owns: the invariants of `ownership-protocol.md` §2.4 as far as one key shows them. Does not own: where steps themselves
//! find one broken (I4, I5 and I7 have their places in `server` and `database`).

use std::fmt;

use crate::state::{Answer, State};

/// A rule that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// An acknowledged operation is not in what the database would recover to.
    I1,
    /// An operation took effect twice.
    I2,
    /// An operation that was reported as failed took effect.
    I3,
    /// Something was shown that is not, or is not any more, in what the database would recover to.
    I4,
    /// A write did not build on what it overwrote.
    I5,
    /// A batch whose sender waits for it was out of order, or had another content under a used number.
    I7,
    /// A confirmed read missed something that was shown before it began.
    Stale,
    /// The model has too little room: a fault of the model, never of the protocol.
    Bound,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I1 => "I1: an acknowledged operation is lost",
            Self::I2 => "I2: an operation took effect twice",
            Self::I3 => "I3: a failed operation took effect",
            Self::I4 => "I4: what was shown is not durable",
            Self::I5 => "I5: a write overwrote what it had not seen",
            Self::I7 => "I7: a lane was out of order",
            Self::Stale => "a confirmed read missed what had been shown",
            Self::Bound => "the model has too little room",
        })
    }
}

/// What is broken in a state, if anything. What callers suffer comes first.
pub fn broken(state: &State) -> Option<Invariant> {
    let list = state.recovered().row.list;
    let any = |answer, bad: fn(usize) -> bool| {
        let mut ops = state.ops.iter().enumerate();
        ops.any(|(at, op)| op.answer == answer && bad(list.count(at)))
    };
    if any(Answer::Ok, |count| count == 0) {
        Some(Invariant::I1)
    } else if (0..state.ops.len()).any(|op| list.count(op) > 1) {
        Some(Invariant::I2)
    } else if any(Answer::Fail, |count| count > 0) {
        Some(Invariant::I3)
    } else if !list.begins_with(state.shown) {
        Some(Invariant::I4)
    } else {
        state.broken
    }
}
