//! `UpdateAsync` (spec §2.4): what a transform made of one base. Accepted on that base only (A6); running the
//! transform, and running it again, is the VM's part (`decisions.md` 8).

use super::{Applied, Reply, Set};
use crate::clock::Timestamp;
use crate::entry::Entry;
use crate::entry_key::StoreKind;
use crate::error::CallError;
use crate::key_machine::Base;

/// A transform's result and the base that it read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What the transform read; `None` if it has not run yet, because the VM does not know the key's state.
    pub base: Option<Base>,
    /// What it returned; `None` for nil, which cancels.
    pub result: Option<Set>,
}

impl Update {
    /// An update whose transform has not run yet.
    pub const NOT_RUN: Self = Self { base: None, result: None };

    pub(super) fn validate(&self, kind: StoreKind) -> Result<(), CallError> {
        self.result.as_ref().map_or(Ok(()), |set| set.validate(kind))
    }

    pub(super) fn apply(&self, head: &Entry, at: Timestamp) -> Applied {
        match &self.result {
            Some(set) => set.apply(head, at),
            None => Applied::Reply(Reply::Cancelled),
        }
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.result.as_ref().map_or(0, |set| set.value.json().len() + set.attributes.metadata.len())
    }
}
