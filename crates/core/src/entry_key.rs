//! Who an entry is: (game, kind, store, scope, key), and which names are legal.
//!
//! Owns: identity and its checks (spec §1.1, §2.2; `decisions.md` 2, 4). Every row, slot and request carries the
//! whole identity, game included, so that nothing of one game can be read or written on behalf of another (A9).
//! Does not own: what is stored under a key.

use std::fmt;
use std::sync::Arc;

use crate::error::{CallError, ErrorCode};
use crate::limits::NAME_BYTES_MAX;

/// The scope of a store opened without one (spec §1).
pub const DEFAULT_SCOPE: &str = "global";
/// Scope of the global data store (spec §1).
pub const GLOBAL_STORE_SCOPE: &str = "u";
/// Name under which the global data store is kept: Roblox gives it none, and no script can open an empty name.
pub const GLOBAL_STORE_NAME: &str = "";

/// Which game: Roblox's universe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GameId {
    /// A game known by a number, as on Roblox.
    Number(u64),
    /// A game known by a UUID, as in Clawblox.
    Uuid(u128),
}

impl GameId {
    /// What scripts see as `game.GameId`: never 0, at most 2^53 - 1 (`decisions.md` 2; 0 puts several save
    /// libraries into mock mode).
    pub fn number(self) -> u64 {
        const MASK: u64 = (1 << 53) - 1;
        match self {
            Self::Number(number) => number,
            // Folding both halves keeps the number stable for a UUID of any version.
            Self::Uuid(uuid) => (((uuid >> 64) as u64 ^ uuid as u64) & MASK).max(1),
        }
    }
}

impl fmt::Display for GameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Uuid(uuid) => {
                let hex = format!("{uuid:032x}");
                let part = |from, to| hex.get(from..to).unwrap_or_default();
                write!(f, "{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
            }
        }
    }
}

impl std::str::FromStr for GameId {
    type Err = ParseGameIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseGameIdError(text.to_owned());
        if let Ok(number) = text.parse::<u64>() {
            return if number == 0 || number >= 1 << 53 { Err(error()) } else { Ok(Self::Number(number)) };
        }
        let hex: String = text.split('-').collect();
        if hex.len() != 32 || text.len() != 36 {
            return Err(error());
        }
        u128::from_str_radix(&hex, 16).map(Self::Uuid).map_err(|_| error())
    }
}

/// A game id that is neither a UUID nor a number from 1 to 2^53 - 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a game id: a UUID or a whole number from 1 to 2^53 - 1 is")]
pub struct ParseGameIdError(String);

/// Standard and ordered stores are separate namespaces (spec §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    /// `GetDataStore`, `GetGlobalDataStore`.
    Standard,
    /// `GetOrderedDataStore`.
    Ordered,
}

/// A store with its scope. Shared by all keys in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId {
    /// The game it belongs to.
    pub game: GameId,
    /// Its namespace.
    pub kind: StoreKind,
    /// Its name; empty for the global data store.
    pub name: Box<str>,
    /// Its scope.
    pub scope: Box<str>,
}

impl StoreId {
    /// Checks name and scope.
    ///
    /// # Errors
    /// The texts of spec §1.1; names and scopes are valid UTF-8 without NUL, 1 to 50 bytes (`decisions.md` 4).
    pub fn new(game: GameId, kind: StoreKind, name: &[u8], scope: &[u8]) -> Result<Self, CallError> {
        let name = check_name(name, "DataStore name")?;
        let scope = check_name(scope, "DataStore scope")?;
        Ok(Self { game, kind, name: name.into(), scope: scope.into() })
    }

    /// The store of `GetGlobalDataStore`.
    pub fn global(game: GameId) -> Self {
        Self { game, kind: StoreKind::Standard, name: GLOBAL_STORE_NAME.into(), scope: GLOBAL_STORE_SCOPE.into() }
    }
}

fn check_name<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, CallError> {
    let refuse = |problem: &str| Err(CallError::argument(format!("{what} {problem}")));
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => refuse("can't be empty string"),
        _ if bytes.len() > NAME_BYTES_MAX => refuse("is too long"),
        Err(_) => refuse("must be valid UTF-8"),
        Ok(name) if name.contains('\0') => refuse("can't contain a NUL character"),
        Ok(name) => Ok(name),
    }
}

