//! What is in the database, and how a transaction changes it.
//!
//! Owns: rows of keys, incarnations and lanes, and after-images of them: applied in the order of the log they give the same
//! tables anywhere. Does not own: who may see which state (`store`), what statements do (`statements`).

use std::collections::BTreeMap;
use std::sync::Arc;

use clawstore_core::backend::{Fence, Incarnation, LaneId, RowOutcome};
use clawstore_core::{Entry, EntryKey};

/// A key.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The row was made: by an acquisition.
    pub is_there: bool,
    /// The newest revision.
    pub entry: Arc<Entry>,
    /// Of the last acquisition, or of all who share the key; `None` if it was given back.
    pub fence: Option<Fence>,
    /// Everyone writes it, under one fence.
    pub is_shared: bool,
    /// Who holds the lease, alive or not.
    pub owner: Option<Incarnation>,
    /// Who asked while another held it, and whom: the owner of then.
    pub wanted: Option<(Incarnation, Incarnation)>,
}

/// A start of a server.
#[derive(Debug, Clone, Copy)]
pub struct IncarnationRow {
    /// Neither dead nor gone.
    pub is_alive: bool,
    /// How often it has said so.
    pub beats: u64,
}

/// A lane with the answer to its last batch.
#[derive(Debug, Clone, Default)]
pub struct LaneRow {
    /// Number of the last batch that committed.
    pub seq: u64,
    /// Its digest.
    pub digest: u64,
    /// Its answer.
    pub outcomes: Arc<[RowOutcome]>,
}

/// After-image of one row.
#[derive(Debug, Clone)]
pub enum Change {
    /// Of a key, by its number.
    Key(usize, Row),
    /// Of an incarnation.
    Incarnation(Incarnation, IncarnationRow),
    /// Of a lane; `None`: deleted.
    Lane(LaneId, Option<LaneRow>),
}

/// All rows.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Names of the keys, by number.
    pub names: Arc<[EntryKey]>,
    /// Of the log: another one with every promotion.
    pub timeline: u32,
    /// Keys, by number.
    pub keys: Vec<Row>,
    /// Incarnations.
    pub incarnations: BTreeMap<Incarnation, IncarnationRow>,
    /// Lanes.
    pub lanes: BTreeMap<LaneId, LaneRow>,
}

impl Tables {
    /// Empty, with room for keys.
    pub fn new(names: Arc<[EntryKey]>) -> Self {
        Self { keys: vec![Row::default(); names.len()], names, timeline: 1, ..Self::default() }
    }

    /// Known, and neither dead nor gone.
    pub fn is_alive(&self, incarnation: Incarnation) -> bool {
        self.incarnations.get(&incarnation).is_some_and(|row| row.is_alive)
    }

    /// Takes a change over.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Key(key, row) => self.keys[*key] = row.clone(),
            Change::Incarnation(incarnation, row) => drop(self.incarnations.insert(*incarnation, *row)),
            Change::Lane(lane, Some(row)) => drop(self.lanes.insert(*lane, row.clone())),
            Change::Lane(lane, None) => drop(self.lanes.remove(lane)),
        }
    }
}
