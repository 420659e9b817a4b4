//! What is explored: which rules hold, and how much of everything may happen.
//!
//! Owns: budgets, variants of the protocol, and the named configurations. Does not own: what the rules mean.

use clawstore_core::mutant::Mutant;

/// How many operations a model has at most.
pub const OPS_MAX: usize = 3;

/// How often each thing may still happen. Everything else happens as often as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Operations called; at most [`OPS_MAX`].
    pub ops: u8,
    /// Acquisitions sent, repeated ones included.
    pub asks: u8,
    /// Batches sent, repeated ones included.
    pub sends: u8,
    /// Confirmed reads.
    pub reads: u8,
    /// Faults in all, of the kinds below.
    pub faults: u8,
    /// Living servers that are declared dead.
    pub false_deaths: u8,
    /// Servers killed.
    pub kills: u8,
    /// Crashes of the primary, each with recovery.
    pub crashes: u8,
    /// Promotions of the standby.
    pub failovers: u8,
    /// Waits for the standby that are cancelled.
    pub cancels: u8,
    /// Calls whose deadline passes.
    pub timeouts: u8,
}

/// What a row must match to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowChecks {
    /// The fence of the writer's acquisition.
    pub fence: bool,
    /// The version that the writer saw.
    pub version: bool,
}

/// One model to be explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// How much may happen.
    pub budget: Budget,
    /// What a flush looks at.
    pub checks: RowChecks,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

const BOTH: RowChecks = RowChecks { fence: true, version: true };

impl Config {
    /// The protocol, with every kind of fault, any two of them in one history. Above ten million states.
    pub const fn full() -> Self {
        let budget = Budget {
            ops: 2,
            asks: 3,
            sends: 3,
            reads: 1,
            faults: 2,
            false_deaths: 1,
            kills: 1,
            crashes: 1,
            failovers: 1,
            cancels: 1,
            timeouts: 1,
        };
        Self { name: "full", budget, checks: BOTH, mutant: None }
    }

    /// All six kinds of fault in one history, with fewer messages. Above ten million states.
    pub const fn storm() -> Self {
        let budget = Budget { asks: 2, sends: 2, faults: 6, ..Self::full().budget };
        Self { name: "storm", budget, ..Self::full() }
    }

    /// Three operations, so that batches follow each other while servers come and go.
    pub const fn three() -> Self {
        let calm = Budget { reads: 0, crashes: 0, failovers: 0, cancels: 0, timeouts: 0, ..Self::full().budget };
        Self { name: "three", budget: Budget { ops: 3, ..calm }, ..Self::full() }
    }

    /// Four faults around an acquisition that takes three attempts: what a new owner is shown must be durable too.
    pub const fn takeover() -> Self {
        let budget = Budget { sends: 2, faults: 4, false_deaths: 0, timeouts: 0, ..Self::full().budget };
        Self { name: "takeover", budget, ..Self::full() }
    }

    /// Little of everything: for the tests that run with every change.
    pub const fn small() -> Self {
        let budget = Budget { reads: 0, cancels: 0, kills: 0, timeouts: 0, asks: 2, sends: 2, ..Self::full().budget };
        Self { name: "small", budget, ..Self::full() }
    }

    /// Only the fence is looked at.
    pub const fn only_fence() -> Self {
        Self { name: "only-fence", checks: RowChecks { fence: true, version: false }, ..Self::variant() }
    }

    /// Only the version is looked at.
    pub const fn only_version() -> Self {
        Self { name: "only-version", checks: RowChecks { fence: false, version: true }, ..Self::variant() }
    }

    const fn variant() -> Self {
        Self { budget: Budget { reads: 0, cancels: 0, ..Self::full().budget }, ..Self::full() }
    }

    /// The protocol with one rule broken, in the smallest configuration that shows it.
    pub const fn broken(mutant: Mutant) -> Self {
        let checks = match mutant {
            Mutant::NoChecks => RowChecks { fence: false, version: false },
            _ => BOTH,
        };
        Self { name: mutant.name(), budget: budget_of(mutant), checks, mutant: Some(mutant) }
    }

    /// Is this rule broken?
    pub fn breaks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// Enough faults to show what is broken, and no more.
const fn budget_of(mutant: Mutant) -> Budget {
    let calm = Budget {
        ops: 1,
        asks: 1,
        sends: 1,
        reads: 0,
        faults: 2,
        false_deaths: 0,
        kills: 0,
        crashes: 0,
        failovers: 0,
        cancels: 0,
        timeouts: 0,
    };
    match mutant {
        Mutant::BatchDoneOnly => Budget { asks: 2, sends: 2, false_deaths: 1, ..calm },
        Mutant::UnknownByReading | Mutant::RerunBeforeSettling | Mutant::LanesGoWithTheDead => {
            Budget { asks: 3, sends: 3, false_deaths: 1, ..calm }
        }
        Mutant::ReplayWithoutBarrier => Budget { sends: 2, crashes: 1, failovers: 1, ..calm },
        Mutant::CancelledWaitIsOk => Budget { cancels: 1, failovers: 1, ..calm },
        Mutant::SpeculativeReads => calm,
        Mutant::ReadWithoutBarrier => Budget { reads: 1, crashes: 1, failovers: 1, ..calm },
        Mutant::SentIsFailed => Budget { timeouts: 1, ..calm },
        Mutant::NoChecks => Budget { ops: 2, asks: 2, sends: 2, false_deaths: 1, ..calm },
        Mutant::AsyncStandby => Budget { failovers: 1, ..calm },
    }
}
