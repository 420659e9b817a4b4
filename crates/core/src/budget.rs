//! What a call costs, for admission to charge.
//!
//! Owns: which request types a call counts against (spec §6.3) and how many bytes of memory it holds until it is
//! settled. Does not own: rates and queues (they come with the limit profiles), nor the permits themselves
//! (`actors/admission`).

use crate::limits::CALL_OVERHEAD_BYTES;
use crate::ops::Request;

/// The request types of standard stores that are charged today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// `GetAsync`, and the read half of `UpdateAsync`.
    StandardRead,
    /// `SetAsync`, `IncrementAsync`, and the write half of `UpdateAsync`.
    StandardWrite,
    /// `RemoveAsync`.
    StandardRemove,
}

impl RequestType {
    /// The name of Roblox's enum item, and the label in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StandardRead => "StandardRead",
            Self::StandardWrite => "StandardWrite",
            Self::StandardRemove => "StandardRemove",
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
    /// The cost of a call.
    pub fn of(request: &Request) -> Self {
        use RequestType::{StandardRead, StandardRemove, StandardWrite};
        let requests: &'static [RequestType] = match request {
            Request::Get => &[StandardRead],
            Request::Set(_) | Request::Increment(_) => &[StandardWrite],
            Request::Update(_) => &[StandardRead, StandardWrite],
            Request::Remove => &[StandardRemove],
        };
        Self { requests, bytes: CALL_OVERHEAD_BYTES + request.payload_bytes() }
    }
}
