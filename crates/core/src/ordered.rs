//! What ordered stores accept, and by which number their entries are sorted.
//!
//! Owns: the one place that decides both (spec §3.1; `decisions.md` 3), for calls before they are queued and for backends
//! that keep the number in an index. Does not own: the order itself (`backend::SortedQuery`), increments (`ops`), the scores
//! that games of the Clawblox engine store as well (`scores`).

use crate::entry::{Attributes, Entry};
use crate::entry_key::{EntryKey, StoreKind};
use crate::error::{CallError, ErrorCode};
use crate::scores;
use crate::value::Value;

/// The number that a value is sorted by: the value itself, exact over all of int64.
///
/// # Errors
/// 103 for what is not a whole number, with Roblox's name of its type; 502 for one beyond int64.
pub fn number(value: &Value) -> Result<i64, CallError> {
    let text = std::str::from_utf8(value.json()).unwrap_or_default().trim_ascii();
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match text.parse::<f64>() {
        Ok(number) if !(-TWO_POW_63..TWO_POW_63).contains(&number) => Err(beyond_int64()),
        Ok(number) if number.fract() != 0.0 => Err(not_allowed("double")),
        #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
        Ok(number) => Ok(number as i64),
        Err(_) => Err(refused(text)),
    }
}

/// The first number beyond int64.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// What a number that JSON has no digits for is stored as, up to its name (spec §4).
const TAGGED_NUMBER: &str = r#"{"m":null,"t":"numeric","v":""#;
/// The same for a buffer.
const TAGGED_BUFFER: &str = r#"{"m":null,"t":"buffer","#;

/// Why a text that is no number is not accepted.
fn refused(json: &str) -> CallError {
    match json.as_bytes().first() {
        Some(b'[') => not_allowed("Array"),
        Some(b'{') => match json.strip_prefix(TAGGED_NUMBER) {
            Some(name) if name.starts_with("nan") => not_allowed("double"),
            Some(_) => beyond_int64(),
            None if json.starts_with(TAGGED_BUFFER) => not_allowed("buffer"),
            None => not_allowed("Dictionary"),
        },
        Some(b'"') => not_allowed("string"),
        Some(b't' | b'f') => not_allowed("bool"),
        _ => not_allowed("nil"),
    }
}

fn not_allowed(kind: &str) -> CallError {
    ErrorCode::ValueNotAllowed.error(format_args!("{kind} is not allowed in data stores."))
}

pub(crate) fn beyond_int64() -> CallError {
    ErrorCode::RequestRejected.error("API Services rejected request with error. HTTP 400 (Bad Request)")
}

/// Ordered stores have neither user ids nor metadata.
///
/// # Errors
/// 517, naming which of them was passed.
pub(crate) fn check_attributes(attributes: &Attributes) -> Result<(), CallError> {
    let refuse =
        |name| Err(ErrorCode::ParameterNotAllowed.error(format_args!("Additional parameter {name} not allowed")));
    match attributes {
        Attributes { user_ids, .. } if !user_ids.is_empty() => refuse("UserIds"),
        Attributes { metadata, .. } if !metadata.is_empty() => refuse("Options"),
        Attributes { .. } => Ok(()),
    }
}

/// What a backend keeps beside an entry to sort by, if it is a live one of an ordered store: its number, or its score
/// rounded down ([`scores`]).
pub fn sort_number(key: &EntryKey, entry: &Entry) -> Option<i64> {
    if key.store.kind != StoreKind::Ordered {
        return None;
    }
    scores::floor(entry.value.as_ref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<i64, String> {
        number(&Value::new(json.to_owned()).expect("short")).map_err(|error| error.text.into())
    }

    #[test]
    fn whole_numbers_are_exact_over_int64() {
        for text in ["0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(read(text).map(|number| number.to_string()), Ok(text.to_owned()));
        }
        // As doubles are written that are whole.
        assert_eq!([read("-0.0"), read("1e17"), read(" 3.0 ")], [Ok(0), Ok(100_000_000_000_000_000), Ok(3)]);
        assert_eq!(read("-9.223372036854775808e18"), Ok(i64::MIN));
    }

    #[test]
    fn what_is_not_a_whole_number_is_refused_by_the_name_of_its_type() {
        let types = [
            ("0.5", "double"),
            ("1e-7", "double"),
            (r#"{"m":null,"t":"numeric","v":"nan"}"#, "double"),
            (r#"{"m":null,"t":"buffer","base64":""}"#, "buffer"),
            (r#""5""#, "string"),
            ("[]", "Array"),
            (r#"{"score":5}"#, "Dictionary"),
            ("true", "bool"),
            ("false", "bool"),
            ("null", "nil"),
        ];
        for (json, name) in types {
            assert_eq!(read(json), Err(format!("103: {name} is not allowed in data stores.")), "{json}");
        }
        let beyond = "502: API Services rejected request with error. HTTP 400 (Bad Request)";
        let inf = |sign| format!(r#"{{"m":null,"t":"numeric","v":"{sign}inf"}}"#);
        for json in ["9223372036854775808", "1e300", "-1e300", "1e999", &inf(""), &inf("-")] {
            assert_eq!(read(json), Err(beyond.to_owned()), "{json}");
        }
    }

    #[test]
    fn live_entries_of_ordered_stores_are_sorted_by_their_number() {
        use crate::entry_key::{GameId, StoreId};
        let number = |kind, json: Option<&str>| {
            let store = StoreId::new(GameId::Number(1), kind, b"Scores", b"global").expect("legal");
            let key = EntryKey::new(&std::sync::Arc::new(store), b"k").expect("legal");
            let value = json.map(|json| Value::new(json.to_owned()).expect("short"));
            sort_number(&key, &Entry { revision: 1, value, ..Entry::default() })
        };
        assert_eq!(number(StoreKind::Ordered, Some("-7")), Some(-7));
        assert_eq!(number(StoreKind::Ordered, Some(r#"{"score":2.5}"#)), Some(2));
        assert_eq!(number(StoreKind::Ordered, Some("\"7\"")), None, "what is stored and no number is not listed");
        assert_eq!(number(StoreKind::Ordered, None), None);
        assert_eq!(number(StoreKind::Standard, Some("7")), None);
    }

    #[test]
    fn attributes_are_refused_by_name() {
        let check = |user_ids: &[i64], metadata: &'static str| {
            let attributes = Attributes { user_ids: user_ids.to_vec(), metadata: metadata.into() };
            attributes.validate(StoreKind::Ordered).map_err(|error| error.text.to_string())
        };
        assert_eq!(check(&[], ""), Ok(()));
        assert_eq!(check(&[1], "{}"), Err("517: Additional parameter UserIds not allowed".into()));
        assert_eq!(check(&[], "{}"), Err("517: Additional parameter Options not allowed".into()));
    }
}
