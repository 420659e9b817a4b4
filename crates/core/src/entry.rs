//! What is stored under a key: one revision of it, with everything that `DataStoreKeyInfo` shows.
//!
//! Owns: the state of a key at one revision and how version ids are written and read. Does not own: how one revision follows
//! from another (`ops`), nor which old ones are kept (`versioning`).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::limits::HISTORY_DAYS_MAX;
use crate::value::Value;

/// What a write may pass beside the value. Omitted means cleared (spec §2.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Ids of the users whom the entry concerns; at most 4.
    pub user_ids: Vec<i64>,
    /// A JSON object; empty bytes for none.
    pub metadata: Bytes,
}

/// One revision of a key. Revision 0 is a key that was never written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Counts the accepted writes of the key, removals included (A4: grows by one).
    pub revision: u64,
    /// When the key was first written.
    pub created: Timestamp,
    /// When this revision was accepted; grows with every revision.
    pub updated: Timestamp,
    /// The value; `None` for a tombstone and for a key that was never written.
    pub value: Option<Value>,
    /// User ids and metadata.
    pub attributes: Attributes,
}

impl Entry {
    /// The revision that follows this one when `value` is written at `at`.
    #[must_use]
    pub fn successor(&self, value: Option<Value>, attributes: Attributes, at: Timestamp) -> Self {
        let updated = if self.revision == 0 { at } else { at.max(self.updated.next()) };
        let created = if self.revision == 0 || self.is_expired(updated) { updated } else { self.created };
        Self { revision: self.revision + 1, created, updated, value, attributes }
    }

    /// It is a tombstone that is not kept any more, whether or not it is deleted yet: the key counts as never written.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.value.is_none() && self.updated < now.days_before(HISTORY_DAYS_MAX)
    }

    /// The version id that scripts see.
    pub fn version(&self) -> VersionId {
        VersionId { created: self.created, revision: self.revision, updated: self.updated }
    }

    /// Bytes that its value and attributes take.
    pub fn payload_bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |v| v.json().len())
            + self.attributes.metadata.len()
            + self.attributes.user_ids.len() * 8
    }
}

/// A version id: `CCCCCCCCCCCCCCCC.NNNNNNNNNN.VVVVVVVVVVVVVVVV.01` (spec §2.7), C and V in .NET ticks as hex.
/// Its order as text is the order of the revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionId {
    /// When the key was first written.
    pub created: Timestamp,
    /// Which revision it is.
    pub revision: u64,
    /// When that was accepted.
    pub updated: Timestamp,
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}.{:010}.{:016X}.01", self.created.dotnet_ticks(), self.revision, self.updated.dotnet_ticks())
    }
}

impl FromStr for VersionId {
    type Err = ParseVersionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<_> = text.split('.').collect();
        let ticks = |hex| Timestamp::from_dotnet_ticks(u64::from_str_radix(hex, 16).ok()?);
        let parse = || match parts[..] {
            [created, revision, updated, _] => {
                Some(Self { created: ticks(created)?, revision: revision.parse().ok()?, updated: ticks(updated)? })
            }
            _ => None,
        };
        // Written back it must be the same: no other digits, lengths or signs name a version.
        parse().filter(|id| id.to_string() == text).ok_or_else(|| ParseVersionIdError(text.to_owned()))
    }
}

/// A text that no version id is written like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version id")]
pub struct ParseVersionIdError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_ids_match_the_documented_sample() {
        // Spec §2.7: 08D9E6A3F2188CFF is 2022-02-02T23:30:06.5388799Z.
        let created = Timestamp::from_ticks(16_438_446_065_388_799);
        let entry = Entry { revision: 3, created, updated: created, ..Entry::default() };
        assert_eq!(entry.version().to_string(), "08D9E6A3F2188CFF.0000000003.08D9E6A3F2188CFF.01");
        assert_eq!("08D9E6A3F2188CFF.0000000003.08D9E6A3F2188CFF.01".parse(), Ok(entry.version()));
    }

    #[test]
    fn only_what_a_version_id_is_written_like_is_read_as_one() {
        let good = "08D9E6A3F2188CFF.0000000003.08D9E6DE485A7680.01";
        let bad = [
            String::new(),
            good.to_lowercase(),
            good.replace(".01", ".02"),
            good.replace(".01", ""),
            good.replace("0000000003", "3"),
            good.replace("0000000003", "+000000003"),
            // Before 1970.
            good.replace("08D9E6A3F2188CFF", "0000000000000001"),
            format!("{good}.01"),
            format!(" {good}"),
        ];
        for text in bad {
            assert_eq!(text.parse::<VersionId>(), Err(ParseVersionIdError(text.clone())));
        }
    }

    #[test]
    fn its_bytes_are_those_of_all_its_parts() {
        let attributes = Attributes { user_ids: vec![7, 8, 9], metadata: r#"{"a":1}"#.into() };
        let entry = Entry { value: Value::new("[1,2]").ok(), attributes, ..Entry::default() };
        assert_eq!(entry.payload_bytes(), 5 + 7 + 24);
        assert_eq!(Entry::default().payload_bytes(), 0);
    }

    #[test]
    fn a_key_is_created_anew_when_its_tombstone_is_not_kept_any_more() {
        let day = |number: u64| Timestamp::from_unix_ms(number * 86_400_000);
        let removed = Entry { revision: 2, created: day(1), updated: day(2), ..Entry::default() };
        let created = |at| removed.successor(Some(Value::integer(1)), Attributes::default(), at).created;
        assert_eq!((created(day(32)), created(day(32).next())), (day(1), day(32).next()));
        let live = Entry { value: Some(Value::integer(1)), ..removed };
        assert_eq!(live.successor(None, Attributes::default(), day(99)).created, day(1));
    }

    #[test]
    fn times_grow_even_when_the_clock_goes_back() {
        let at = Timestamp::from_unix_ms(1_000);
        let first = Entry::default().successor(Some(Value::integer(1)), Attributes::default(), at);
        let second = first.successor(None, Attributes::default(), Timestamp::from_unix_ms(500));
        assert_eq!((second.revision, second.created, second.updated), (2, at, at.next()));
    }
}
