//! Faults that victims or their database are given, to see that the harness notices.
//!
//! Owns: which there are, where each is made, and by what it shows. Does not own: the backends that make those of a victim
//! (`early_answers`, `unsettled`), the SQL of the others (`servers::broken_sql`). Nothing of it ships.
//!
//! Names are those of the protocol's mutants (`clawstore_core::mutant`), and `ack-before-commit`.

mod early_answers;
mod unsettled;

use std::sync::Arc;

use clawstore_core::backend::Backend;

use super::Fault;
use early_answers::EarlyAnswers;
use unsettled::{Trouble, Unsettled};

/// Faults that a victim can be given, to see that they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// Answers before the batch is committed.
    AckBeforeCommit,
    /// Neither the fence nor the revision of a row is compared.
    #[value(alias = "unfenced")]
    NoChecks,
    /// The lane's record says only that the batch committed, not what became of each row.
    BatchDoneOnly,
    /// The lanes of an incarnation go when it is declared dead; one that is gone counts as not applied.
    LanesGoWithTheDead,
    /// An unknown outcome is settled by reading.
    UnknownByReading,
    /// Calls of a batch with an unknown outcome run again at once.
    RerunBeforeSettling,
    /// Calls of a batch with an unknown outcome are reported as failed.
    SentIsFailed,
    /// Reads past the cache show what is on its way.
    SpeculativeReads,
    /// The standby that takes over was not waited for.
    AsyncStandby,
}

impl Mutant {
    /// Can a single process on any store have it?
    pub(super) fn is_for_one(self) -> bool {
        self == Self::AckBeforeCommit
    }

    /// Is some of it in the victim, and not only in the database?
    pub(super) fn is_in_victim(self) -> bool {
        !matches!(self, Self::NoChecks | Self::BatchDoneOnly | Self::AsyncStandby)
    }

    /// What must happen so that it shows.
    pub(super) fn shown_by(self) -> &'static [Fault] {
        match self {
            Self::AckBeforeCommit | Self::SpeculativeReads => &[Fault::Process],
            Self::NoChecks => &[Fault::Connection, Fault::Freeze],
            Self::UnknownByReading | Self::RerunBeforeSettling | Self::SentIsFailed => &[Fault::Connection],
            // A row must be fenced, and the answer that says so be lost.
            Self::BatchDoneOnly => &[Fault::Connection, Fault::Hole],
            Self::LanesGoWithTheDead => &[Fault::Freeze],
            Self::AsyncStandby => &[Fault::Promotion],
        }
    }
}

/// The backend of a victim with this fault.
pub(super) fn break_backend(mutant: Mutant, honest: Arc<dyn Backend>) -> Arc<dyn Backend> {
    let trouble = match mutant {
        Mutant::AckBeforeCommit => return Arc::new(EarlyAnswers::new(honest)),
        Mutant::NoChecks | Mutant::BatchDoneOnly | Mutant::AsyncStandby => return honest,
        Mutant::LanesGoWithTheDead => Trouble::OverIsNotApplied,
        Mutant::UnknownByReading => Trouble::Read,
        Mutant::RerunBeforeSettling => Trouble::Rerun,
        Mutant::SentIsFailed => Trouble::Fail,
        Mutant::SpeculativeReads => Trouble::ShowEarly,
    };
    Arc::new(Unsettled::new(honest, trouble))
}
