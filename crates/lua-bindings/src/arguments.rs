//! Arguments at the boundary: what scripts may pass and what is made of it.
//!
//! Owns: the coercions and texts of spec §0.1 and the attribute rules of §5.2 (513). Does not own: limits that need no Luau
//! value (`core`).

use std::sync::Arc;

use bytes::Bytes;
use clawstore_core::entry::Attributes;
use clawstore_core::limits::NAME_BYTES_MAX;
use clawstore_core::{CallError, ErrorCode, StoreKind};
use mlua::{Function, ObjectLike, Table, Value as LuaValue};

use crate::classes::options::MetadataOptions;
use crate::convert::{encode, number_key};

/// `Argument N missing or nil` (spec §0.1).
pub(crate) fn missing(position: usize) -> CallError {
    CallError::argument(format_args!("Argument {position} missing or nil"))
}

/// What Luau's `type` says.
pub(crate) fn type_name(value: &LuaValue) -> &'static str {
    match value {
        LuaValue::Integer(_) => "number",
        other => other.type_name(),
    }
}

/// A string parameter: numbers are accepted and formatted as Luau does.
pub(crate) fn string(value: &LuaValue, position: usize) -> Result<Vec<u8>, CallError> {
    match value {
        LuaValue::Nil => Err(missing(position)),
        LuaValue::String(string) => Ok(string.as_bytes().to_vec()),
        LuaValue::Integer(_) | LuaValue::Number(_) => Ok(number_key(value).into_bytes()),
        other => Err(CallError::argument(format_args!("Unable to cast {} to string", type_name(other)))),
    }
}

/// A string parameter that need not be there: the empty text stands for nil.
pub(crate) fn optional_string(value: &LuaValue, position: usize) -> Result<Vec<u8>, CallError> {
    if value.is_nil() { Ok(Vec::new()) } else { string(value, position) }
}

/// What names in a list begin with; all do with nil.
pub(crate) fn prefix(value: &LuaValue, position: usize) -> Result<Arc<str>, CallError> {
    // A scope, a slash and a key. Nothing begins with more: what of it is cut off makes no difference.
    const LONGEST: usize = 2 * NAME_BYTES_MAX + 1;
    let prefix = String::from_utf8(optional_string(value, position)?)
        .ok()
        .filter(|prefix| !prefix.contains('\0'))
        .ok_or_else(|| CallError::argument("Prefix must be valid UTF-8 without a NUL character"))?;
    Ok(match prefix.char_indices().find(|(at, _)| *at > LONGEST) {
        Some((end, _)) => prefix[..end].into(),
        None => prefix.into(),
    })
}

/// A function parameter.
pub(crate) fn function(value: &LuaValue, position: usize) -> Result<Function, CallError> {
    match value {
        LuaValue::Nil => Err(missing(position)),
        LuaValue::Function(function) => Ok(function.clone()),
        other => Err(CallError::argument(format_args!("Unable to cast {} to function", type_name(other)))),
    }
}

/// A whole-number parameter with a default; fractions are rounded (spec §0.1).
pub(crate) fn integer(value: &LuaValue, default: i64, position: usize) -> Result<i64, CallError> {
    let number = match value {
        LuaValue::Nil => return Ok(default),
        LuaValue::Integer(number) => return Ok(*number),
        LuaValue::Number(number) => *number,
        other => return Err(CallError::argument(format_args!("Unable to cast {} to int", type_name(other)))),
    };
    // Half up. Adding a half first would itself round, for large numbers.
    let whole = number.floor();
    let rounded = if number - whole >= 0.5 { whole + 1.0 } else { whole };
    // Beyond ±2^63 the cast saturates, and the range check of the call refuses it.
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    if rounded.is_nan() {
        Err(CallError::argument(format_args!("Argument {position} must be a number")))
    } else {
        Ok(rounded as i64)
    }
}

/// A number in either of the forms that mlua gives it.
pub(crate) fn number(value: &LuaValue) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "Luau numbers are doubles")]
        LuaValue::Integer(number) => Some(*number as f64),
        LuaValue::Number(number) => Some(*number),
        _ => None,
    }
}

