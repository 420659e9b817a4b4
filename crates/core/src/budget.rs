//! What a call costs, for admission to charge.
//!
//! Owns: which request types a call counts against (spec §6.3) and how many bytes of memory it holds until it is
//! settled. Does not own: rates and queues (they come with the limit profiles), nor the permits themselves
//! (`actors/admission`).

use crate::entry_key::StoreKind;
use crate::limits::CALL_OVERHEAD_BYTES;
use crate::ops::Request;

/// The request types that calls are charged as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// `GetAsync`, `GetVersionAsync`, and the read half of `UpdateAsync`.
    StandardRead,
    /// `SetAsync`, `IncrementAsync`, and the write half of `UpdateAsync`.
    StandardWrite,
    /// `ListVersionsAsync`, once a page.
    StandardList,
    /// `RemoveAsync`.
    StandardRemove,
    /// As [`Self::StandardRead`], in ordered stores.
    OrderedRead,
    /// As [`Self::StandardWrite`], in ordered stores.
    OrderedWrite,
    /// `GetSortedAsync`, once a page.
    OrderedList,
    /// As [`Self::StandardRemove`], in ordered stores.
    OrderedRemove,
}

impl RequestType {
    /// The name of Roblox's enum item, and the label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StandardRead => "StandardRead",
            Self::StandardWrite => "StandardWrite",
            Self::StandardList => "StandardList",
            Self::StandardRemove => "StandardRemove",
            Self::OrderedRead => "OrderedRead",
            Self::OrderedWrite => "OrderedWrite",
            Self::OrderedList => "OrderedList",
            Self::OrderedRemove => "OrderedRemove",
        }
    }
}

/// What admission charges for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// One request of each of these types.
    pub requests: &'static [RequestType],
    /// Bytes held from admission until the call is settled (A7).
    pub bytes: usize,
}

impl Charge {
    /// The cost of a call on a key of such a store.
    pub fn of(kind: StoreKind, request: &Request) -> Self {
        use RequestType::{OrderedRead, OrderedRemove, OrderedWrite, StandardRead, StandardRemove, StandardWrite};
        let requests: &'static [RequestType] = match (kind, request) {
            (StoreKind::Standard, Request::Get) => &[StandardRead],
            (StoreKind::Standard, Request::Set(_) | Request::Increment(_)) => &[StandardWrite],
            (StoreKind::Standard, Request::Update(_)) => &[StandardRead, StandardWrite],
            (StoreKind::Standard, Request::Remove) => &[StandardRemove],
            (StoreKind::Ordered, Request::Get) => &[OrderedRead],
            (StoreKind::Ordered, Request::Set(_) | Request::Increment(_)) => &[OrderedWrite],
            (StoreKind::Ordered, Request::Update(_)) => &[OrderedRead, OrderedWrite],
            (StoreKind::Ordered, Request::Remove) => &[OrderedRemove],
        };
        Self { requests, bytes: CALL_OVERHEAD_BYTES + request.payload_bytes() }
    }

    /// The cost of `GetVersionAsync`.
    pub const VERSION: Self = Self { requests: &[RequestType::StandardRead], bytes: CALL_OVERHEAD_BYTES };
    /// The cost of a page of `ListVersionsAsync`.
    pub const VERSIONS: Self = Self { requests: &[RequestType::StandardList], bytes: CALL_OVERHEAD_BYTES };
    /// The cost of a page of `GetSortedAsync`.
    pub const SORTED: Self = Self { requests: &[RequestType::OrderedList], bytes: CALL_OVERHEAD_BYTES };
}
