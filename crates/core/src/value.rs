//! A stored value: the exact JSON text that was accepted.
//!
//! Owns: the bytes, the size limit, and reading a value as an integer for increments. Does not own: conversion from
//! and to Luau (`lua-bindings/convert`) or to Rust types (the façade), nor which JSON a Luau value becomes.

use bytes::Bytes;

use crate::error::{CallError, ErrorCode};
use crate::limits::{INTEGER_MAX, VALUE_BYTES_MAX};

/// Encoded JSON. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(Bytes);

impl Value {
    /// Accepts JSON text.
    ///
    /// # Errors
    /// 105 beyond 4,194,304 bytes (spec §6.1).
    pub fn new(json: impl Into<Bytes>) -> Result<Self, CallError> {
        let json = json.into();
        if json.len() > VALUE_BYTES_MAX { Err(too_large()) } else { Ok(Self(json)) }
    }

    /// A whole number as a value.
    pub fn integer(number: i64) -> Self {
        Self(number.to_string().into())
    }

    /// The JSON text.
    pub fn json(&self) -> &[u8] {
        &self.0
    }

    /// The JSON text, shared.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The value as a whole number within ±2^53, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        let number: f64 = serde_json::from_slice(&self.0).ok()?;
        (number.fract() == 0.0 && number.abs() <= INTEGER_MAX as f64).then_some(number as i64)
    }
}

/// The error of a value that is too long; also raised while encoding, before the whole text exists.
pub fn too_large() -> CallError {
    ErrorCode::ValueTooLarge.error(format!("Serialized value exceeds {VALUE_BYTES_MAX} limit."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_limit_is_inclusive() {
        assert!(Value::new(vec![b'1'; VALUE_BYTES_MAX]).is_ok());
        let error = Value::new(vec![b'1'; VALUE_BYTES_MAX + 1]).expect_err("one byte too many");
        assert_eq!(&*error.text, "105: Serialized value exceeds 4194304 limit.");
    }

    #[test]
    fn the_text_stays_as_it_was_accepted() {
        let value = Value::new(r#"{"a": 1.0}"#).expect("short");
        assert_eq!((value.json(), &value.bytes()[..]), (&br#"{"a": 1.0}"#[..], &br#"{"a": 1.0}"#[..]));
        assert_eq!(Value::integer(-7).json(), b"-7");
    }

    #[test]
    fn integers_only() {
        let read = |json: &str| Value::new(json.to_owned()).expect("short").as_integer();
        assert_eq!(read("41"), Some(41));
        assert_eq!(read("-3.0"), Some(-3));
        assert_eq!(read("9007199254740992"), Some(1 << 53));
        for json in ["1.5", "\"1\"", "null", "[1]", "1e300", "9007199254740994"] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
