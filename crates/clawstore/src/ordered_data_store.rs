//! Ordered stores for Rust code: whole numbers, exact over all of `i64`, listed in their order.
//!
//! Owns: the calls with their types. Does not own: what a call does; these go the same way as those of scripts.

use std::ops::RangeInclusive;
use std::sync::Arc;

use clawstore_core::backend::SortedQuery;
use clawstore_core::entry::Attributes;
use clawstore_core::limits::BATCH_GET_KEYS_MAX;
use clawstore_core::ops::{Increment, Look, Reply, Request, Set};
use clawstore_core::{CallError, EntryKey, StoreId, StoreKind, Value, ordered};

use crate::data_store::{StoreError, check_texts};

/// A key with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// The key.
    pub key: Arc<str>,
    /// Its number.
    pub number: i64,
}

/// An ordered store of a game. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OrderedDataStore {
    game: Arc<clawstore_actors::Game>,
    store: Arc<StoreId>,
}

impl OrderedDataStore {
    pub(crate) fn open(game: Arc<clawstore_actors::Game>, name: &str, scope: &str) -> Result<Self, StoreError> {
        let store = StoreId::new(game.id(), StoreKind::Ordered, name.as_bytes(), scope.as_bytes())?;
        Ok(Self { game, store: Arc::new(store) })
    }

    /// `GetAsync`: `None` if the key was removed or never written.
    ///
    /// # Errors
    /// If the key is not legal or the store cannot be read.
    pub async fn get(&self, key: &str) -> Result<Option<i64>, StoreError> {
        self.call(key, Request::Get).await
    }

    /// `SetAsync`.
    ///
    /// # Errors
    /// If the key is not legal, or the call failed; the outcome class is in the error.
    pub async fn set(&self, key: &str, number: i64) -> Result<(), StoreError> {
        let set = Set { value: Value::integer(number), attributes: Attributes::default() };
        self.call(key, Request::Set(set)).await.map(drop)
    }

    /// `IncrementAsync`: returns the new number.
    ///
    /// # Errors
    /// If the result leaves `i64`, or the call failed.
    pub async fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        let increment = Increment { delta, attributes: Attributes::default() };
        self.call(key, Request::Increment(increment)).await?.ok_or_else(|| CallError::internal().into())
    }

    /// `RemoveAsync`: returns what was there.
    ///
    /// # Errors
    /// If the key is not legal or the call failed.
    pub async fn remove(&self, key: &str) -> Result<Option<i64>, StoreError> {
        self.call(key, Request::Remove).await
    }

    /// `GetSortedAsync`: at most `limit` entries whose number is in `range`, smallest first if `ascending`, those of the same
    /// number by key in byte order; descending is exactly the reverse. Goes on behind `after`, the last of the page before.
    ///
    /// # Errors
    /// If the key of `after` has a NUL, or the store cannot be read.
    pub async fn sorted(
        &self,
        ascending: bool,
        range: RangeInclusive<i64>,
        after: Option<&Ranked>,
        limit: usize,
    ) -> Result<Vec<Ranked>, StoreError> {
        check_texts([after.map_or("", |last| &*last.key)])?;
        let (store, (min, max)) = (Arc::clone(&self.store), range.into_inner());
        let after = after.map(|last| (last.number, Arc::clone(&last.key)));
        let query = SortedQuery { store, ascending, min, max, after, limit };
        let Reply::Sorted(items) = self.game.look(Look::Sorted(query)).await? else {
            return Err(CallError::internal().into());
        };
        Ok(items.into_iter().map(|item| Ranked { key: item.key, number: item.number }).collect())
    }

    /// `BatchGetAsync`: the numbers of many keys, in their order; `None` for one that was removed or never written. Shows what is
    /// durable.
    ///
    /// # Errors
    /// If a key is not legal or the store cannot be read.
    pub async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<i64>>, StoreError> {
        let checked = keys.iter().map(|key| EntryKey::new(&self.store, key.as_bytes()));
        let checked = checked.collect::<Result<Vec<_>, _>>()?;
        let mut numbers = Vec::with_capacity(keys.len());
        for some in checked.chunks(BATCH_GET_KEYS_MAX) {
            let Reply::Entries(entries) = self.game.look(Look::Batch(some.to_vec())).await? else {
                return Err(CallError::internal().into());
            };
            for entry in entries {
                numbers.push(entry.value.as_ref().map(ordered::number).transpose()?);
            }
        }
        Ok(numbers)
    }

    async fn call(&self, key: &str, request: Request) -> Result<Option<i64>, StoreError> {
        let key = EntryKey::new(&self.store, key.as_bytes())?;
        match self.game.call(&key, request).await? {
            Reply::Entry(entry) => Ok(entry.value.as_ref().map(ordered::number).transpose()?),
            _ => Ok(None),
        }
    }
}
