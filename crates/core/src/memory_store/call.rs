//! The calls on memory stores, and what they are answered.
//!
//! Owns: their parameters with the checks that need no stored state (spec §7.1). Does not own: what they do.

use std::sync::Arc;

use super::error::{MemoryError, MemoryStatus};
use super::position::{Number, SortKey};
use crate::limits::{
    MEMORY_EXPIRATION_SECONDS_MAX, MEMORY_KEY_BYTES_MAX, MEMORY_NAME_BYTES_MAX, MEMORY_RANGE_MAX, MEMORY_READ_MAX,
    MEMORY_VALUE_BYTES_MAX,
};
use crate::value::Value;

/// A call on a structure of a game. The three kinds are apart: a queue and a map may have one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryCall {
    /// On the sorted map of this name.
    SortedMap(Arc<str>, SortedMapCall),
    /// On the queue of this name.
    Queue(Arc<str>, QueueCall),
    /// On the hash map of this name.
    HashMap(Arc<str>, HashMapCall),
}

/// On a sorted map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortedMapCall {
    /// Answered [`MemoryReply::Item`].
    Get(Arc<str>),
    /// Answered [`MemoryReply::Written`] or [`MemoryReply::Changed`].
    Set(Arc<str>, Write),
    /// Answered [`MemoryReply::Done`].
    Remove(Arc<str>),
    /// Items between two bounds, at most 200. Answered [`MemoryReply::Range`].
    Range {
        /// From which end.
        direction: Direction,
        /// Most items, 1 to 200.
        count: usize,
        /// Items after this.
        lower: RangeBound,
        /// Items before this.
        upper: RangeBound,
    },
    /// Answered [`MemoryReply::Size`].
    Size,
}

/// On a hash map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashMapCall {
    /// Answered [`MemoryReply::Item`].
    Get(Arc<str>),
    /// Without a sort key. Answered [`MemoryReply::Written`] or [`MemoryReply::Changed`].
    Set(Arc<str>, Write),
    /// Answered [`MemoryReply::Done`].
    Remove(Arc<str>),
    /// The items after the one named. Answered [`MemoryReply::Page`].
    List {
        /// Key of the last item of the page before.
        after: Option<Arc<str>>,
        /// Most items, 1 to 200.
        count: usize,
    },
}

/// On a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueCall {
    /// Answered [`MemoryReply::Done`].
    Add {
        /// What is added.
        value: Value,
        /// It is gone after this many seconds, 0 to 3,888,000.
        expires_in: i64,
        /// Greater ones come first.
        priority: Number,
    },
    /// Reads items and hides them. Answered [`MemoryReply::Taken`].
    Read {
        /// Most items, 1 to 100.
        count: usize,
        /// Fewer are none.
        all_or_nothing: bool,
        /// Items that are not removed show again after this many seconds.
        invisible_for: i64,
    },
    /// Removes what a read has returned, unless it shows again. Answered [`MemoryReply::Done`].
    Remove(Arc<str>),
    /// Answered [`MemoryReply::Size`].
    Size {
        /// Without what is hidden.
        exclude_invisible: bool,
    },
}

/// An item to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its value.
    pub value: Value,
    /// What it is sorted by; none in hash maps.
    pub sort_key: Option<SortKey>,
    /// It is gone after this many seconds, 0 to 3,888,000. 0: at once, with what was there.
    pub expires_in: i64,
    /// The revision that must be there now (0: no item), else nothing is written ([`MemoryReply::Changed`]). `None`: any.
    pub expected: Option<u64>,
}

/// In which order items are returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The first ones first.
    Ascending,
    /// The last ones first.
    Descending,
}

/// A bound of a range, exclusive. With both parts: the place of such an item. With a sort key only: the place of all items with
/// this sort key. With a key only: the place of an item without a sort key. With none: no bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeBound {
    /// Key of an item.
    pub key: Option<Arc<str>>,
    /// Its sort key.
    pub sort_key: Option<SortKey>,
}

/// What a call that succeeded is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryReply {
    /// The item, if there is one.
    Item(Option<StoredItem>),
    /// An item was written.
    Written {
        /// Another one was there.
        overwritten: bool,
    },
    /// Nothing was written: the revision that is there is not the one that the write names.
    Changed,
    /// Items of a sorted map, in the order that was asked for.
    Range(Vec<RangeItem>),
    /// Items of a hash map. The order is ours alone.
    Page {
        /// The items.
        items: Vec<RangeItem>,
        /// There are more after the last one.
        has_more: bool,
    },
    /// Items of a queue.
    Taken {
        /// Their values, in order.
        values: Vec<Value>,
        /// Names the read, for their removal; `None` if there are none.
        id: Option<Arc<str>>,
    },
    /// How many items there are.
    Size(usize),
    /// It is done.
    Done,
}

/// An item as it is read by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredItem {
    /// Its value.
    pub value: Value,
    /// What it is sorted by.
    pub sort_key: Option<SortKey>,
    /// Another number with every write of any key. Never 0.
    pub revision: u64,
}

