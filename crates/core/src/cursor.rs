//! Where a list goes on, as a text that scripts keep (spec §2.10, §2.11).
//!
//! Owns: the form of cursors, and that each goes on with the query that it is of, and with no other. Does not own: pages
//! (`listing`). A cursor is no secret: it says nothing that the list has not said.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{CallError, ErrorCode};

/// `InvalidExclusiveStartKey` (spec §5.3): of a text that is no cursor of the list that it was passed to.
pub(crate) fn invalid() -> CallError {
    ErrorCode::InvalidExclusiveStartKey.rejected("The cursor is not one of this list.")
}

/// First byte of all cursors: the form of what follows.
const FORM: u8 = 1;
/// Bytes in front of the place: the form and the query.
const HEAD: usize = 9;

/// What a cursor is of: equal queries give equal numbers, in every process and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryId(u64);

impl QueryId {
    /// Of a kind of list and all that its items depend on, but where it goes on and how many are asked for.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        // FNV-1a, because it never changes. The byte behind each part is none that UTF-8 has: parts do not run together.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0xff]));
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, fold))
    }

    /// The cursor that goes on behind a place.
    pub fn cursor(self, place: &str) -> String {
        let mut bytes = Vec::with_capacity(HEAD + place.len());
        bytes.push(FORM);
        bytes.extend(self.0.to_be_bytes());
        bytes.extend(place.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place behind which a cursor goes on.
    ///
    /// # Errors
    /// `InvalidExclusiveStartKey` (spec §5.3) for a text that is no cursor of this query.
    pub fn place(self, cursor: &[u8]) -> Result<String, CallError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
        let (head, place) = bytes.split_at_checked(HEAD).ok_or_else(invalid)?;
        let expected = [FORM].into_iter().chain(self.0.to_be_bytes());
        if !head.iter().copied().eq(expected) {
            return Err(invalid());
        }
        String::from_utf8(place.to_vec()).map_err(|_| invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_with_its_own_query_alone() {
        let query = QueryId::of(["keys", "Coins", "a"]);
        let cursor = query.cursor("global\u{0}k/1");
        assert_eq!(query.place(cursor.as_bytes()).as_deref(), Ok("global\u{0}k/1"));
        for other in [QueryId::of(["keys", "Coinsa", ""]), QueryId::of(["keys", "Coins", "a", ""])] {
            let error = other.place(cursor.as_bytes()).expect_err("another list");
            assert!(error.text.contains("InvalidExclusiveStartKey"), "{error}");
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let query = QueryId::of(["keys"]);
        let cursor = query.cursor("k");
        let cut = &cursor[..cursor.len() - 3];
        for text in ["", "x", "k", "=", "\u{e9}", cut, " ", &cursor.replace('A', "B")] {
            assert!(query.place(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(query.place(&[0xff, 0xfe]).is_err());
        assert_eq!(query.place(query.cursor("").as_bytes()).as_deref(), Ok(""));
    }

    #[test]
    fn the_form_stays() {
        // Scripts may have kept it from an earlier release.
        assert_eq!(QueryId::of(["keys", "Coins"]).cursor("k"), "AWXhhoN1SGohaw");
    }
}
