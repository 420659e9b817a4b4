//! Which entry a row of the source becomes.
//!
//! Owns: names, scope and value of the entry, and why a row cannot be one. Does not own: rows that exist already (`import`).

use std::sync::Arc;

use clawstore_core::entry::Attributes;
use clawstore_core::entry_key::DEFAULT_SCOPE;
use clawstore_core::limits::VALUE_BYTES_MAX;
use clawstore_core::ops::Set;
use clawstore_core::{CallError, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_postgres::clawblox::{SourceRow, SourceValue};

use super::Refused;

/// What a row turns out to be.
pub(super) enum Found {
    Entry { key: EntryKey, set: Set },
    Removed,
    Refused(Refused),
}

/// Makes entries of rows.
pub(super) struct Reading {
    ordered: Vec<String>,
    /// The store of the last row: rows come store by store, and keys of one share it.
    store: Option<Arc<StoreId>>,
}

impl Reading {
    pub(super) fn new(ordered: Vec<String>) -> Self {
        Self { ordered, store: None }
    }

    pub(super) fn row(&mut self, row: SourceRow) -> Found {
        match self.entry(&row) {
            Ok(Some((key, set))) => Found::Entry { key, set },
            Ok(None) => Found::Removed,
            Err(reason) => Found::Refused(Refused { game: row.game, store: row.store, key: row.key, reason }),
        }
    }

    /// The entry; `None` if the row marks a removed one.
    fn entry(&mut self, row: &SourceRow) -> Result<Option<(EntryKey, Set)>, String> {
        let json = match &row.value {
            SourceValue::Removed => return Ok(None),
            SourceValue::Json(json) => json,
            SourceValue::TooLarge { bytes } => {
                return Err(format!("105: Serialized value exceeds {VALUE_BYTES_MAX} limit. ({bytes} bytes)"));
            }
        };
        let refused = |error: CallError| error.text.to_string();
        let store = self.store(row)?;
        let key = EntryKey::new(&store, row.key.as_bytes()).map_err(refused)?;
        let set = Set { value: value(json)?, attributes: Attributes::default() };
        // What an ordered store does not take is known before it is asked.
        set.validate(store.kind).map_err(refused)?;
        Ok(Some((key, set)))
    }

    fn store(&mut self, row: &SourceRow) -> Result<Arc<StoreId>, String> {
        let game: GameId = row.game.parse().map_err(|error| format!("{error}"))?;
        if let Some(store) = self.store.as_ref().filter(|store| store.game == game && *store.name == *row.store) {
            return Ok(Arc::clone(store));
        }
        let kind = if self.ordered.contains(&row.store) { StoreKind::Ordered } else { StoreKind::Standard };
        let store = StoreId::new(game, kind, row.store.as_bytes(), DEFAULT_SCOPE.as_bytes());
        let store = Arc::new(store.map_err(|error| error.text.to_string())?);
        self.store = Some(Arc::clone(&store));
        Ok(store)
    }
}

/// The value without the blanks and digits that Postgres adds: scripts see the same.
fn value(json: &str) -> Result<Value, String> {
    let tree: serde_json::Value =
        serde_json::from_str(json).map_err(|error| format!("the value cannot be read: {error}"))?;
    Value::new(tree.to_string()).map_err(|error| error.text.to_string())
}
