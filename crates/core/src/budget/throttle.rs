//! Which error a call is dropped with when there is no budget for it and its queue is full (spec §5.2, §6.7).
//!
//! Owns: codes, names and texts. Does not own: when (`queues`).

use super::RequestType;
use crate::error::{CallError, ErrorCode};
use crate::look::Look;
use crate::ops::Request;

/// Calls with a throttle error of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Throttle {
    /// 301, also of `BatchGetAsync`.
    Get,
    /// 302
    Set,
    /// 303
    Increment,
    /// 304
    Update,
    /// 305
    GetSorted,
    /// 306
    Remove,
    /// A name and no number, as all that follow.
    GetVersion,
    /// See [`Self::GetVersion`].
    GetVersionAtTime,
    /// See [`Self::GetVersion`].
    ListDataStores,
    /// See [`Self::GetVersion`].
    ListKeys,
    /// See [`Self::GetVersion`].
    ListVersions,
    /// See [`Self::GetVersion`].
    RemoveVersion,
}

impl Throttle {
    const ALL: [Self; 12] = [
        Self::Get,
        Self::Set,
        Self::Increment,
        Self::Update,
        Self::GetSorted,
        Self::Remove,
        Self::GetVersion,
        Self::GetVersionAtTime,
        Self::ListDataStores,
        Self::ListKeys,
        Self::ListVersions,
        Self::RemoveVersion,
    ];

    /// That of a call on a key.
    pub const fn of_request(request: &Request) -> Self {
        match request {
            Request::Get => Self::Get,
            Request::Set(_) => Self::Set,
            Request::Update(_) => Self::Update,
            Request::Increment(_) => Self::Increment,
            Request::Remove => Self::Remove,
            Request::RemoveVersion(_) => Self::RemoveVersion,
        }
    }

    /// That of a look, also of a later page.
    pub const fn of_look(look: &Look) -> Self {
        match look {
            Look::Version(..) => Self::GetVersion,
            Look::VersionAt(..) => Self::GetVersionAtTime,
            Look::Versions(_) => Self::ListVersions,
            Look::Sorted(_) | Look::Scores(..) => Self::GetSorted,
            Look::Batch(_) => Self::Get,
            Look::Keys(_) => Self::ListKeys,
            Look::Stores(_) => Self::ListDataStores,
        }
    }

    /// That of the method of this name, if it has one.
    pub fn of_method(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|throttle| throttle.method() == name)
    }

    /// The method that the text names.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Get => "GetAsync",
            Self::Set => "SetAsync",
            Self::Increment => "IncrementAsync",
            Self::Update => "UpdateAsync",
            Self::GetSorted => "GetSortedAsync",
            Self::Remove => "RemoveAsync",
            Self::GetVersion => "GetVersionAsync",
            Self::GetVersionAtTime => "GetVersionAtTimeAsync",
            Self::ListDataStores => "ListDataStoresAsync",
            Self::ListKeys => "ListKeysAsync",
            Self::ListVersions => "ListVersionsAsync",
            Self::RemoveVersion => "RemoveVersionAsync",
        }
    }

    /// The type that the method is charged as in a standard store, or, of `GetSortedAsync`, in an ordered one.
    pub const fn usual_type(self) -> RequestType {
        match self {
            Self::Get | Self::GetVersion | Self::GetVersionAtTime => RequestType::StandardRead,
            Self::Set | Self::Increment | Self::Update => RequestType::StandardWrite,
            Self::GetSorted => RequestType::OrderedList,
            Self::Remove | Self::RemoveVersion => RequestType::StandardRemove,
            Self::ListDataStores | Self::ListKeys | Self::ListVersions => RequestType::StandardList,
        }
    }

    /// The number that scripts find at the start of the text, if it has one.
    pub(crate) const fn number(self) -> Option<u16> {
        match self {
            Self::Get | Self::Set | Self::Increment | Self::Update | Self::GetSorted | Self::Remove => {
                Some(301 + self as u16)
            }
            _ => None,
        }
    }

    /// The error of a call that is dropped: there was no budget `by` this type, and the queue was full.
    pub fn dropped(self, by: RequestType) -> CallError {
        let method = self.method();
        let text = format!("{method} request dropped. Request was throttled, but throttled request queue was full.");
        let text = if self.number().is_some() { text } else { format!("{method}Throttle: {text}") };
        ErrorCode::Throttled(self, by).error(text)
    }
}
