//! Pages of `ListKeysAsync` and `ListDataStoresAsync` (spec §2.10).
//!
//! Owns: which part of the order of keys a prefix stands for, what a page holds if removed keys are left out, and where it goes
//! on. Does not own: the form of cursors (`cursor`), asking a backend (`actors`).

use std::sync::Arc;

use crate::backend::{BEHIND_ANY_NAME, Kept, KeyItem, KeyPlace, KeyRange, StoreInfo, StoresQuery};
use crate::cursor::{self, QueryId};
use crate::entry_key::{GameId, StoreId};
use crate::error::CallError;
use crate::limits::KEYS_EXAMINED_MAX;

/// Items, and behind what the next page begins; `None` on the last page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, P> {
    /// In order.
    pub items: Vec<T>,
    /// See above.
    pub next: Option<P>,
}

/// A list of the keys of one standard store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    /// Which store; its scope only if `all_scopes` is not set.
    pub store: Arc<StoreId>,
    /// Keys of all scopes, as `scope/key`.
    pub all_scopes: bool,
    /// Only keys that begin with it; with `all_scopes`, only those whose `scope/key` does.
    pub prefix: Arc<str>,
    /// Leave removed keys out.
    pub exclude_deleted: bool,
    /// Goes on behind this key.
    pub after: Option<KeyPlace>,
    /// Keys of a page; at least 1.
    pub size: usize,
}

/// Parts scope and key in a cursor: no name contains it, and not every database takes it.
const PARTED_BY: char = '\0';

impl KeyList {
    fn query(&self) -> QueryId {
        let scope = if self.all_scopes { "" } else { &self.store.scope };
        let deleted = if self.exclude_deleted { "live" } else { "all" };
        QueryId::of(["keys", &self.store.game.to_string(), &self.store.name, scope, &self.prefix, deleted])
    }

    /// The cursor that goes on behind a place.
    pub fn cursor(&self, place: &KeyPlace) -> String {
        self.query().cursor(&format!("{}{PARTED_BY}{}", place.scope, place.key))
    }

    /// Goes on where a cursor says; from the beginning if it is empty.
    ///
    /// # Errors
    /// `InvalidExclusiveStartKey` for a text that is no cursor of this list.
    pub fn go_on(&mut self, cursor: &[u8]) -> Result<(), CallError> {
        self.after = match cursor {
            b"" => None,
            cursor => {
                let place = self.query().place(cursor)?;
                // No name contains what parts them.
                let parts = place.split_once(PARTED_BY).filter(|(_, key)| !key.contains(PARTED_BY));
                let (scope, key) = parts.ok_or_else(cursor::invalid)?;
                Some(KeyPlace { scope: scope.into(), key: key.into() })
            }
        };
        Ok(())
    }

    /// The parts of the order that hold what begins with the prefix, in order, neither bound included.
    fn parts(&self) -> Vec<(KeyPlace, KeyPlace)> {
        let place = |scope: &str, key: &str| KeyPlace { scope: scope.into(), key: key.into() };
        let of_scope = |scope: &str, prefix: &str| (place(scope, &before(prefix)), place(scope, &behind(prefix)));
        if !self.all_scopes {
            return vec![of_scope(&self.store.scope, &self.prefix)];
        }
        // The prefix may end in a scope: all keys of the scopes that begin with it. Or behind one: in a scope that is the
        // text up to one of its slashes.
        let scopes = (place(&before(&self.prefix), BEHIND_ANY_NAME), place(&behind(&self.prefix), ""));
        let slashes = self.prefix.match_indices('/');
        slashes.map(|(at, _)| of_scope(&self.prefix[..at], &self.prefix[at + 1..])).chain([scopes]).collect()
    }
}

/// The greatest name that is less than every name that begins with the prefix. Bounds are not included, and NUL is in no name.
fn before(prefix: &str) -> String {
    let mut chars = prefix.chars();
    match chars.next_back() {
        None => String::new(),
        Some('\0' | '\u{1}') => chars.as_str().to_owned(),
        Some(last) => {
            let previous =
                if last == '\u{e000}' { '\u{d7ff}' } else { char::from_u32(u32::from(last) - 1).unwrap_or('\0') };
            format!("{}{previous}{BEHIND_ANY_NAME}", chars.as_str())
        }
    }
}

/// The least text that is greater than every name that begins with the prefix.
fn behind(prefix: &str) -> String {
    let mut chars = prefix.chars();
    while let Some(last) = chars.next_back() {
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            return format!("{}{next}", chars.as_str());
        }
    }
    BEHIND_ANY_NAME.to_owned()
}

