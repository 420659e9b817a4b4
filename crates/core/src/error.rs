//! The one error table: what a failed call raises, and whether it may have been applied.
//!
//! Owns: Roblox's codes and names (spec §5), the three outcome classes (`ownership-protocol.md` §0.8), and our own
//! texts with their class in them (`decisions.md` 17). Does not own: how an error is raised in Luau, nor what a
//! backend does about a bad connection (`backend::BackendError`).

use std::fmt;

use crate::budget::RequestType;
pub use crate::budget::Throttle;
use crate::memory_store::MemoryStatus;

/// What is known about the effect of a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Surely not applied, now or later (I3).
    Fail,
    /// May have been applied; a read with `UseCache=false` tells.
    Unknown,
}

/// Code and name of an error (spec §5.2). The code is API, the text is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 101
    KeyNameEmpty,
    /// 102
    KeyNameLimit,
    /// 103
    ValueNotAllowed,
    /// 104
    CantStoreValue,
    /// 105
    ValueTooLarge,
    /// 106, of the largest value
    MaxValueInvalid,
    /// 106, of the smallest value
    MinValueInvalid,
    /// 106, of a page above the range
    PageSizeGreater,
    /// 106, of a page below the range
    PageSizeLesser,
    /// 107
    MinMaxOrderInvalid,
    /// 301 to 306, or a name: dropped, because there was no budget of this type and the queue was full (spec §6.7).
    Throttled(Throttle, RequestType),
    /// 401
    DataModelNoAccess,
    /// 403
    StudioAccessToApisNotAllowed,
    /// 501
    ResponseMalformed,
    /// 502
    RequestRejected,
    /// 511
    AttributeSizeTooLarge,
    /// 512
    UserIdLimitExceeded,
    /// 513
    AttributeFormatError,
    /// 517
    ParameterNotAllowed,
    /// Raised at the call, without a code: a missing or wrong argument.
    Argument,
    /// A failure of a memory store: these have names and no numbers (spec §7.1).
    Memory(MemoryStatus),
    /// A time that `GetVersionAtTimeAsync` does not take: a name and no number (spec §5.2).
    InvalidTimestamp,
    /// 502: a cursor that is not one of the list (spec §5.3).
    InvalidExclusiveStartKey,
    /// 502: the data of the game is deleted (spec §5.3).
    DatastoreDeleted,
    /// 502: too many bytes of one key in a minute (spec §5.3, §6.8).
    KeyThrottled,
    /// 502: too many requests of this type in a minute, of all servers of the game (spec §5.3, §6.2).
    ExperienceThrottled(RequestType),
}

impl ErrorCode {
    /// The number scripts find at the start of the text, if it has one.
    pub const fn number(self) -> Option<u16> {
        Some(match self {
            Self::KeyNameEmpty => 101,
            Self::KeyNameLimit => 102,
            Self::ValueNotAllowed => 103,
            Self::CantStoreValue => 104,
            Self::ValueTooLarge => 105,
            Self::MaxValueInvalid | Self::MinValueInvalid | Self::PageSizeGreater | Self::PageSizeLesser => 106,
            Self::MinMaxOrderInvalid => 107,
            Self::Throttled(throttle, _) => return throttle.number(),
            Self::DataModelNoAccess => 401,
            Self::StudioAccessToApisNotAllowed => 403,
            Self::ResponseMalformed => 501,
            Self::RequestRejected
            | Self::InvalidExclusiveStartKey
            | Self::DatastoreDeleted
            | Self::KeyThrottled
            | Self::ExperienceThrottled(_) => 502,
            Self::AttributeSizeTooLarge => 511,
            Self::UserIdLimitExceeded => 512,
            Self::AttributeFormatError => 513,
            Self::ParameterNotAllowed => 517,
            Self::Argument | Self::Memory(_) | Self::InvalidTimestamp => return None,
        })
    }

