//! Whose games run in a VM, and what differs for them.
//!
//! Owns: the list of differences. Does not own: each of them (`load_guard`, `scores` in `core`, `methods`).

use clawstore_core::{CallError, StoreKind, Value, ordered};

/// Longest page of `GetSortedAsync` in the Clawblox profile, which knows no limit: a longer one is shown as pages of this size.
pub(crate) const SCORES_PAGE_MAX: usize = 10_000;

/// For whom the games of a VM were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Roblox.
    #[default]
    Roblox,
    /// The Clawblox engine. Ordered stores take tables with a numeric `score`, and fractions; `GetSortedAsync` returns an array
    /// that has the methods of pages, and takes long pages. The load guard is on: `SetAsync` is refused on a key whose last
    /// `GetAsync` in this VM has failed or has not returned, so that defaults never overwrite a save (`decisions.md` 21).
    Clawblox,
}

impl Profile {
    /// Checks what a script wants to store.
    ///
    /// # Errors
    /// 103 and 502 for what ordered stores of this profile do not take.
    pub(crate) fn check_value(self, kind: StoreKind, value: &Value) -> Result<(), CallError> {
        match (self, kind) {
            (Self::Roblox, StoreKind::Ordered) => ordered::number(value).map(drop),
            _ => Ok(()),
        }
    }
}