/// One page of a [`KeyList`], made of a backend's lists.
#[derive(Debug)]
pub struct KeyPage {
    list: KeyList,
    kept: Kept,
    /// Parts of the order that are still to be asked for; the next one last.
    parts: Vec<(KeyPlace, KeyPlace)>,
    /// Looked at so far.
    examined: usize,
    /// The last one that was looked at.
    last: Option<KeyPlace>,
    items: Vec<KeyItem>,
    /// One more than fits was found.
    is_full: bool,
}

impl KeyPage {
    /// The page that `list.after` is in front of.
    pub fn new(list: KeyList, kept: Kept) -> Self {
        let after = list.after.clone();
        let parts = list.parts().into_iter().rev();
        let parts = match &after {
            None => parts.collect(),
            Some(after) => parts
                .filter(|(_, before)| after < before)
                .map(|(first, before)| (first.max(after.clone()), before))
                .collect(),
        };
        Self { list, kept, parts, examined: 0, last: after, items: Vec::new(), is_full: false }
    }

    /// What to ask the backend next; `None` when the page is complete.
    pub fn question(&self) -> Option<KeyRange> {
        let (after, before) = self.parts.last().filter(|_| !self.is_full && self.examined < self.most())?;
        let (store, after, before) = (Arc::clone(&self.list.store), after.clone(), before.clone());
        Some(KeyRange { store, after, before, kept: self.kept, limit: self.most() - self.examined })
    }

    /// How many may be looked at. One more than a page tells whether there is another.
    fn most(&self) -> usize {
        if self.list.exclude_deleted { KEYS_EXAMINED_MAX } else { self.list.size + 1 }
    }

    /// Takes the backend's answer to [`KeyPage::question`].
    pub fn take(&mut self, keys: Vec<KeyItem>) {
        let is_last = self.examined + keys.len() < self.most();
        self.examined += keys.len();
        for key in keys {
            let counts = !(self.list.exclude_deleted && key.is_deleted);
            if counts && self.items.len() == self.list.size {
                self.is_full = true;
                return;
            }
            self.last = Some(key.place.clone());
            if counts {
                self.items.push(key);
            }
        }
        if is_last {
            self.parts.pop();
        }
    }

    /// The page. Complete when there is no further [`KeyPage::question`].
    pub fn into_page(self) -> Page<KeyItem, KeyPlace> {
        let goes_on = self.is_full || !self.parts.is_empty();
        Page { items: self.items, next: self.last.filter(|_| goes_on) }
    }
}

/// A list of the standard stores of a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreList {
    /// Which game.
    pub game: GameId,
    /// Only names that begin with it.
    pub prefix: Arc<str>,
    /// Goes on behind this name.
    pub after: Option<Arc<str>>,
    /// Names of a page; at least 1.
    pub size: usize,
}

impl StoreList {
    fn query(&self) -> QueryId {
        QueryId::of(["stores", &self.game.to_string(), &self.prefix])
    }

    /// The cursor that goes on behind a name.
    pub fn cursor(&self, name: &str) -> String {
        self.query().cursor(name)
    }

    /// Goes on where a cursor says; from the beginning if it is empty.
    ///
    /// # Errors
    /// `InvalidExclusiveStartKey` for a text that is no cursor of this list.
    pub fn go_on(&mut self, cursor: &[u8]) -> Result<(), CallError> {
        self.after = match cursor {
            b"" => None,
            cursor => {
                let name = self.query().place(cursor)?;
                if name.contains(PARTED_BY) {
                    return Err(cursor::invalid());
                }
                Some(name.into())
            }
        };
        Ok(())
    }

    /// What to ask a backend: one more than a page, which tells whether there is another.
    pub fn question(&self, kept: Kept) -> StoresQuery {
        let first = before(&self.prefix);
        let after = match &self.after {
            Some(after) if **after > *first => Arc::clone(after),
            // The global data store has no name to be listed by.
            _ => first.into(),
        };
        StoresQuery { game: self.game, after, before: behind(&self.prefix).into(), kept, limit: self.size + 1 }
    }

    /// The page that a backend's answer makes.
    pub fn page(&self, mut stores: Vec<StoreInfo>) -> Page<StoreInfo, Arc<str>> {
        let goes_on = stores.len() > self.size;
        stores.truncate(self.size);
        let next = stores.last().filter(|_| goes_on).map(|last| Arc::clone(&last.name));
        Page { items: stores, next }
    }
}

#[cfg(test)]
mod tests;