/// The value of an enum parameter: an item of whichever host, a name, or a number (spec §0.1). `items`: names and values.
pub(crate) fn enum_value(
    value: &LuaValue,
    position: usize,
    name: &str,
    items: &[(&str, i64)],
) -> Result<i64, CallError> {
    let refused = || CallError::argument(format_args!("Unable to cast value to Enum.{name}"));
    let plain = match value {
        LuaValue::Nil => return Err(missing(position)),
        LuaValue::Table(item) => named(item),
        LuaValue::UserData(item) => named(item),
        plain => plain.clone(),
    };
    let is_meant = |(name, value): &&(&str, i64)| match &plain {
        LuaValue::String(text) => name.as_bytes() == &*text.as_bytes(),
        LuaValue::Integer(number) => number == value,
        #[expect(clippy::cast_precision_loss, reason = "enums have few items")]
        LuaValue::Number(number) => *number == *value as f64,
        _ => false,
    };
    items.iter().find(is_meant).map(|(_, value)| *value).ok_or_else(refused)
}

/// The name of a host's enum item, or its value if it has no name.
fn named(item: &impl ObjectLike) -> LuaValue {
    let field = |name: &str| item.get::<LuaValue>(name).unwrap_or(LuaValue::Nil);
    Some(field("Name")).filter(LuaValue::is_string).unwrap_or_else(|| field("Value"))
}

/// A boolean parameter.
pub(crate) fn boolean(value: &LuaValue, position: usize) -> Result<bool, CallError> {
    match value {
        LuaValue::Nil => Err(missing(position)),
        LuaValue::Boolean(boolean) => Ok(*boolean),
        other => Err(CallError::argument(format_args!("Unable to cast {} to bool", type_name(other)))),
    }
}

/// User ids and metadata, as `SetAsync` and `IncrementAsync` take them. Ordered stores refuse options, empty ones too.
pub(crate) fn attributes(
    kind: StoreKind,
    user_ids: &LuaValue,
    options: &LuaValue,
    class: &str,
) -> Result<Attributes, CallError> {
    if kind == StoreKind::Ordered && !options.is_nil() {
        return Err(ErrorCode::ParameterNotAllowed.error("Additional parameter Options not allowed"));
    }
    let metadata = match options {
        LuaValue::Nil => Bytes::new(),
        LuaValue::UserData(userdata) => match userdata.borrow::<MetadataOptions>() {
            Ok(options) if options.class_name() == class => options.metadata(),
            _ => return Err(CallError::argument(format_args!("Unable to cast value to {class}"))),
        },
        _ => return Err(CallError::argument(format_args!("Unable to cast value to {class}"))),
    };
    Ok(Attributes { user_ids: self::user_ids(user_ids)?, metadata })
}

/// An array of user ids; nil is none.
pub(crate) fn user_ids(value: &LuaValue) -> Result<Vec<i64>, CallError> {
    let table = match value {
        LuaValue::Nil => return Ok(Vec::new()),
        LuaValue::Table(table) => table,
        _ => return Err(CallError::argument("Unable to cast to Array")),
    };
    let invalid = || ErrorCode::AttributeFormatError.error("Attribute userId format is invalid");
    let mut ids = Vec::new();
    for index in 1..=table.raw_len() {
        match table.raw_get::<LuaValue>(index) {
            Ok(number @ (LuaValue::Integer(_) | LuaValue::Number(_))) => {
                ids.push(integer(&number, 0, index).map_err(|_| invalid())?)
            }
            _ => return Err(invalid()),
        }
    }
    // Keys that are no index hide ids that would be lost.
    let mut count = 0;
    let counted = table.for_each(|_: LuaValue, _: LuaValue| {
        count += 1;
        Ok(())
    });
    if counted.is_err() || count != ids.len() { Err(invalid()) } else { Ok(ids) }
}

/// Metadata: a dictionary of strings, numbers and booleans; nil and an empty table are none.
pub(crate) fn metadata(value: &LuaValue) -> Result<Bytes, CallError> {
    let table = match value {
        LuaValue::Nil => return Ok(Bytes::new()),
        LuaValue::Table(table) => table,
        _ => return Err(invalid_metadata()),
    };
    if !is_flat_dictionary(table) {
        return Err(invalid_metadata());
    }
    if table.is_empty() {
        return Ok(Bytes::new());
    }
    encode(value).map(|encoded| encoded.value.bytes().clone()).map_err(|_| invalid_metadata())
}

fn invalid_metadata() -> CallError {
    ErrorCode::AttributeFormatError.error("Attribute metadata format is invalid")
}

fn is_flat_dictionary(table: &Table) -> bool {
    table
        .for_each(|key: LuaValue, value: LuaValue| {
            let plain = matches!(
                value,
                LuaValue::String(_) | LuaValue::Integer(_) | LuaValue::Number(_) | LuaValue::Boolean(_)
            );
            if plain && key.is_string() { Ok(()) } else { Err(mlua::Error::StackError) }
        })
        .is_ok()
}
