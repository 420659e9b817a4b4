//! Luau value → JSON bytes.
//!
//! Owns: the walk, its limits (size while writing, depth, cycles), and saying where a bad value is. Does not own: what the
//! caller does with a warning.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clawstore_core::limits::{VALUE_BYTES_MAX, VALUE_DEPTH_MAX};
use clawstore_core::value::too_large;
use clawstore_core::{CallError, ErrorCode, Value};
use mlua::{LuaString, Table, Value as LuaValue};

/// A value that can be stored.
#[derive(Debug)]
pub struct Encoded {
    /// The JSON text.
    pub value: Value,
    /// Where string keys were dropped because the table is an array too; the first such place.
    pub dropped_at: Option<String>,
}

/// Why a value cannot be stored.
#[derive(Debug)]
pub struct EncodeError {
    /// What the script sees.
    pub error: CallError,
    /// Where the bad value is, from the outermost table inwards; empty for the value itself.
    pub path: String,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { self.error.fmt(f) } else { write!(f, "{} (at {})", self.error, self.path) }
    }
}

impl std::error::Error for EncodeError {}

/// Encodes a value as `SetAsync` stores it. The bytes are a snapshot: later changes of a table do not show in them.
///
/// # Errors
/// 104 for what cannot be stored and 105 for what is too long (spec §5.2), with the path of the bad value.
pub fn encode(value: &LuaValue) -> Result<Encoded, EncodeError> {
    let mut encoder = Encoder { json: Vec::with_capacity(256), open: Vec::new(), dropped_at: None, path: Vec::new() };
    match encoder.value(value) {
        Ok(()) => {
            let value = Value::new(encoder.json).map_err(|error| EncodeError { error, path: String::new() })?;
            Ok(Encoded { value, dropped_at: encoder.dropped_at })
        }
        Err(Bad::TooLarge) => Err(EncodeError { error: too_large(), path: String::new() }),
        Err(Bad::Kind(kind)) => {
            // The message names the outermost container, not the culprit (spec §4); the path goes to the log.
            let named = outermost(value).map_or(kind, Cow::Borrowed);
            let text =
                format!("Cannot store {named} in data store. Data stores can only accept valid UTF-8 characters.");
            let path = encoder.path.iter().rev().map(String::as_str).collect();
            Err(EncodeError { error: ErrorCode::CantStoreValue.error(text), path })
        }
    }
}

enum Bad {
    /// Not storable: what it is.
    Kind(Cow<'static, str>),
    TooLarge,
}

/// Of a table that is no value: too deep, in itself, or with keys that are none.
fn dictionary() -> Bad {
    Bad::Kind("Dictionary".into())
}

struct Encoder {
    json: Vec<u8>,
    /// The tables being written, outermost first: the path from the root, so that a cycle is seen.
    open: Vec<*const std::ffi::c_void>,
    dropped_at: Option<String>,
    /// Where a bad value is, innermost step first; filled on the way out.
    path: Vec<String>,
}

/// What error texts call a table.
fn outermost(value: &LuaValue) -> Option<&'static str> {
    match value {
        LuaValue::Table(table) => Some(if table.raw_len() > 0 { "Array" } else { "Dictionary" }),
        _ => None,
    }
}

