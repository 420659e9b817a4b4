//! Why a call on a memory store failed.
//!
//! Owns: the status names of spec §7.1 and the texts. Does not own: how they are raised.

use std::fmt;

use crate::error::{CallError, ErrorCode};
use crate::limits::MEMORY_EXPIRATION_SECONDS_MAX;

/// The name of a failure: API, as the code of a data store's error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemoryStatus {
    /// A fault inside Clawstore.
    InternalError,
    /// An expiration that is not from 0 to 45 days.
    InvalidExpirationTime,
    /// An argument that cannot be.
    InvalidRequest,
    /// The function given to an update raised an error.
    TransformCallbackFailed,
    /// The game has used up its request units of this minute.
    RequestThrottled,
    /// An update met another one each time that it was tried.
    UpdateConflict,
    /// The structure has as many bytes as it may.
    DataStructureMemoryOverLimit,
    /// The structure has as many items as it may.
    DataStructureItemsOverLimit,
    /// The game has as many bytes as it may.
    TotalMemoryOverLimit,
    /// A value beyond 32 KB.
    ItemValueSizeTooLarge,
}

impl MemoryStatus {
    /// The name that texts begin with (spec §7.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::InternalError => "InternalError",
            Self::InvalidExpirationTime => "InvalidExpirationTime",
            Self::InvalidRequest => "InvalidRequest",
            Self::TransformCallbackFailed => "TransformCallbackFailed",
            Self::RequestThrottled => "RequestThrottled",
            Self::UpdateConflict => "UpdateConflict",
            Self::DataStructureMemoryOverLimit => "DataStructureMemoryOverLimit",
            Self::DataStructureItemsOverLimit => "DataStructureItemsOverLimit",
            Self::TotalMemoryOverLimit => "TotalMemoryOverLimit",
            Self::ItemValueSizeTooLarge => "ItemValueSizeTooLarge",
        }
    }

    /// An error of this status.
    pub fn error(self, message: impl fmt::Display) -> MemoryError {
        MemoryError { status: self, text: format!("{}: {message}", self.name()).into() }
    }
}

/// Why a call failed. Nothing of it was applied. Its text is what scripts see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct MemoryError {
    /// Roblox's name for it.
    pub status: MemoryStatus,
    /// `"<Status>: <message>"`.
    pub text: Box<str>,
}

impl MemoryError {
    /// An argument that cannot be.
    pub fn invalid(message: impl fmt::Display) -> Self {
        MemoryStatus::InvalidRequest.error(message)
    }

    pub(super) fn expiration() -> Self {
        MemoryStatus::InvalidExpirationTime
            .error(format_args!("The expiration time must be between 0 and {MEMORY_EXPIRATION_SECONDS_MAX} seconds."))
    }

    /// An update that met another one each time.
    pub fn conflict() -> Self {
        MemoryStatus::UpdateConflict.error("Exceeded max number of retries.")
    }

    /// Whoever keeps the data has lost the call.
    pub fn internal() -> Self {
        MemoryStatus::InternalError.error("An internal error ended the request.")
    }
}

impl From<MemoryError> for CallError {
    fn from(error: MemoryError) -> Self {
        Self { code: ErrorCode::Memory(error.status), outcome: crate::Outcome::Fail, text: error.text }
    }
}
