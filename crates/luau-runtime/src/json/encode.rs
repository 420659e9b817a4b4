//! Lua value → JSON text.
//!
//! Owns: which value becomes which text, written straight into one buffer. A table that stands in several places is
//! written as often, so what ends the walk is the size of the text, the count of values and the script's time.

use std::ffi::c_void;
use std::io;

use mlua::{Lua, LuaString, Table, Value};
use serde::Serialize;

use super::{BYTES_PER_STEP, DEPTH_MAX, OUT_OF_MEMORY, Refused, TEXT_BYTES_MAX, VALUES_MAX};
use crate::guard::{EXHAUSTED, Guard};

const TOO_LONG: Refused = "Can't convert to JSON: the text would be longer than 64 MiB";
const TOO_MANY: Refused = "Can't convert to JSON: more than 4194304 values";
const TOO_DEEP: Refused = "Can't convert to JSON: tables are cyclic or nested too deeply";
const NO_TEXT: Refused = "Can't convert to JSON: a string is not valid UTF-8";
const NO_NUMBER: Refused = "Can't convert to JSON: NaN and infinity have no JSON form";
const NO_KEY: Refused = "Can't convert to JSON: keys must be strings";
const NO_KEY_TEXT: Refused = "Can't convert to JSON: a key is not valid UTF-8";

type Result<T> = std::result::Result<T, Refused>;

/// A Lua value as JSON text.
pub(crate) fn encode(lua: &Lua, guard: &Guard, value: &Value) -> Result<LuaString> {
    let mut encoder = Encoder { guard, text: Text(Vec::new()), values: 0, open: Vec::new() };
    encoder.value(value)?;
    let text = encoder.text.0;
    if guard.spend(text.len() / BYTES_PER_STEP) {
        return Err(EXHAUSTED);
    }
    lua.create_string(text).map_err(|_| OUT_OF_MEMORY)
}

/// A buffer that does not grow beyond the limit.
struct Text(Vec<u8>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Encoder<'a> {
    guard: &'a Guard,
    text: Text,
    /// Written so far; a name counts as one.
    values: usize,
    /// The tables being written, outermost first, so that a cycle is seen.
    open: Vec<*const c_void>,
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value) -> Result<()> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(TOO_MANY);
        } else if self.guard.spend(1) {
            return Err(EXHAUSTED);
        }
        match value {
            Value::Boolean(truth) => self.push(truth),
            Value::Integer(number) => self.push(number),
            Value::Number(number) => self.number(*number),
            Value::String(string) => self.string(string),
            Value::Table(table) => self.table(table),
            // Functions, Instances and the like have no JSON form and become null, as on Roblox.
            _ => self.push(&()),
        }
    }

    fn push(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        // Nothing else can fail: it is a single value, and the buffer is memory.
        serde_json::to_writer(&mut self.text, value).map_err(|_| TOO_LONG)
    }

    fn mark(&mut self, byte: u8) -> Result<()> {
        io::Write::write_all(&mut self.text, &[byte]).map_err(|_| TOO_LONG)
    }

    fn number(&mut self, number: f64) -> Result<()> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !number.is_finite() {
            return Err(NO_NUMBER);
        }
        if number.fract() == 0.0 && number.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within 2^53")]
            return self.push(&(number as i64));
        }
        self.push(&number)
    }

    fn string(&mut self, string: &LuaString) -> Result<()> {
        let bytes = string.as_bytes();
        // Before the look at each byte: the same long string may stand here many times.
        if bytes.len() > TEXT_BYTES_MAX {
            return Err(TOO_LONG);
        }
        self.push(std::str::from_utf8(&bytes).map_err(|_| NO_TEXT)?)
    }

    /// With an array part it is an array, else an object; an empty table is an array.
    fn table(&mut self, table: &Table) -> Result<()> {
        let pointer = table.to_pointer();
        if self.open.len() == DEPTH_MAX || self.open.contains(&pointer) {
            return Err(TOO_DEEP);
        }
        self.open.push(pointer);
        match table.raw_len() {
            0 => self.object(table)?,
            length => self.array(table, length)?,
        }
        self.open.pop();
        Ok(())
    }

    fn array(&mut self, table: &Table, length: usize) -> Result<()> {
        for index in 1..=length {
            self.mark(if index == 1 { b'[' } else { b',' })?;
            let value = table.raw_get::<Value>(index).unwrap_or(Value::Nil);
            self.value(&value)?;
        }
        self.mark(b']')
    }

    fn object(&mut self, table: &Table) -> Result<()> {
        let names = self.names(table)?;
        self.values += names.len();
        self.mark(if names.is_empty() { b'[' } else { b'{' })?;
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                self.mark(b',')?;
            }
            self.push(name)?;
            self.mark(b':')?;
            let value = table.raw_get::<Value>(name.as_str()).unwrap_or(Value::Nil);
            self.value(&value)?;
        }
        self.mark(if names.is_empty() { b']' } else { b'}' })
    }

    /// The keys in order, so that equal tables have equal texts. Copies: the VM lends a limited number of handles.
    fn names(&self, table: &Table) -> Result<Vec<String>> {
        let (mut names, mut bytes) = (Vec::new(), self.text.0.len());
        for pair in table.pairs::<Value, Value>() {
            let Ok((Value::String(name), _)) = pair else { return Err(NO_KEY) };
            bytes += name.as_bytes().len();
            if bytes > TEXT_BYTES_MAX {
                return Err(TOO_LONG);
            } else if self.values + names.len() >= VALUES_MAX {
                return Err(TOO_MANY);
            } else if self.guard.spend(1) {
                return Err(EXHAUSTED);
            }
            names.push(name.to_str().map_err(|_| NO_KEY_TEXT)?.to_owned());
        }
        names.sort_unstable();
        Ok(names)
    }
}