impl Encoder {
    fn value(&mut self, value: &LuaValue) -> Result<(), Bad> {
        match value {
            LuaValue::Nil => self.push(b"null"),
            LuaValue::Boolean(true) => self.push(b"true"),
            LuaValue::Boolean(false) => self.push(b"false"),
            LuaValue::Integer(number) => self.push(itoa::Buffer::new().format(*number).as_bytes()),
            LuaValue::Number(number) => self.number(*number),
            LuaValue::String(string) => self.string(string),
            LuaValue::Table(table) => self.table(table),
            LuaValue::Buffer(buffer) => self.buffer(buffer),
            other => Err(Bad::Kind(kind_of(other))),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        self.json.extend_from_slice(bytes);
        if self.json.len() > VALUE_BYTES_MAX { Err(Bad::TooLarge) } else { Ok(()) }
    }

    fn number(&mut self, number: f64) -> Result<(), Bad> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !number.is_finite() {
            let name: &[u8] = if number.is_nan() {
                b"nan"
            } else if number > 0.0 {
                b"inf"
            } else {
                b"-inf"
            };
            self.push(br#"{"m":null,"t":"numeric","v":""#)?;
            self.push(name)?;
            return self.push(br#""}"#);
        }
        if number.fract() == 0.0 && number.abs() <= EXACT && !(number == 0.0 && number.is_sign_negative()) {
            #[expect(clippy::cast_possible_truncation, reason = "a whole number within ±2^53")]
            return self.push(itoa::Buffer::new().format(number as i64).as_bytes());
        }
        self.push(ryu::Buffer::new().format_finite(number).as_bytes())
    }

    fn string(&mut self, string: &LuaString) -> Result<(), Bad> {
        let bytes = string.as_bytes();
        let Ok(text) = std::str::from_utf8(&bytes) else { return Err(Bad::Kind("string".into())) };
        self.text(text)
    }

    fn text(&mut self, text: &str) -> Result<(), Bad> {
        if self.json.len() + text.len() > VALUE_BYTES_MAX {
            return Err(Bad::TooLarge);
        }
        // Plain text, which most strings are, needs no look at each character.
        if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.json.push(b'"');
            self.json.extend_from_slice(text.as_bytes());
            return self.push(b"\"");
        }
        // Writing to memory cannot fail.
        serde_json::to_writer(&mut self.json, text).map_err(|_| Bad::TooLarge)?;
        self.push(b"")
    }

    fn buffer(&mut self, buffer: &mlua::Buffer) -> Result<(), Bad> {
        if buffer.len() / 3 * 4 > VALUE_BYTES_MAX {
            return Err(Bad::TooLarge);
        }
        self.push(br#"{"m":null,"t":"buffer","base64":""#)?;
        self.push(STANDARD.encode(buffer.to_vec()).as_bytes())?;
        self.push(br#""}"#)
    }

    fn table(&mut self, table: &Table) -> Result<(), Bad> {
        let pointer = table.to_pointer();
        if self.open.len() >= VALUE_DEPTH_MAX || self.open.contains(&pointer) {
            return Err(dictionary());
        }
        self.open.push(pointer);
        let length = table.raw_len();
        if length > 0 {
            self.array(table, length)?
        } else {
            self.object(table)?
        }
        self.open.pop();
        Ok(())
    }

    /// `t[1..#t]`; whatever else the table holds is dropped (`decisions.md` 20).
    fn array(&mut self, table: &Table, length: usize) -> Result<(), Bad> {
        self.push(b"[")?;
        let start = self.json.len();
        let (mut next, mut dropped, mut bad) = (1_usize, false, None);
        // One walk serves nearly every array: its elements come first and in order.
        let walked = table.for_each(|key: LuaValue, value: LuaValue| {
            if next <= length && is_index(&key, next) {
                if let Err(found) = self.element(next, &value) {
                    bad = Some(found);
                    return Err(stop());
                }
                next += 1;
            } else {
                dropped = true;
            }
            Ok(())
        });
        if walked.is_err() {
            return Err(bad.unwrap_or_else(dictionary));
        }
        if next <= length {
            // Holes, or elements out of order: look each one up.
            self.json.truncate(start);
            for index in 1..=length {
                let value = table.raw_get::<LuaValue>(index).unwrap_or(LuaValue::Nil);
                self.element(index, &value)?;
            }
        }
        if dropped && has_other_keys(table, length) && self.dropped_at.is_none() {
            self.dropped_at = Some(format!("table at depth {}", self.open.len()));
        }
        self.push(b"]")
    }

    fn element(&mut self, index: usize, value: &LuaValue) -> Result<(), Bad> {
        if index > 1 {
            self.push(b",")?;
        }
        self.value(value).inspect_err(|_| self.path.push(format!("[{index}]")))
    }

    fn object(&mut self, table: &Table) -> Result<(), Bad> {
        let (mut first, mut bad) = (true, None);
        self.push(b"{")?;
        let walked = table.for_each(|key: LuaValue, value: LuaValue| {
            match self.member(first, &key, &value) {
                Ok(()) => first = false,
                Err(found) => {
                    bad = Some(found);
                    return Err(stop());
                }
            }
            Ok(())
        });
        if walked.is_err() {
            return Err(bad.unwrap_or_else(dictionary));
        }
        if first {
            // An empty table is an empty array (spec §4).
            self.json.pop();
            return self.push(b"[]");
        }
        self.push(b"}")
    }

    fn member(&mut self, first: bool, key: &LuaValue, value: &LuaValue) -> Result<(), Bad> {
        if !first {
            self.push(b",")?;
        }
        match key {
            LuaValue::String(name) => self.string(name).inspect_err(|_| self.path.push("[key]".into()))?,
            LuaValue::Integer(_) | LuaValue::Number(_) => self.text(&number_key(key))?,
            _ => {
                self.path.push("[key]".into());
                return Err(dictionary());
            }
        }
        self.push(b":")?;
        self.value(value).inspect_err(|_| self.path.push(format!(".{}", Name(key))))
    }
}

fn has_other_keys(table: &Table, length: usize) -> bool {
    let mut others = false;
    // Stops at the first one; most tables that come here have it early.
    let _ = table.for_each(|key: LuaValue, _: LuaValue| {
        others = !is_in_array(&key, length);
        if others { Err(stop()) } else { Ok(()) }
    });
    others
}

#[expect(clippy::cast_precision_loss, reason = "a table has fewer than 2^53 elements")]
fn is_in_array(key: &LuaValue, length: usize) -> bool {
    match key {
        LuaValue::Integer(key) => usize::try_from(*key).is_ok_and(|key| (1..=length).contains(&key)),
        LuaValue::Number(key) => key.fract() == 0.0 && *key >= 1.0 && *key <= length as f64,
        _ => false,
    }
}

fn is_index(key: &LuaValue, index: usize) -> bool {
    match key {
        LuaValue::Integer(number) => usize::try_from(*number) == Ok(index),
        #[expect(clippy::cast_precision_loss, reason = "a table has fewer than 2^53 elements")]
        LuaValue::Number(number) => *number == index as f64,
        _ => false,
    }
}

/// A number as a key: Luau's `tostring`, with names for what is not finite (`decisions.md` 20).
pub(crate) fn number_key(key: &LuaValue) -> String {
    match key {
        LuaValue::Number(number) if number.is_nan() => "NAN".into(),
        LuaValue::Number(number) if number.is_infinite() => if *number > 0.0 { "INF" } else { "-INF" }.into(),
        LuaValue::Number(number) => finite(*number),
        other => other.to_string().unwrap_or_default(),
    }
}

/// As Luau writes it: the shortest digits that name it, with an exponent beyond 21 digits and below 0.000001.
fn finite(number: f64) -> String {
    if number == 0.0 || (1e-6..1e21).contains(&number.abs()) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// What error texts call a value that cannot be stored.
fn kind_of(value: &LuaValue) -> Cow<'static, str> {
    match value {
        LuaValue::Function(_) => "function".into(),
        LuaValue::Thread(_) => "thread".into(),
        LuaValue::Vector(_) => "Vector3".into(),
        // What the host's `typeof` says. CFrame has an older name, to the letter: spec §4.
        LuaValue::UserData(userdata) => match userdata.type_name() {
            Ok(name) if name == "CFrame" => "CoordinateFrame".into(),
            Ok(name) => name.to_string_lossy().into(),
            Err(_) => "userdata".into(),
        },
        _ => "userdata".into(),
    }
}

/// Ends a walk early; the reason is kept beside it.
fn stop() -> mlua::Error {
    mlua::Error::StackError
}

/// A key in a path.
struct Name<'a>(&'a LuaValue);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LuaValue::String(name) => f.write_str(&name.to_string_lossy()),
            other => f.write_str(&number_key(other)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use mlua::{Lua, UserDataFields, UserDataRegistry};

    use super::*;

    struct Named;

    fn refused(lua: &Lua, value: &LuaValue, nested: bool) -> String {
        let value = if nested { LuaValue::Table(lua.create_sequence_from([value]).unwrap()) } else { value.clone() };
        encode(&value).unwrap_err().to_string()
    }

    #[test]
    fn types_of_a_host_are_called_what_its_typeof_says() {
        for (name, called) in [("CFrame", "CoordinateFrame"), ("Color3", "Color3"), ("Instance", "Instance")] {
            let lua = Lua::new();
            let register = |registry: &mut UserDataRegistry<Named>| registry.add_meta_field("__type", name);
            lua.register_userdata_type(register).unwrap();
            let value = LuaValue::UserData(lua.create_any_userdata(Named).unwrap());
            let expected = |what: &str, place: &str| {
                format!(
                    "104: Cannot store {what} in data store. Data stores can only accept valid UTF-8 characters.{place}"
                )
            };
            assert_eq!(refused(&lua, &value, false), expected(called, ""));
            assert_eq!(refused(&lua, &value, true), expected("Array", " (at [1])"));
        }
    }
}
