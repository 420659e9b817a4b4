//! What a call costs, and which calls may start now (spec §6).
//!
//! Owns: which request types a call counts against (spec §6.3) and how many bytes of memory it holds until it is settled; the
//! budgets of one server and its four queues (`server_budgets`, `queues`, `lines`); what all servers of a game share (`game_rates`);
//! the errors of what is dropped (`throttle`). Does not own: the calls that wait, and starting them (`lua-bindings`), the
//! permits (`actors/admission`).

mod bucket;
mod game_rates;
mod lines;
mod queues;
mod request_type;
mod server_budgets;
mod throttle;

#[cfg(test)]
mod tests;

pub use game_rates::GameRates;
pub use queues::{Asked, Entered, Queues, Room};
pub use request_type::{BudgetType, RequestType};
pub use server_budgets::ServerBudgets;
pub use throttle::Throttle;

use crate::entry_key::StoreKind;
use crate::limits::CALL_OVERHEAD_BYTES;
use crate::ops::Request;

/// What admission charges for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Requests of each of these types.
    pub requests: &'static [RequestType],
    /// So many of each.
    pub count: u32,
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
            // The deprecated type of its own has no modern one: it is a removal.
            (StoreKind::Standard, Request::Remove | Request::RemoveVersion(_)) => &[StandardRemove],
            (StoreKind::Ordered, Request::Get) => &[OrderedRead],
            (StoreKind::Ordered, Request::Set(_) | Request::Increment(_)) => &[OrderedWrite],
            (StoreKind::Ordered, Request::Update(_)) => &[OrderedRead, OrderedWrite],
            (StoreKind::Ordered, Request::Remove | Request::RemoveVersion(_)) => &[OrderedRemove],
        };
        Self { requests, count: 1, bytes: CALL_OVERHEAD_BYTES + request.payload_bytes() }
    }

    /// The cost of `GetVersionAsync` and `GetVersionAtTimeAsync`.
    pub const VERSION: Self = Self::plain(&[RequestType::StandardRead]);
    /// The cost of a page of versions, keys or stores.
    pub const LIST: Self = Self::plain(&[RequestType::StandardList]);
    /// The cost of a page of `GetSortedAsync`.
    pub const SORTED: Self = Self::plain(&[RequestType::OrderedList]);

    /// The cost of `BatchGetAsync` of so many keys (spec §3.3).
    pub fn batch(keys: usize) -> Self {
        let count = u32::try_from(keys).unwrap_or(u32::MAX);
        Self { requests: &[RequestType::OrderedRead], count, bytes: CALL_OVERHEAD_BYTES.saturating_mul(keys.max(1)) }
    }

    /// Does it write, or take away?
    pub fn is_write(&self) -> bool {
        self.requests.iter().any(|request| request.is_write())
    }

    const fn plain(requests: &'static [RequestType]) -> Self {
        Self { requests, count: 1, bytes: CALL_OVERHEAD_BYTES }
    }
}
