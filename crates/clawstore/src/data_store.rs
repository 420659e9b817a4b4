//! The same stores for Rust code: HTTP handlers, tools, tests.
//!
//! Owns: typed values through serde, and errors that tell a wrong type from a failed call. Does not own: what a call does;
//! these calls go the same way as those of scripts.

use std::sync::Arc;

use clawstore_core::backend::{BackendError, Kept, KeyPlace, VersionInfo, VersionQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::Attributes;
use clawstore_core::limits::KEYS_PAGE_MAX;
use clawstore_core::listing::{KeyList, Page};
use clawstore_core::ops::{Increment, Look, Reply, Request, Set};
use clawstore_core::{CallError, Entry, EntryKey, StoreId, StoreKind, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a call of Rust code failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The call failed; its outcome class is in it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The stored value is not of the type that was asked for. Nothing was written.
    #[error("the value of key `{key}` is not of the expected type: {source}; nothing was written")]
    Type {
        /// Which key.
        key: String,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The value cannot be written as JSON. Nothing was written.
    #[error("the value cannot be stored: {0}; nothing was written")]
    Value(serde_json::Error),
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] BackendError),
}

/// A value with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// The value.
    pub value: T,
    /// Its version id.
    pub version: String,
    /// When the key was first written, Unix milliseconds.
    pub created_ms: u64,
    /// When this version was written, Unix milliseconds.
    pub updated_ms: u64,
    /// Ids of the users whom it concerns.
    pub user_ids: Vec<i64>,
}

/// A checked key of a store: saves checking and allocating it again where the same key is used often.
#[derive(Debug, Clone)]
pub struct Key(pub(crate) EntryKey);

/// A store of a game. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DataStore {
    game: Arc<clawstore_actors::Game>,
    store: Arc<StoreId>,
}

impl DataStore {
    pub(crate) fn open(game: Arc<clawstore_actors::Game>, name: &str, scope: &str) -> Result<Self, StoreError> {
        let store = StoreId::new(game.id(), StoreKind::Standard, name.as_bytes(), scope.as_bytes())?;
        Ok(Self { game, store: Arc::new(store) })
    }

    /// Checks a key.
    ///
    /// # Errors
    /// 101, 102 for a key that is empty, too long, or not plain text.
    pub fn key(&self, key: &str) -> Result<Key, StoreError> {
        Ok(Key(EntryKey::new(&self.store, key.as_bytes())?))
    }

