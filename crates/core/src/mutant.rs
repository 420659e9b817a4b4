//! Known ways to break the ownership protocol, one at a time, for tests that must notice.
//!
//! Owns: their names and what each breaks. Does not own: what they do; `crates/sim` gives each its meaning in the model.
//! Behind the feature `mutants`, which is off in everything that ships (`xtask tidy`).

/// One rule of `ownership-protocol.md` §2 that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// The lane's record says only that the batch committed, not what became of its row (A10). Breaks I1: a fenced row is
    /// taken for a durable one.
    BatchDoneOnly,
    /// An unknown outcome is settled by reading, not by sending the batch again (A9). Breaks I2: what a read does not see
    /// yet is applied later, and again.
    UnknownByReading,
    /// A repeated batch is answered from its record without a commit of its own (§2.2.10). Breaks I1: the record may be
    /// lost at a failover after the answer.
    ReplayWithoutBarrier,
    /// A cancelled wait for the standby counts as an acknowledgement (A17). Breaks I1 at a failover.
    CancelledWaitIsOk,
    /// Operations run again before the batch that they were sent in is settled (A12). Breaks I2.
    RerunBeforeSettling,
    /// The lane rows of an incarnation go when it is declared dead (A11). Breaks I2: its batch cannot be recognized.
    LanesGoWithTheDead,
    /// Reads show what is accepted but not durable (§2.2.7). Breaks I4.
    SpeculativeReads,
    /// A confirmed read does not commit anything (A18). Breaks I4 at a failover.
    ReadWithoutBarrier,
    /// A call whose batch was sent is reported as failed at its deadline (§2.2.16). Breaks I3.
    SentIsFailed,
    /// Neither the fence nor the version of a row is looked at (A7). Breaks I1: a frozen server overwrites.
    NoChecks,
    /// The standby is not waited for, and takes over (A16). Breaks I1.
    AsyncStandby,
}

impl Mutant {
    /// All of them, in the order of the protocol page.
    pub const ALL: [Self; 11] = [
        Self::BatchDoneOnly,
        Self::UnknownByReading,
        Self::ReplayWithoutBarrier,
        Self::CancelledWaitIsOk,
        Self::RerunBeforeSettling,
        Self::LanesGoWithTheDead,
        Self::SpeculativeReads,
        Self::ReadWithoutBarrier,
        Self::SentIsFailed,
        Self::NoChecks,
        Self::AsyncStandby,
    ];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BatchDoneOnly => "batch-done-only",
            Self::UnknownByReading => "unknown-by-reading",
            Self::ReplayWithoutBarrier => "replay-without-barrier",
            Self::CancelledWaitIsOk => "cancelled-wait-is-ok",
            Self::RerunBeforeSettling => "rerun-before-settling",
            Self::LanesGoWithTheDead => "lanes-go-with-the-dead",
            Self::SpeculativeReads => "speculative-reads",
            Self::ReadWithoutBarrier => "read-without-barrier",
            Self::SentIsFailed => "sent-is-failed",
            Self::NoChecks => "no-checks",
            Self::AsyncStandby => "async-standby",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_differ() {
        for mutant in Mutant::ALL {
            assert_eq!(Mutant::parse(mutant.name()), Some(mutant), "two of one name, or one is missing");
        }
        assert_eq!(Mutant::parse("none"), None);
    }
}