    /// The name that log lines show (spec §5.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyNameEmpty => "KeyNameEmpty",
            Self::KeyNameLimit => "KeyNameLimit",
            Self::ValueNotAllowed => "ValueNotAllowed",
            Self::CantStoreValue => "CantStoreValue",
            Self::ValueTooLarge => "ValueTooLarge",
            Self::MaxValueInvalid => "MaxValueInvalid",
            Self::MinValueInvalid => "MinValueInvalid",
            Self::PageSizeGreater => "PageSizeGreater",
            Self::PageSizeLesser => "PageSizeLesser",
            Self::MinMaxOrderInvalid => "MinMaxOrderInvalid",
            Self::Throttled(_, by) => by.server_throttled(),
            Self::DataModelNoAccess => "DataModelNoAccess",
            Self::StudioAccessToApisNotAllowed => "StudioAccessToApisNotAllowed",
            Self::ResponseMalformed => "InternalError",
            Self::RequestRejected => "RequestRejected",
            Self::AttributeSizeTooLarge => "AttributeSizeTooLarge",
            Self::UserIdLimitExceeded => "UserIdLimitExceeded",
            Self::AttributeFormatError => "AttributeFormatError",
            Self::ParameterNotAllowed => "ParameterNotAllowed",
            Self::Argument => "InvalidArgument",
            Self::Memory(status) => status.name(),
            Self::InvalidTimestamp => "InvalidTimestamp",
            Self::InvalidExclusiveStartKey => "InvalidExclusiveStartKey",
            Self::DatastoreDeleted => "DatastoreDeleted",
            Self::KeyThrottled => "KeyThrottled",
            Self::ExperienceThrottled(by) => by.experience_throttled(),
        }
    }

    /// What the store itself refuses, by the name that it gives it (spec §5.3), in the form of 502.
    pub fn rejected(self, message: impl fmt::Display) -> CallError {
        let name = self.name();
        self.error(format_args!("API Services rejected request with error. {name}: {message} (not applied)"))
    }

    /// An error of this code that was surely not applied.
    pub fn error(self, message: impl fmt::Display) -> CallError {
        let text = match self.number() {
            Some(number) => format!("{number}: {message}"),
            None => message.to_string(),
        };
        CallError { code: self, outcome: Outcome::Fail, text: text.into() }
    }
}

/// Why a call failed. Its text is what scripts see, to the letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CallError {
    /// Roblox's code.
    pub code: ErrorCode,
    /// Whether it may have been applied.
    pub outcome: Outcome,
    /// `"<code>: <message>"`, or the bare message where Roblox shows no code.
    pub text: Box<str>,
}

impl CallError {
    /// A wrong or missing argument, raised at the call.
    pub fn argument(message: impl fmt::Display) -> Self {
        ErrorCode::Argument.error(message)
    }

    /// Its text as log lines show it (spec §5.1): without the code, whose name stands there, and without the last full stop.
    pub fn message(&self) -> &str {
        let code = self.code.number().map(|number| format!("{number}: "));
        let text = code.and_then(|code| self.text.strip_prefix(&*code)).unwrap_or(&self.text);
        text.strip_suffix('.').unwrap_or(text)
    }

    /// The store cannot do it now; nothing was applied.
    pub fn unavailable(reason: impl fmt::Display) -> Self {
        ErrorCode::RequestRejected
            .error(format_args!("API Services rejected request with error. {reason} (not applied)"))
    }

    /// The store was asked and did not say; it may have been applied.
    pub fn unknown(reason: impl fmt::Display) -> Self {
        let text = format!(
            "502: API Services rejected request with error. {reason} (outcome unknown, verify with UseCache=false)"
        );
        Self { code: ErrorCode::RequestRejected, outcome: Outcome::Unknown, text: text.into() }
    }

    /// More bytes are waiting to be saved than memory is set aside for (`decisions.md` 14).
    pub fn memory_full() -> Self {
        Self::unavailable("Too much data is waiting to be saved.")
    }

    /// The deadline passed before the write was handed to the store.
    pub fn timed_out() -> Self {
        Self::unavailable("The request timed out in the queue.")
    }

    /// The key failed again and again and is set aside (`limits::QUARANTINE`).
    pub fn quarantined() -> Self {
        Self::unavailable("The key is quarantined after repeated internal errors.")
    }

    /// A fault inside Clawstore ended this call alone.
    pub fn internal() -> Self {
        Self::unavailable("An internal error ended the request.")
    }

    /// The VM or game that asked is gone.
    pub fn abandoned() -> Self {
        Self::unavailable("The server that made the request has closed.")
    }