    /// `GetAsync`: `None` if the key was removed or never written.
    ///
    /// # Errors
    /// If the key is not legal, the store cannot be read, or the value is of another type.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>, StoreError> {
        let key = self.key(key)?.0;
        let entry = entry_of(self.game.call(&key, Request::Get).await?);
        stored(&key, entry.as_deref())
    }

    /// `GetAsync` with `UseCache = false`: what the store holds now, for instance after a call whose outcome is unknown.
    ///
    /// # Errors
    /// As [`DataStore::get`].
    pub async fn get_uncached<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>, StoreError> {
        let key = self.key(key)?.0;
        let entry = entry_of(self.game.call_uncached(&key).await?);
        stored(&key, entry.as_deref())
    }

    /// `SetAsync`: returns the version id.
    ///
    /// # Errors
    /// If the key or value is not legal, or the call failed; the outcome class is in the error.
    pub async fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<String, StoreError> {
        self.set_key(&self.key(key)?, value).await
    }

    /// `SetAsync` on a checked key.
    ///
    /// # Errors
    /// As [`DataStore::set`].
    pub async fn set_key<T: Serialize + ?Sized>(&self, key: &Key, value: &T) -> Result<String, StoreError> {
        let set = Set { value: to_value(value)?, attributes: Attributes::default() };
        let entry = entry_of(self.game.call(&key.0, Request::Set(set)).await?);
        Ok(entry.map(|entry| entry.version().to_string()).unwrap_or_default())
    }

    /// `UpdateAsync`: `change` gets the current value and returns the new one, or `None` to leave it. It may run several
    /// times and must have no side effects. Returns what is stored afterwards, `None` if `change` left it.
    ///
    /// # Errors
    /// If the stored value is of another type (nothing is written), or the call failed.
    pub async fn update<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<T>) -> Option<T>,
    ) -> Result<Option<Stored<T>>, StoreError> {
        let key = self.key(key)?.0;
        let transform = |entry: &Entry| -> Result<Option<Set>, StoreError> {
            let Some(new) = change(stored(&key, Some(entry))?.map(|stored| stored.value)) else { return Ok(None) };
            Ok(Some(Set { value: to_value(&new)?, attributes: Attributes::default() }))
        };
        let reply = self.game.update(&key, transform).await?;
        stored(&key, entry_of(reply).as_deref())
    }

    /// `IncrementAsync`: returns the new value.
    ///
    /// # Errors
    /// If the stored value is not a whole number, the result leaves ±2^53, or the call failed.
    pub async fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        let key = self.key(key)?.0;
        let increment = Increment { delta, attributes: Attributes::default() };
        let entry = entry_of(self.game.call(&key, Request::Increment(increment)).await?);
        Ok(entry.and_then(|entry| entry.value.as_ref().and_then(Value::as_integer)).unwrap_or_default())
    }

    /// `RemoveAsync`: returns what was there.
    ///
    /// # Errors
    /// If the call failed, or what was there is of another type (it is removed then).
    pub async fn remove<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Stored<T>>, StoreError> {
        let key = self.key(key)?.0;
        let entry = entry_of(self.game.call(&key, Request::Remove).await?);
        stored(&key, entry.as_deref())
    }

    /// `GetVersionAsync`: the value of one version, `None` if it is a tombstone, is not kept any more or never was.
    ///
    /// # Errors
    /// As [`DataStore::get`].
    pub async fn version<T: DeserializeOwned>(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<Stored<T>>, StoreError> {
        let key = self.key(key)?.0;
        let Ok(id) = version.parse() else { return Ok(None) };
        let entry = entry_of(self.game.look(Look::Version(key.clone(), id)).await?);
        stored(&key, entry.as_deref())
    }

    /// `GetVersionAtTimeAsync`: what the key held at the end of a millisecond of Unix time, `None` if nothing, or if that is not
    /// kept any more.
    ///
    /// # Errors
    /// As [`DataStore::get`].
    pub async fn version_at<T: DeserializeOwned>(
        &self,
        key: &str,
        unix_ms: u64,
    ) -> Result<Option<Stored<T>>, StoreError> {
        let key = self.key(key)?.0;
        let look = Look::VersionAt(key.clone(), Timestamp::end_of_unix_ms(unix_ms));
        let entry = entry_of(self.game.look(look).await?);
        stored(&key, entry.as_deref())
    }

    /// `RemoveVersionAsync`: a version is gone for good, the current one too. A version that is not there is no error.
    ///
    /// # Errors
    /// If the key is not legal or the call failed; it may be repeated.
    pub async fn remove_version(&self, key: &str, version: &str) -> Result<(), StoreError> {
        let key = self.key(key)?.0;
        if let Ok(id) = version.parse() {
            self.game.remove_version(&key, id).await?;
        }
        Ok(())
    }

    /// `ListKeysAsync` without removed keys: those of this scope that begin with `prefix`, in byte order, behind `after`. A page
    /// may hold fewer than `size` keys, or none, and still have a next one, which goes on behind the key that it names.
    ///
    /// ```no_run
    /// # async fn list(saves: &clawstore::DataStore) -> Result<(), clawstore::StoreError> {
    /// let mut page = saves.keys("player_", None, 100).await?;
    /// while let Some(next) = &page.next {
    ///     page = saves.keys("player_", Some(next), 100).await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If prefix or key has a NUL, or the store cannot be read.
    pub async fn keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        size: usize,
    ) -> Result<Page<Arc<str>, Arc<str>>, StoreError> {
        check_texts([prefix, after.unwrap_or_default()])?;
        let place = |key: &str| KeyPlace { scope: self.store.scope.as_ref().into(), key: key.into() };
        let list = KeyList {
            store: Arc::clone(&self.store),
            all_scopes: false,
            prefix: prefix.into(),
            exclude_deleted: true,
            after: after.map(place),
            size: size.clamp(1, KEYS_PAGE_MAX),
        };
        match self.game.look(Look::Keys(list)).await? {
            Reply::Keys(Page { items, next }) => Ok(Page {
                items: items.into_iter().map(|item| item.place.key).collect(),
                next: next.map(|place| place.key),
            }),
            _ => Err(CallError::internal().into()),
        }
    }

    /// `ListVersionsAsync`: at most `limit` versions, newest first, the current one included; older ones than `before`, the
    /// last of the page before.
    ///
    /// # Errors
    /// If the key is not legal or the store cannot be read.
    pub async fn versions(
        &self,
        key: &str,
        before: Option<&VersionInfo>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>, StoreError> {
        let (key, after) = (self.key(key)?.0, before.map(|version| version.id.updated));
        let query = VersionQuery { key, descending: true, from: None, to: None, after, kept: Kept::default(), limit };
        match self.game.look(Look::Versions(query)).await? {
            Reply::Versions(versions) => Ok(versions),
            _ => Err(CallError::internal().into()),
        }
    }
}

/// Checks texts that stand for places in a list: not every database takes a NUL, and no name has one.
pub(crate) fn check_texts<const N: usize>(texts: [&str; N]) -> Result<(), CallError> {
    match texts.iter().find(|text| text.contains('\0')) {
        Some(text) => Err(CallError::argument(format_args!("{text:?} can't contain a NUL character"))),
        None => Ok(()),
    }
}

fn entry_of(reply: Reply) -> Option<Arc<Entry>> {
    match reply {
        Reply::Entry(entry) => Some(entry),
        _ => None,
    }
}

fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, StoreError> {
    let json = serde_json::to_vec(value).map_err(StoreError::Value)?;
    Ok(Value::new(json)?)
}

fn stored<T: DeserializeOwned>(key: &EntryKey, entry: Option<&Entry>) -> Result<Option<Stored<T>>, StoreError> {
    let Some((entry, value)) = entry.and_then(|entry| entry.value.as_ref().map(|value| (entry, value))) else {
        return Ok(None);
    };
    let value =
        serde_json::from_slice(value.json()).map_err(|source| StoreError::Type { key: key.key.to_string(), source })?;
    Ok(Some(Stored {
        value,
        version: entry.version().to_string(),
        created_ms: entry.created.unix_ms(),
        updated_ms: entry.updated.unix_ms(),
        user_ids: entry.attributes.user_ids.clone(),
    }))
}
