//! JSON of `HttpService`.
//!
//! Owns: which Lua value becomes which JSON text and back. Does not own the texts of errors: the prelude raises them.

use mlua::{Lua, Result, Table, Value};
use serde_json::{Number, Value as Json};

/// Tables inside tables; also what `serde_json` reads at most.
const DEPTH: usize = 127;

/// Why a value has no JSON form; the text that the script gets.
type Refused = &'static str;

/// A Lua value as JSON text.
pub(crate) fn encode(value: &Value) -> std::result::Result<String, Refused> {
    let json = to_json(value, DEPTH)?;
    Ok(json.to_string())
}

/// The Lua value of a JSON text; `None` if it is not JSON.
pub(crate) fn decode(lua: &Lua, text: &[u8]) -> Result<Option<Value>> {
    match serde_json::from_slice::<Json>(text) {
        Ok(json) => to_lua(lua, &json).map(Some),
        Err(_) => Ok(None),
    }
}

fn to_json(value: &Value, depth: usize) -> std::result::Result<Json, Refused> {
    match value {
        Value::Boolean(truth) => Ok(Json::Bool(*truth)),
        Value::Integer(number) => Ok(Json::from(*number)),
        Value::Number(number) => number_to_json(*number),
        Value::String(text) => match text.to_str() {
            Ok(text) => Ok(Json::String(text.to_owned())),
            Err(_) => Err("Can't convert to JSON: a string is not valid UTF-8"),
        },
        Value::Table(_) if depth == 0 => Err("Can't convert to JSON: tables are cyclic or nested too deeply"),
        Value::Table(table) => table_to_json(table, depth - 1),
        // Functions, Instances and the like have no JSON form and become null, as on Roblox.
        _ => Ok(Json::Null),
    }
}

fn number_to_json(number: f64) -> std::result::Result<Json, Refused> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within 2^53")]
        return Ok(Json::from(number as i64));
    }
    Number::from_f64(number).map(Json::Number).ok_or("Can't convert to JSON: NaN and infinity have no JSON form")
}

/// With an array part it is an array, else an object; an empty table is an array.
fn table_to_json(table: &Table, depth: usize) -> std::result::Result<Json, Refused> {
    let length = table.raw_len();
    if length > 0 || table.is_empty() {
        let at = |index| table.raw_get::<Value>(index).unwrap_or(Value::Nil);
        return (1..=length)
            .map(|index| to_json(&at(index), depth))
            .collect::<std::result::Result<_, _>>()
            .map(Json::Array);
    }
    let mut object = serde_json::Map::new();
    for pair in table.pairs::<Value, Value>() {
        let Ok((Value::String(key), value)) = pair else { return Err("Can't convert to JSON: keys must be strings") };
        let Ok(key) = key.to_str() else { return Err("Can't convert to JSON: a key is not valid UTF-8") };
        object.insert(key.to_owned(), to_json(&value, depth)?);
    }
    Ok(Json::Object(object))
}

fn to_lua(lua: &Lua, json: &Json) -> Result<Value> {
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (index, item) in items.iter().enumerate() {
                table.raw_set(index + 1, to_lua(lua, item)?)?;
            }
            Value::Table(table)
        }
        Json::Object(items) => {
            let table = lua.create_table_with_capacity(0, items.len())?;
            for (key, item) in items {
                table.raw_set(key.as_str(), to_lua(lua, item)?)?;
            }
            Value::Table(table)
        }
    })
}