/// The whole identity of an entry. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The store and scope it is in.
    pub store: Arc<StoreId>,
    /// Its name there.
    pub key: Arc<str>,
}

impl EntryKey {
    /// Checks a key.
    ///
    /// # Errors
    /// 101 for an empty key, 102 beyond 50 bytes (spec §5.2); a text of our own with code 102 for a key that is not
    /// UTF-8 or contains NUL (`decisions.md` 4).
    pub fn new(store: &Arc<StoreId>, key: &[u8]) -> Result<Self, CallError> {
        if key.is_empty() {
            return Err(ErrorCode::KeyNameEmpty.error("Key name can't be empty."));
        }
        if key.len() > NAME_BYTES_MAX {
            return Err(ErrorCode::KeyNameLimit.error("Key name exceeds the 50 character limit."));
        }
        let Ok(key) = std::str::from_utf8(key) else {
            return Err(ErrorCode::KeyNameLimit.error("Key name must be valid UTF-8."));
        };
        if key.contains('\0') {
            return Err(ErrorCode::KeyNameLimit.error("Key name can't contain a NUL character."));
        }
        Ok(Self { store: Arc::clone(store), key: key.into() })
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.store.name, self.store.scope, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Arc<StoreId> {
        Arc::new(StoreId::new(GameId::Number(1), StoreKind::Standard, b"Coins", b"global").expect("legal"))
    }

    #[test]
    fn keys_at_the_limit_and_beyond() {
        let key = |bytes: &[u8]| EntryKey::new(&store(), bytes).map(|k| k.key.len()).map_err(|e| e.text);
        assert_eq!(key(&[b'k'; 50]), Ok(50));
        assert_eq!(key(&[b'k'; 51]), Err("102: Key name exceeds the 50 character limit.".into()));
        assert_eq!(key(b""), Err("101: Key name can't be empty.".into()));
        assert_eq!(key(b"a\0b"), Err("102: Key name can't contain a NUL character.".into()));
        assert_eq!(key(&[0xff]), Err("102: Key name must be valid UTF-8.".into()));
    }

    #[test]
    fn store_names_and_scopes() {
        let open = |name: &[u8], scope: &[u8]| {
            StoreId::new(GameId::Number(1), StoreKind::Standard, name, scope).map(|_| ()).map_err(|e| e.text)
        };
        assert_eq!(open(&[b'n'; 50], &[b's'; 50]), Ok(()));
        assert_eq!(open(b"", b"s"), Err("DataStore name can't be empty string".into()));
        assert_eq!(open(&[b'n'; 51], b"s"), Err("DataStore name is too long".into()));
        assert_eq!(open(b"n", b""), Err("DataStore scope can't be empty string".into()));
        assert_eq!(open(b"n", &[b's'; 51]), Err("DataStore scope is too long".into()));
        assert_eq!(open(b"n\0", b"s"), Err("DataStore name can't contain a NUL character".into()));
        assert_eq!(open(b"n", b"\xff"), Err("DataStore scope must be valid UTF-8".into()));
        assert_eq!(EntryKey::new(&store(), b"k").expect("legal").to_string(), "Coins/global/k");
    }

    #[test]
    fn game_ids_round_trip() {
        for text in ["1", "9007199254740991", "67e55044-10b1-426f-9247-bb680e5fe0c8"] {
            let id: GameId = text.parse().expect(text);
            assert_eq!(id.to_string(), text);
            assert!((1..1 << 53).contains(&id.number()));
        }
        for text in ["0", "9007199254740992", "", "abc", "67e5504410b1426f9247bb680e5fe0c8"] {
            assert!(text.parse::<GameId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_game_with_a_uuid_has_a_number_of_both_its_halves() {
        // Stable: libraries keep it.
        let number = |text: &str| text.parse::<GameId>().expect(text).number();
        assert_eq!(number("67e55044-10b1-426f-9247-bb680e5fe0c8"), 821524683465383);
        assert_eq!(number("00000000-0000-0007-0000-000000000002"), 5);
        assert_eq!(number("00000000-0000-0003-0000-000000000003"), 1, "never 0");
    }
}
