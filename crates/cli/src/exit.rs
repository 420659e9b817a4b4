//! Exit codes: what a script that starts this program can rely on.
//!
//! Owns: the codes (`decisions.md` 30) and which error means which. Does not own: when a run ends (`run`).

use clawstore::import::ImportError;
use clawstore::{LifeCycleError, LockError, OpenError, StoreError};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// As it should.
    Success,
    /// The main script raised or a `--forbid` was seen; for `get` and `ls`: there is no such thing; for `import`:
    /// rows were refused; for `game` and `locks`: it is not in a state in which that can be done.
    Failed,
    /// A script could not be loaded, the command line is wrong (clap's own code, too), or nobody has confirmed a deletion.
    Load,
    /// An `--expect` or `--until` was not seen.
    Unseen,
    /// `BindToClose` functions outlasted their limit.
    CloseTooLong,
    /// The store could not be opened, or has failed.
    Store,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Load => 2,
            Self::Unseen => 3,
            Self::CloseTooLong => 4,
            Self::Store => 5,
        }
    }

    /// What an error that ended a command means.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let store = error.chain().any(|cause| {
            cause.is::<OpenError>()
                || cause.is::<StoreFailed>()
                || cause.is::<ImportError>()
                || matches!(cause.downcast_ref::<StoreError>(), Some(StoreError::Read(_)))
                || matches!(cause.downcast_ref::<LockError>(), Some(LockError::Open(_) | LockError::Store(_)))
                || matches!(cause.downcast_ref::<LifeCycleError>(), Some(LifeCycleError::Store(_)))
        });
        if store {
            Self::Store
        } else if error.chain().any(|cause| cause.is::<LoadError>() || cause.is::<NotConfirmed>()) {
            Self::Load
        } else {
            Self::Failed
        }
    }
}

/// A script that cannot be loaded.
#[derive(Debug)]
pub(crate) struct LoadError(pub(crate) String);

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

/// Something that is not done without a word.
#[derive(Debug)]
pub(crate) struct NotConfirmed(pub(crate) String);

impl std::fmt::Display for NotConfirmed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotConfirmed {}

/// A store that has failed while it was used.
#[derive(Debug)]
pub(crate) struct StoreFailed(pub(crate) String);

impl std::fmt::Display for StoreFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the store has failed: {}", self.0)
    }
}

impl std::error::Error for StoreFailed {}