    /// One key takes more than it may (spec §6.8).
    pub fn key_throttled() -> Self {
        ErrorCode::KeyThrottled.rejected("The request rate of this key exceeds the allowed maximum.")
    }

    /// The game makes more requests of this type than it may (spec §6.2).
    pub fn experience_throttled(by: RequestType) -> Self {
        let text = format_args!("{} request throttled by experience limits.", by.name());
        ErrorCode::ExperienceThrottled(by).rejected(text)
    }

    /// The data of the game is marked as deleted.
    pub fn deleted() -> Self {
        ErrorCode::DatastoreDeleted.rejected("The data of this game is deleted. It can be restored until it is purged.")
    }

    /// The game is closing (spec §5.2).
    pub fn closing() -> Self {
        ErrorCode::DataModelNoAccess.error("DataModel is inaccessible when the game is shutting down. (not applied)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_carry_code_and_class() {
        assert_eq!(
            ErrorCode::KeyNameEmpty.error("Key name can't be empty.").to_string(),
            "101: Key name can't be empty."
        );
        assert!(CallError::unavailable("Disk full.").text.ends_with("(not applied)"));
        let unknown = CallError::unknown("Lost.");
        assert_eq!(unknown.outcome, Outcome::Unknown);
        assert!(unknown.text.starts_with("502: ") && unknown.text.contains("UseCache=false"));
        assert!(CallError::closing().text.starts_with("401: "));
    }

    #[test]
    fn log_lines_have_the_text_without_code_and_full_stop() {
        assert_eq!(ErrorCode::KeyNameEmpty.error("Key name can't be empty.").message(), "Key name can't be empty");
        assert_eq!(CallError::argument("Argument 2 missing or nil").message(), "Argument 2 missing or nil");
        assert_eq!(CallError::argument("101: a text of its own").message(), "101: a text of its own");
    }

    #[test]
    fn every_code_has_its_number_and_its_name() {
        use ErrorCode as E;
        let table = [
            (E::KeyNameEmpty, Some(101), "KeyNameEmpty"),
            (E::KeyNameLimit, Some(102), "KeyNameLimit"),
            (E::ValueNotAllowed, Some(103), "ValueNotAllowed"),
            (E::CantStoreValue, Some(104), "CantStoreValue"),
            (E::ValueTooLarge, Some(105), "ValueTooLarge"),
            (E::MaxValueInvalid, Some(106), "MaxValueInvalid"),
            (E::MinValueInvalid, Some(106), "MinValueInvalid"),
            (E::PageSizeGreater, Some(106), "PageSizeGreater"),
            (E::PageSizeLesser, Some(106), "PageSizeLesser"),
            (E::MinMaxOrderInvalid, Some(107), "MinMaxOrderInvalid"),
            (E::DataModelNoAccess, Some(401), "DataModelNoAccess"),
            (E::StudioAccessToApisNotAllowed, Some(403), "StudioAccessToApisNotAllowed"),
            (E::ResponseMalformed, Some(501), "InternalError"),
            (E::RequestRejected, Some(502), "RequestRejected"),
            (E::InvalidExclusiveStartKey, Some(502), "InvalidExclusiveStartKey"),
            (E::DatastoreDeleted, Some(502), "DatastoreDeleted"),
            (E::KeyThrottled, Some(502), "KeyThrottled"),
            (E::AttributeSizeTooLarge, Some(511), "AttributeSizeTooLarge"),
            (E::UserIdLimitExceeded, Some(512), "UserIdLimitExceeded"),
            (E::AttributeFormatError, Some(513), "AttributeFormatError"),
            (E::ParameterNotAllowed, Some(517), "ParameterNotAllowed"),
            (E::Argument, None, "InvalidArgument"),
            (E::InvalidTimestamp, None, "InvalidTimestamp"),
        ];
        for (code, number, name) in table {
            assert_eq!((code.number(), code.name()), (number, name));
        }
        let deleted = CallError::deleted();
        assert!(deleted.text.starts_with("502: ") && deleted.text.contains("DatastoreDeleted: "), "{deleted}");
        assert_eq!((deleted.outcome, deleted.text.ends_with("(not applied)")), (Outcome::Fail, true));
    }
}
