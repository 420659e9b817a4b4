//! What the methods of memory stores have in common (spec §7.1).
//!
//! Owns: their arguments and results at the boundary; submitting a call; `UpdateAsync`, which is a read, the transform, and a
//! write that is made only on what was read. Does not own: what the stores do (`core::memory_store`).

use std::sync::Arc;

use clawstore_actors::Found;
use clawstore_core::limits::MEMORY_UPDATE_TRIES;
use clawstore_core::memory_store::{
    MemoryCall, MemoryError, MemoryReply, MemoryStatus, Number, SortKey, StoredItem, Write, check_expiration,
};
use clawstore_core::ops::Reply;
use clawstore_core::{CallError, ErrorCode, Value};
use mlua::{Function, Lua, MultiValue, Value as LuaValue};

use super::{Arguments, ConvertOnce, Maker, Method, Told, none, one};
use crate::arguments;
use crate::convert::{decode, encode};
use crate::shared::Shared;
use crate::transform;
use crate::vm::{Ended, Started, Vm};

/// The service that log lines name.
pub(super) const SERVICE: &str = "MemoryStoreService";

/// A name or key: valid UTF-8.
pub(crate) fn text(value: &LuaValue, position: usize, what: &str) -> Result<Arc<str>, CallError> {
    let bytes = arguments::string(value, position)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(MemoryError::invalid(format_args!("The {what} must be valid UTF-8.")).into()),
    }
}

pub(super) fn key(arguments: &Arguments) -> Result<Arc<str>, CallError> {
    text(arguments.at(1), 1, "key")
}

/// A value, as JSON.
pub(super) fn value(vm: &Vm, value: &LuaValue, position: usize) -> Result<Value, CallError> {
    if value.is_nil() {
        return Err(arguments::missing(position));
    }
    let encoded = encode(value).map_err(|refused| {
        vm.log(&format!("{SERVICE}: {refused}"));
        match refused.error.code {
            ErrorCode::ValueTooLarge => MemoryStatus::ItemValueSizeTooLarge.error("The value is too long."),
            _ => MemoryError::invalid("Unable to convert the value to JSON."),
        }
    })?;
    if let Some(place) = encoded.dropped_at {
        vm.log(&format!("{SERVICE}: string keys of a mixed table were dropped ({place})"));
    }
    Ok(encoded.value)
}

/// Seconds; required everywhere. Their range is checked with the call.
pub(super) fn expiration(arguments: &Arguments, position: usize) -> Result<i64, CallError> {
    match arguments.at(position) {
        LuaValue::Nil => Err(arguments::missing(position)),
        seconds => arguments::integer(seconds, 0, position),
    }
}

/// A number, a text or nothing.
pub(super) fn sort_key(value: &LuaValue) -> Result<Option<SortKey>, CallError> {
    let sort_key = match value {
        LuaValue::Nil => return Ok(None),
        LuaValue::String(text) => text.to_str().ok().map(|text| SortKey::Text((&*text).into())),
        number => arguments::number(number).and_then(Number::new).map(SortKey::Number),
    };
    let refused = || MemoryError::invalid("Unable to convert sortKey to a valid number or string.");
    sort_key.map(Some).ok_or_else(|| refused().into())
}

/// A number with a default.
pub(super) fn number(value: &LuaValue, default: f64, position: usize) -> Result<f64, CallError> {
    match value {
        LuaValue::Nil => Ok(default),
        LuaValue::Integer(_) | LuaValue::Number(_) => match arguments::number(value) {
            Some(number) if !number.is_nan() => Ok(number),
            _ => Err(CallError::argument(format_args!("Argument {position} must be a number"))),
        },
        other => Err(CallError::argument(format_args!("Unable to cast {} to double", arguments::type_name(other)))),
    }
}

/// A flag; nil is false.
pub(super) fn flag(value: &LuaValue) -> Result<bool, CallError> {
    match value {
        LuaValue::Nil => Ok(false),
        LuaValue::Boolean(flag) => Ok(*flag),
        other => Err(CallError::argument(format_args!("Unable to cast {} to bool", arguments::type_name(other)))),
    }
}

/// How many, from 1 on. What is too many is said with the call.
pub(super) fn count(arguments: &Arguments, position: usize) -> Result<usize, CallError> {
    match arguments.at(position) {
        LuaValue::Nil => Err(arguments::missing(position)),
        number => Ok(usize::try_from(arguments::integer(number, 0, position)?).unwrap_or(0)),
    }
}

