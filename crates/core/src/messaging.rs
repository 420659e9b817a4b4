//! Messages between servers (spec §7.2): what may be sent, how often, and in which form it travels between processes.
//!
//! Owns: topics and payloads with their sizes, the rates of Roblox (`rates`), the text that carries messages from one process
//! to the others (`wire`). Does not own: who is subscribed (`actors/messaging`), the carrying itself (`backend`).
//!
//! Best effort: a message may be lost. One that arrives arrives once, and those of one publisher in their order.

mod rates;
mod wire;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use rates::MessageRates;
pub use wire::{Arrivals, BadPayload, Carried, PAYLOAD_BYTES_MAX, Publisher, pack};

use crate::clock::Timestamp;
use crate::error::{CallError, ErrorCode, Outcome};
use crate::limits::{MESSAGE_CHARS_MAX, TOPIC_CHARS_MAX};

/// What a message is about: 1 to 80 characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Accepts a name.
    ///
    /// # Errors
    /// If it is empty, longer than 80 characters (spec §7.2), not UTF-8, or has a NUL.
    pub fn new(name: &[u8]) -> Result<Self, CallError> {
        let text = text(name).ok_or_else(|| CallError::argument("Topic name must be UTF-8 text without NUL"))?;
        match text.chars().count() {
            1..=TOPIC_CHARS_MAX => Ok(Self(text.into())),
            _ => Err(CallError::argument(format_args!("Topic name must have 1 to {TOPIC_CHARS_MAX} characters"))),
        }
    }
}

impl std::ops::Deref for Topic {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// What a message says: JSON text of at most 1,024 characters. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// Accepts JSON text; only its length and characters are checked.
    ///
    /// # Errors
    /// If it is longer than 1,024 characters (spec §7.2), not UTF-8, or has a NUL.
    pub fn new(json: impl Into<Bytes>) -> Result<Self, CallError> {
        let json = json.into();
        let text = text(&json).ok_or_else(|| CallError::argument("Message must be UTF-8 text"))?;
        if text.chars().count() > MESSAGE_CHARS_MAX {
            let error = format_args!("Message exceeds {MESSAGE_CHARS_MAX} characters");
            return Err(CallError::argument(error));
        }
        Ok(Self(json))
    }

    /// The JSON text.
    pub fn json(&self) -> &[u8] {
        &self.0
    }
}

/// Text that any carrier takes.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// About what.
    pub topic: Topic,
    /// What it says.
    pub payload: Payload,
    /// When it was published, by the publisher's wall clock.
    pub sent: Timestamp,
}

/// The carrier could not take the message, or did not say.
pub fn not_carried() -> CallError {
    let mut error = ErrorCode::RequestRejected.error(
        "API Services rejected request with error. The message may not have reached the servers of other processes.",
    );
    error.outcome = Outcome::Unknown;
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_payloads_are_counted_in_characters() {
        assert!(Topic::new("ü".repeat(80).as_bytes()).is_ok());
        for bad in ["", &"a".repeat(81), "a\0b"] {
            assert!(Topic::new(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Topic::new(b"\xff").is_err());
        assert!(Payload::new("ü".repeat(1_024)).is_ok());
        let error = Payload::new("a".repeat(1_025)).expect_err("one character too many");
        assert_eq!(&*error.text, "Message exceeds 1024 characters");
        assert!(Payload::new(vec![0xff]).is_err());
    }
}
