//! `SetAsync` (spec §2.3): overwrites without a look; user ids and metadata become what is passed.

use super::Applied;
use crate::clock::Timestamp;
use crate::entry::{Attributes, Entry};
use crate::entry_key::StoreKind;
use crate::error::CallError;
use crate::scores;
use crate::value::Value;

/// What `SetAsync` was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The new value.
    pub value: Value,
    /// The new user ids and metadata.
    pub attributes: Attributes,
}

impl Set {
    /// The checks that need no stored state.
    ///
    /// # Errors
    /// As [`super::Request::validate`].
    pub fn validate(&self, kind: StoreKind) -> Result<(), CallError> {
        if kind == StoreKind::Ordered {
            scores::floor(&self.value)?;
        }
        self.attributes.validate(kind)
    }

    pub(super) fn apply(&self, head: &Entry, at: Timestamp) -> Applied {
        Applied::written(head.successor(Some(self.value.clone()), self.attributes.clone(), at))
    }
}