/// Starts a call.
pub(super) fn submit(vm: &Vm, lua: &Lua, call: MemoryCall) -> Result<Started, CallError> {
    call.validate()?;
    Ok(vm.open_plain(lua, vm.server.memory_call(call)))
}

/// Starts a call whose results are made with something that it has kept.
pub(super) fn submit_with(vm: &Vm, lua: &Lua, call: MemoryCall, convert: ConvertOnce) -> Result<Started, CallError> {
    call.validate()?;
    let op = vm.server.memory_call(call);
    vm.open_plain(lua, op);
    Ok(Started::With(op, convert))
}

/// What a store has answered.
pub(super) fn answered(reply: &Reply) -> mlua::Result<&MemoryReply> {
    match reply {
        Reply::Memory(reply) => Ok(reply),
        other => Err(mlua::Error::runtime(format!("not an answer of a memory store: {other:?}"))),
    }
}

/// An answer that does not belong to the call.
pub(super) fn unexpected(reply: &MemoryReply) -> mlua::Error {
    mlua::Error::runtime(format!("another answer was expected: {reply:?}"))
}

pub(super) fn sort_key_value(lua: &Lua, sort_key: Option<&SortKey>) -> mlua::Result<LuaValue> {
    match sort_key {
        None => Ok(LuaValue::Nil),
        Some(SortKey::Number(number)) => Ok(LuaValue::Number(number.get())),
        Some(SortKey::Text(text)) => lua.create_string(&**text).map(LuaValue::String),
    }
}

/// `SetAsync`: true if an item was there.
pub(super) fn finish_set(_: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match answered(reply)? {
        MemoryReply::Written { overwritten } => Ok(one(LuaValue::Boolean(*overwritten))),
        other => Err(unexpected(other)),
    }
}

/// `AddAsync`, `RemoveAsync`: nothing.
pub(super) fn finish_done(_: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match answered(reply)? {
        MemoryReply::Done => Ok(none()),
        other => Err(unexpected(other)),
    }
}

/// `GetSizeAsync`.
#[expect(clippy::cast_precision_loss, reason = "a structure has at most a million items")]
pub(super) fn finish_size(_: &Lua, reply: &Reply) -> mlua::Result<Told> {
    match answered(reply)? {
        MemoryReply::Size(size) => Ok(one(LuaValue::Number(*size as f64))),
        other => Err(unexpected(other)),
    }
}

/// The item of `GetAsync`.
pub(super) fn item(reply: &Reply) -> mlua::Result<Option<&StoredItem>> {
    match answered(reply)? {
        MemoryReply::Item(item) => Ok(item.as_ref()),
        other => Err(unexpected(other)),
    }
}

/// The parts of an `UpdateAsync` of a class, which `memory_update.luau` puts together.
pub(super) struct Update {
    /// Value, sort key and revision; answered at once if it can be.
    pub(super) read: &'static Method,
    /// Writes what the transform has returned, if the revision is still there; else false.
    pub(super) write: &'static Method,
    /// Yields once and does nothing.
    pub(super) pause: &'static Method,
    /// With sort keys.
    pub(super) is_sorted: bool,
}

/// What a transform has returned.
pub(super) struct Transformed {
    value: Value,
    sort_key: Option<SortKey>,
}

impl Transformed {
    /// As a write on the item that was read.
    fn write(&self, expires_in: i64, revision: u64) -> Write {
        Write { value: self.value.clone(), sort_key: self.sort_key.clone(), expires_in, expected: Some(revision) }
    }
}

/// `UpdateAsync` of a class.
pub(super) fn update(lua: &Lua, vm: &Shared<Vm>, maker: &Maker<'_>, parts: &Update) -> mlua::Result<Function> {
    let (runner, is_sorted) = (Shared::clone(vm), parts.is_sorted);
    let transform =
        lua.create_function(
            move |lua, (callback, value, sort_key): (Function, LuaValue, LuaValue)| match run_transform(
                lua,
                &runner,
                &callback,
                value,
                is_sorted.then_some(sort_key),
            ) {
                Ok(None) => Ok((true, LuaValue::Nil)),
                Ok(Some(transformed)) => Ok((true, LuaValue::UserData(lua.create_any_userdata(transformed)?))),
                Err(error) => {
                    runner.log(&format!("{SERVICE}: {}. API: UpdateAsync", error.text));
                    Ok((false, LuaValue::String(lua.create_string(error.text.as_bytes())?)))
                }
            },
        )?;
    let wrap = lua.load(include_str!("memory_update.luau")).set_name("=MemoryStore").into_function()?;
    let (open, close) = maker.ends(parts.write)?;
    let (read, write, pause) = (maker.part(parts.read)?, maker.part(parts.write)?, maker.part(parts.pause)?);
    let conflict = &*MemoryError::conflict().text;
    wrap.call((open, close, read, transform, write, pause, MEMORY_UPDATE_TRIES, conflict, is_sorted))
}

