//! JSON bytes → Luau value.
//!
//! Owns: building fresh tables (no metatables, so that scripts may set their own) straight from the text. Does not own:
//! caching.

use std::borrow::Cow;
use std::cell::Cell;

use mlua::{Lua, LuaString, Table, Value as LuaValue};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::buffers::{self, COMPRESSED, INFLATED_BYTES_MAX, PLAIN};
use super::{TAG_MARK, TAG_TYPE};

/// Makes a fresh Luau value of stored JSON.
///
/// # Errors
/// If the text is not JSON, or the VM is out of memory.
pub fn decode(lua: &Lua, json: &[u8]) -> mlua::Result<LuaValue> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let left = Cell::new(INFLATED_BYTES_MAX);
    ToLua { lua, left: &left }.deserialize(&mut deserializer).map_err(mlua::Error::external)
}

#[derive(Clone, Copy)]
struct ToLua<'a> {
    lua: &'a Lua,
    /// Bytes that compressed buffers may still inflate to.
    left: &'a Cell<u64>,
}

impl<'de> DeserializeSeed<'de> for ToLua<'_> {
    type Value = LuaValue;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<LuaValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ToLua<'_> {
    type Value = LuaValue;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a stored value")
    }

    fn visit_unit<E: Error>(self) -> Result<LuaValue, E> {
        Ok(LuaValue::Nil)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<LuaValue, E> {
        Ok(LuaValue::Boolean(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "Luau numbers are doubles")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<LuaValue, E> {
        Ok(LuaValue::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "Luau numbers are doubles")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<LuaValue, E> {
        Ok(LuaValue::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<LuaValue, E> {
        Ok(LuaValue::Number(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<LuaValue, E> {
        self.lua.create_string(value).map(LuaValue::String).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<LuaValue, A::Error> {
        let table = self.lua.create_table().map_err(A::Error::custom)?;
        let mut index = 0;
        while let Some(value) = elements.next_element_seed(self)? {
            index += 1;
            if !value.is_nil() {
                table.raw_seti(index, value).map_err(A::Error::custom)?;
            }
        }
        Ok(LuaValue::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<LuaValue, A::Error> {
        let table = self.lua.create_table().map_err(A::Error::custom)?;
        let (mut first, mut marked) = (true, false);
        while let Some(name) = members.next_key_seed(Name)? {
            let value = members.next_value_seed(self)?;
            marked |= first && value.is_nil() && name == TAG_MARK;
            first = false;
            self.set(&table, &name, value)?;
        }
        // What other programs store may begin so too: it is a tag only if it is a whole one.
        let tagged = if marked { self.tagged(&table).map_err(A::Error::custom)? } else { None };
        Ok(tagged.unwrap_or(LuaValue::Table(table)))
    }
}

impl ToLua<'_> {
    fn set<E: Error>(self, table: &Table, name: &str, value: LuaValue) -> Result<(), E> {
        if value.is_nil() {
            return Ok(());
        }
        table.raw_set(name, value).map_err(E::custom)
    }

    /// The value that a tagged object stands for.
    fn tagged(self, members: &Table) -> mlua::Result<Option<LuaValue>> {
        let text =
            |name: &str| members.raw_get::<Option<LuaString>>(name).ok().flatten().map(|text| text.to_string_lossy());
        let number = |number| Ok(Some(LuaValue::Number(number)));
        let bytes = match (text(TAG_TYPE).as_deref(), text("v").as_deref()) {
            (Some("numeric"), Some("nan")) => return number(f64::NAN),
            (Some("numeric"), Some("inf")) => return number(f64::INFINITY),
            (Some("numeric"), Some("-inf")) => return number(f64::NEG_INFINITY),
            (Some("buffer"), _) => match (text(PLAIN), text(COMPRESSED)) {
                (Some(base64), _) => buffers::plain(&base64)?,
                (None, Some(base64)) => buffers::compressed(&base64, self.left)?,
                (None, None) => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.lua.create_buffer(bytes).map(|buffer| Some(LuaValue::Buffer(buffer)))
    }
}

/// A member name, borrowed from the text where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a member name")
    }
    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
