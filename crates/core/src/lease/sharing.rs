//! Which keys may be shared.
//!
//! Owns: the setting, per store. Does not own: when a key is shared (`contention`), what that means for it (`key_machine`).

use std::collections::BTreeMap;

use crate::entry_key::StoreId;

/// May keys that several servers write be shared (`ownership-protocol.md` §2.2.19)?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// Those of stores that are not named.
    pub default: bool,
    /// By the name of the store, in all games and scopes.
    pub stores: BTreeMap<Box<str>, bool>,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { default: true, stores: BTreeMap::new() }
    }
}

impl Sharing {
    /// None is shared.
    pub fn never() -> Self {
        Self { default: false, ..Self::default() }
    }

    /// Those of one store.
    pub fn may_share(&self, store: &StoreId) -> bool {
        self.stores.get(&store.name).copied().unwrap_or(self.default)
    }
}
