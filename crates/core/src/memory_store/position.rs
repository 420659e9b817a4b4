//! Where an item stands in a sorted map.
//!
//! Owns: sort keys and the order of spec §7.1: items with a number first, then those with a text, then those without a sort
//! key; among equals by key. Does not own: items.

use std::cmp::Ordering;
use std::sync::Arc;

/// A finite number, so that all have an order. 0 and -0 are one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Number(f64);

impl Number {
    /// `None` for NaN and infinities, which JSON cannot write.
    pub fn new(number: f64) -> Option<Self> {
        // Adding 0 makes 0 of -0.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

/// What an item of a sorted map is sorted by. Texts are in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    /// Before all texts.
    Number(Number),
    /// After all numbers.
    Text(Arc<str>),
}

impl SortKey {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Number(_) => size_of::<f64>(),
            Self::Text(text) => text.len(),
        }
    }
}

/// The place of an item, or of a bound between items. Ordered by its fields, in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    has_no_sort_key: bool,
    sort_key: Option<SortKey>,
    place: Place,
}

/// Among those with the same sort key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Below,
    Key(Arc<str>),
    Above,
}

impl Position {
    pub(super) fn new(sort_key: Option<SortKey>, place: Place) -> Self {
        Self { has_no_sort_key: sort_key.is_none(), sort_key, place }
    }

    pub(super) fn of(key: &Arc<str>, sort_key: Option<&SortKey>) -> Self {
        Self::new(sort_key.cloned(), Place::Key(Arc::clone(key)))
    }

    /// The key of an item's place; none for a bound.
    pub(super) fn key(&self) -> Option<&Arc<str>> {
        match &self.place {
            Place::Key(key) => Some(key),
            Place::Below | Place::Above => None,
        }
    }
}
