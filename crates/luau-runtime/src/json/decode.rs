//! JSON text → Lua value.
//!
//! Owns: building tables straight from the text, so that all memory that this takes counts as the VM's.

use std::cell::Cell;
use std::fmt;

use mlua::{Lua, Table, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{BYTES_PER_STEP, OUT_OF_MEMORY, Refused, TEXT_BYTES_MAX, VALUES_MAX};
use crate::guard::{EXHAUSTED, Guard};

const NO_JSON: Refused = "Can't parse JSON";
const TOO_LONG: Refused = "Can't parse JSON: the text is longer than 64 MiB";
const TOO_MANY: Refused = "Can't parse JSON: more than 4194304 values";

/// The Lua value of a JSON text.
pub(crate) fn decode(lua: &Lua, guard: &Guard, text: &[u8]) -> Result<Value, Refused> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TOO_LONG);
    } else if guard.spend(text.len() / BYTES_PER_STEP) {
        return Err(EXHAUSTED);
    }
    let decoder = Decoder { lua, values: Cell::new(0), refused: Cell::new(NO_JSON) };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let decoded = decoder.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    if decoded.is_err() && decoder.refused.get() == OUT_OF_MEMORY {
        // The half that was built is garbage; without it there is room for the error.
        let _ = lua.gc_collect();
    }
    decoded.map_err(|_| decoder.refused.get())
}

struct Decoder<'a> {
    lua: &'a Lua,
    /// Read so far; a name counts as one.
    values: Cell<usize>,
    /// What the script is told if this fails.
    refused: Cell<Refused>,
}

impl Decoder<'_> {
    fn refuse<E: Error>(&self, refused: Refused) -> E {
        self.refused.set(refused);
        E::custom(refused)
    }

    /// What the VM has made. It makes strings and tables unless it has no memory.
    fn made<T, E: Error>(&self, made: mlua::Result<T>) -> Result<T, E> {
        made.map_err(|_| self.refuse(OUT_OF_MEMORY))
    }

    /// With room for its nulls: `#` then counts them, unless they are the last.
    fn with_holes(&self, items: &Table, length: usize) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(length, 0)?;
        for index in 1..=length {
            table.raw_set(index, items.raw_get::<Value>(index)?)?;
        }
        Ok(table)
    }
}

impl<'de> DeserializeSeed<'de> for &Decoder<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > VALUES_MAX {
            return Err(self.refuse(TOO_MANY));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Decoder<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "Luau numbers are doubles")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "Luau numbers are doubles")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.made(self.lua.create_string(value)).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let table = self.made(self.lua.create_table())?;
        let (mut length, mut holes) = (0, false);
        while let Some(item) = items.next_element_seed(self)? {
            length += 1;
            if item.is_nil() {
                holes = true;
            } else {
                self.made(table.raw_set(length, item))?;
            }
        }
        let table = if holes { self.made(self.with_holes(&table, length))? } else { table };
        Ok(Value::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let table = self.made(self.lua.create_table())?;
        while let Some(name) = members.next_key_seed(self)? {
            let value = members.next_value_seed(self)?;
            self.made(table.raw_set(name, value))?;
        }
        Ok(Value::Table(table))
    }
}