/// An item of a range or a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeItem {
    /// Its key.
    pub key: Arc<str>,
    /// Its value.
    pub value: Value,
    /// What it is sorted by.
    pub sort_key: Option<SortKey>,
}

impl MemoryCall {
    /// The checks that need no stored state. Whoever keeps the data makes them first.
    ///
    /// # Errors
    /// `InvalidRequest`, `InvalidExpirationTime`, `ItemValueSizeTooLarge`.
    pub fn validate(&self) -> Result<(), MemoryError> {
        match self {
            Self::SortedMap(name, call) => check_name(name).and_then(|()| call.validate()),
            Self::Queue(name, call) => check_name(name).and_then(|()| call.validate()),
            Self::HashMap(name, call) => check_name(name).and_then(|()| call.validate()),
        }
    }
}

impl SortedMapCall {
    fn validate(&self) -> Result<(), MemoryError> {
        match self {
            Self::Get(key) | Self::Remove(key) => check_key(key),
            Self::Set(key, write) => check_key(key).and_then(|()| write.validate()),
            Self::Range { count, lower, upper, .. } => {
                check_count(*count, MEMORY_RANGE_MAX)?;
                lower.validate().and_then(|()| upper.validate())
            }
            Self::Size => Ok(()),
        }
    }
}

impl HashMapCall {
    fn validate(&self) -> Result<(), MemoryError> {
        match self {
            Self::Get(key) | Self::Remove(key) => check_key(key),
            Self::Set(key, write) => check_key(key).and_then(|()| write.validate()),
            Self::List { after, count } => {
                check_count(*count, MEMORY_RANGE_MAX)?;
                after.as_ref().map_or(Ok(()), |key| check_key(key))
            }
        }
    }
}

impl QueueCall {
    fn validate(&self) -> Result<(), MemoryError> {
        match self {
            Self::Add { value, expires_in, .. } => check_value(value).and_then(|()| check_expiration(*expires_in)),
            Self::Read { count, invisible_for, .. } => {
                check_count(*count, MEMORY_READ_MAX)?;
                if (0..=MEMORY_EXPIRATION_SECONDS_MAX).contains(invisible_for) {
                    return Ok(());
                }
                Err(MemoryError::invalid(format_args!(
                    "The invisibility timeout must be between 0 and {MEMORY_EXPIRATION_SECONDS_MAX} seconds."
                )))
            }
            Self::Remove(_) | Self::Size { .. } => Ok(()),
        }
    }
}

impl Write {
    fn validate(&self) -> Result<(), MemoryError> {
        check_sort_key(self.sort_key.as_ref())?;
        check_value(&self.value).and_then(|()| check_expiration(self.expires_in))
    }
}

impl RangeBound {
    fn validate(&self) -> Result<(), MemoryError> {
        check_sort_key(self.sort_key.as_ref())?;
        self.key.as_ref().map_or(Ok(()), |key| check_key(key))
    }
}

fn check_name(name: &str) -> Result<(), MemoryError> {
    check_text("name", name, MEMORY_NAME_BYTES_MAX)
}

fn check_key(key: &str) -> Result<(), MemoryError> {
    check_text("key", key, MEMORY_KEY_BYTES_MAX)
}

fn check_text(what: &str, text: &str, bytes_max: usize) -> Result<(), MemoryError> {
    match text.len() {
        0 => Err(MemoryError::invalid(format_args!("The {what} can't be an empty string."))),
        length if length > bytes_max => {
            Err(MemoryError::invalid(format_args!("The {what} is too long: {length} bytes, at most {bytes_max}.")))
        }
        _ => Ok(()),
    }
}

fn check_sort_key(sort_key: Option<&SortKey>) -> Result<(), MemoryError> {
    match sort_key {
        Some(SortKey::Text(text)) if text.len() > MEMORY_KEY_BYTES_MAX => {
            check_text("sort key", text, MEMORY_KEY_BYTES_MAX)
        }
        _ => Ok(()),
    }
}

fn check_value(value: &Value) -> Result<(), MemoryError> {
    let length = value.json().len();
    if length <= MEMORY_VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(MemoryStatus::ItemValueSizeTooLarge
        .error(format_args!("The value has {length} bytes, at most {MEMORY_VALUE_BYTES_MAX} are allowed.")))
}

/// Checks how long an item lives.
///
/// # Errors
/// `InvalidExpirationTime` if it is not from 0 to 3,888,000 seconds.
pub fn check_expiration(seconds: i64) -> Result<(), MemoryError> {
    if (0..=MEMORY_EXPIRATION_SECONDS_MAX).contains(&seconds) { Ok(()) } else { Err(MemoryError::expiration()) }
}

fn check_count(count: usize, most: usize) -> Result<(), MemoryError> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(MemoryError::invalid(format_args!("The count must be between 1 and {most}.")))
}