/// `None` if it cancels.
fn run_transform(
    lua: &Lua,
    vm: &Vm,
    callback: &Function,
    old: LuaValue,
    old_sort_key: Option<LuaValue>,
) -> Result<Option<Transformed>, CallError> {
    let is_sorted = old_sort_key.is_some();
    let arguments: MultiValue = [Some(old), old_sort_key].into_iter().flatten().collect();
    let results = transform::call(lua, vm, callback, arguments).map_err(|problem| {
        MemoryStatus::TransformCallbackFailed.error(format_args!("Transform function error {problem}"))
    })?;
    let at = |index: usize| results.get(index).cloned().unwrap_or(LuaValue::Nil);
    if at(0).is_nil() {
        return Ok(None);
    }
    let sort_key = if is_sorted { sort_key(&at(1))? } else { None };
    Ok(Some(Transformed { value: value(vm, &at(0), 1)?, sort_key }))
}

/// Checks what an `UpdateAsync` is called with, and reads: at once if it can be, so that no other coroutine of this VM comes
/// between the read and the write.
pub(super) fn read_for_update(
    vm: &Vm,
    lua: &Lua,
    arguments: &Arguments,
    call: MemoryCall,
) -> Result<Started, CallError> {
    call.validate()?;
    match arguments.at(2) {
        LuaValue::Function(_) => {}
        LuaValue::Nil => return Err(arguments::missing(2)),
        other => {
            let text = format_args!("Unable to cast {} to function", arguments::type_name(other));
            return Err(CallError::argument(text));
        }
    }
    check_expiration(expiration(arguments, 3)?)?;
    Ok(match vm.server.memory_read(call) {
        Found::Now(result) => Started::Ended(Ended::Done(result)),
        Found::Later(op) => vm.open_plain(lua, op),
    })
}

/// Value, sort key and revision of what was read.
#[expect(clippy::cast_precision_loss, reason = "a game makes fewer than 2^53 calls")]
pub(super) fn finish_read(lua: &Lua, reply: &Reply) -> mlua::Result<Told> {
    let Some(StoredItem { value, sort_key, revision }) = item(reply)? else {
        return Ok((3, LuaValue::Nil, LuaValue::Nil, LuaValue::Number(0.0)));
    };
    let sort_key = sort_key_value(lua, sort_key.as_ref())?;
    Ok((3, decode(lua, value.json())?, sort_key, LuaValue::Number(*revision as f64)))
}

/// The write of an update: called with the key, what the transform returned, the revision that was read, the expiration.
pub(super) fn write_of_update(
    vm: &Vm,
    lua: &Lua,
    arguments: &Arguments,
    call: impl FnOnce(Arc<str>, Write) -> MemoryCall,
) -> Result<Started, CallError> {
    let (LuaValue::UserData(transformed), Some(revision)) = (arguments.at(2), arguments::number(arguments.at(3)))
    else {
        return Err(MemoryError::internal().into());
    };
    let Ok(transformed) = transformed.borrow::<Transformed>() else { return Err(MemoryError::internal().into()) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was made of one")]
    let write = transformed.write(expiration(arguments, 4)?, revision as u64);
    let (value, sort_key) = (transformed.value.clone(), transformed.sort_key.clone());
    let call = call(key(arguments)?, write);
    submit_with(
        vm,
        lua,
        call,
        Box::new(move |lua, reply| match answered(reply)? {
            MemoryReply::Changed => Ok(one(LuaValue::Boolean(false))),
            MemoryReply::Written { .. } => {
                Ok((3, LuaValue::Boolean(true), decode(lua, value.json())?, sort_key_value(lua, sort_key.as_ref())?))
            }
            other => Err(unexpected(other)),
        }),
    )
}

/// A wait of one poll.
pub(super) fn start_pause(vm: &Shared<Vm>, lua: &Lua, _: &Arguments) -> Result<Started, CallError> {
    Ok(vm.sleep(lua, std::time::Duration::ZERO))
}

pub(super) fn finish_pause(_: &Lua, _: &Reply) -> mlua::Result<Told> {
    Ok(none())
}
