//! The calls of the API as rules: what each does to an entry.
//!
//! Owns: one file per call with its request, `validate()` (before anything is queued) and `apply()` (on the newest
//! revision). Does not own: order, durability, retries (`key_machine`, `write_batch`).

pub mod get;
pub mod increment;
pub mod remove;
mod remove_version;
pub mod set;
pub mod update;

use std::sync::Arc;

pub use increment::Increment;
pub use set::Set;
pub use update::Update;

use crate::backend::{KeyItem, KeyPlace, SortedItem, StoreInfo, VersionInfo};
use crate::clock::Timestamp;
use crate::entry::{Attributes, Entry, VersionId};
use crate::entry_key::StoreKind;
use crate::error::{CallError, ErrorCode};
use crate::limits::{METADATA_BYTES_MAX, USER_IDS_MAX};
pub use crate::listing::Page;
pub use crate::look::Look;
use crate::memory_store::MemoryReply;
use crate::ordered;

/// One call on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `GetAsync`.
    Get,
    /// `SetAsync`.
    Set(Set),
    /// `UpdateAsync`, with what the transform returned.
    Update(Update),
    /// `IncrementAsync`.
    Increment(Increment),
    /// `RemoveAsync`.
    Remove,
    /// `RemoveVersionAsync`, of a version that may be the newest.
    RemoveVersion(VersionId),
}

/// What a call that succeeded returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The entry that the call shows: read (Get), written (Set, Update, Increment) or taken away (Remove).
    Entry(Arc<Entry>),
    /// The transform returned nil: nothing was written.
    Cancelled,
    /// It is done, and there is nothing to show.
    Nothing,
    /// What a memory store has answered.
    Memory(MemoryReply),
    /// `ListVersionsAsync`: a page.
    Versions(Vec<VersionInfo>),
    /// `GetSortedAsync`: a page.
    Sorted(Vec<SortedItem>),
    /// `BatchGetAsync`: an entry per key, in order.
    Entries(Vec<Arc<Entry>>),
    /// `ListKeysAsync`: a page.
    Keys(Page<KeyItem, KeyPlace>),
    /// `ListDataStoresAsync`: a page.
    Stores(Page<StoreInfo, Arc<str>>),
}

/// How a call ended. An error carries its outcome class.
pub type CallResult = Result<Reply, CallError>;

/// What a call does to the newest revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// A new revision; the reply goes out once it is durable.
    Write {
        /// The new revision.
        entry: Arc<Entry>,
        /// What the caller gets.
        reply: Reply,
    },
    /// No write; the reply goes out once the revision it shows is durable.
    Reply(Reply),
}

impl Applied {
    /// A new revision that the caller is shown.
    pub(crate) fn written(entry: Entry) -> Self {
        let entry = Arc::new(entry);
        Self::Write { reply: Reply::Entry(Arc::clone(&entry)), entry }
    }
}

impl Request {
    /// The checks that need no stored state.
    ///
    /// # Errors
    /// 511 and 512 for attributes beyond their limits (spec §5.2); what an ordered store does not accept ([`ordered`]); an
    /// argument error for a delta that can never fit.
    pub fn validate(&self, kind: StoreKind) -> Result<(), CallError> {
        match self {
            Self::Get | Self::Remove | Self::RemoveVersion(_) => Ok(()),
            Self::Set(set) => set.validate(kind),
            Self::Update(update) => update.validate(kind),
            Self::Increment(increment) => increment.validate(kind),
        }
    }

    /// What the call does to `head`, if it is accepted at `at`. The same on a VM's local snapshot and in the key
    /// actor, so that a VM can foretell its own queue (`decisions.md` 8).
    ///
    /// # Errors
    /// The call's own refusals, such as an increment of text. Nothing is written then.
    pub fn apply(&self, kind: StoreKind, head: &Arc<Entry>, at: Timestamp) -> Result<Applied, CallError> {
        match self {
            Self::Get => Ok(get::apply(head)),
            Self::Set(set) => Ok(set.apply(head, at)),
            Self::Update(update) => Ok(update.apply(head, at)),
            Self::Increment(increment) => increment.apply(kind, head, at),
            Self::Remove => Ok(remove::apply(head, at)),
            Self::RemoveVersion(id) => Ok(remove_version::apply(*id, head, at)),
        }
    }

    /// Bytes that the call brings along.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Get | Self::Remove | Self::RemoveVersion(_) => 0,
            Self::Set(set) => set.value.json().len() + set.attributes.metadata.len(),
            Self::Update(update) => update.payload_bytes(),
            Self::Increment(increment) => increment.attributes.metadata.len(),
        }
    }

    /// Does the call write, if it succeeds?
    pub const fn is_write(&self) -> bool {
        !matches!(self, Self::Get)
    }
}

impl Attributes {
    /// # Errors
    /// 511 and 512 (spec §5.2); 517 for any in an ordered store.
    pub fn validate(&self, kind: StoreKind) -> Result<(), CallError> {
        if kind == StoreKind::Ordered {
            return ordered::check_attributes(self);
        }
        if self.user_ids.len() > USER_IDS_MAX {
            return Err(
                ErrorCode::UserIdLimitExceeded.error(format_args!("UserID size exceeds limit of {USER_IDS_MAX}"))
            );
        }
        if self.metadata.len() > METADATA_BYTES_MAX {
            let text = format_args!("Metadata attribute size exceeds {METADATA_BYTES_MAX} bytes limit.");
            return Err(ErrorCode::AttributeSizeTooLarge.error(text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
