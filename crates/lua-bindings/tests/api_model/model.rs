//! The data stores of one game as the spec describes them: a list of versions per key, and nothing else.
//!
//! Shares no rule with the code that it is compared with. Times are ticks of 100 ns. Answers are texts, as `describe.luau`
//! writes what a script gets: `<v3>` stands for the id of the third version that was made, `~` for a time that may be a
//! minute behind.

use std::collections::{BTreeMap, BTreeSet};

use crate::pages::Pages;
use crate::samples::{Attributes, Value};

pub(crate) const SECOND: u64 = 10_000_000;
pub(crate) const HOUR: u64 = 3_600 * SECOND;
pub(crate) const DAY: u64 = 24 * HOUR;
/// Tombstones are gone after it (spec §2.6).
const TOMBSTONES: u64 = 30 * DAY;
/// Objects of pages that a script keeps.
pub(crate) const SLOTS: usize = 4;

/// What a call returns, or the text that it raises.
pub(crate) type Answer = Result<String, String>;

/// Who an entry is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) ordered: bool,
    pub(crate) store: String,
    pub(crate) scope: String,
    pub(crate) key: String,
}

/// How long and how often a store keeps versions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct History {
    pub(crate) hourly: bool,
    pub(crate) days: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) number: usize,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    /// `None` for a tombstone.
    pub(crate) value: Option<Value>,
    attributes: Attributes,
    /// When the next one was written.
    superseded: Option<u64>,
    /// It can be looked at for some days after that.
    is_kept: bool,
}

impl Version {
    fn info(&self) -> String {
        let (created, updated) = (ms(self.created), ms(self.updated));
        let Attributes { ids, metadata } = self.attributes;
        format!("info(<v{}> {created} {updated} {} {})", self.number, ids.shown, metadata.shown)
    }

    /// Value and key info.
    fn shown(&self) -> String {
        format!("{}, {}", self.value.map_or_else(|| "nil".to_owned(), Value::shown), self.info())
    }
}

pub(crate) struct Model {
    pub(crate) now: u64,
    default: History,
    /// Of stores with a history of their own.
    own: BTreeMap<String, History>,
    pub(crate) entries: BTreeMap<Key, Vec<Version>>,
    /// First and last write of each standard store.
    pub(crate) stores: BTreeMap<String, (u64, u64)>,
    snapshot: Option<u64>,
    /// Of each version that was made, in the order of their numbers, from 1 on.
    pub(crate) keys: Vec<Key>,
    /// Numbers of versions whose ids scripts have seen.
    pub(crate) seen: BTreeSet<usize>,
    pub(crate) pages: [Option<Pages>; SLOTS],
}

pub(crate) fn ms(ticks: u64) -> u64 {
    ticks / 10_000
}

impl Model {
    pub(crate) fn new(now: u64, default: History, own: BTreeMap<String, History>) -> Self {
        Self {
            now,
            default,
            own,
            entries: BTreeMap::new(),
            stores: BTreeMap::new(),
            snapshot: None,
            keys: Vec::new(),
            seen: BTreeSet::new(),
            pages: Default::default(),
        }
    }

    fn history(&self, key: &Key) -> History {
        self.own.get(&key.store).copied().unwrap_or(self.default)
    }

    /// Is it a tombstone that is gone by now?
    fn is_over(&self, version: &Version) -> bool {
        version.value.is_none() && version.updated + TOMBSTONES < self.now
    }

    /// The newest version of a key, its tombstone for as long as there is one.
    pub(crate) fn newest(&self, key: &Key) -> Option<&Version> {
        let newest = self.entries.get(key)?.last()?;
        let is_nothing = self.is_over(newest) || (key.ordered && newest.value.is_none());
        (!is_nothing).then_some(newest)
    }

    fn live(&self, key: &Key) -> Option<&Version> {
        self.newest(key).filter(|version| version.value.is_some())
    }

    /// Versions that can be looked at, oldest first.
    pub(crate) fn versions(&self, key: &Key) -> Vec<&Version> {
        let since = self.history(key).days * DAY;
        let all = self.entries.get(key).map(Vec::as_slice).unwrap_or_default();
        let is_shown = |version: &&Version| match version.superseded {
            None => !self.is_over(version),
            Some(at) => version.is_kept && at + since >= self.now,
        };
        all.iter().filter(is_shown).collect()
    }

    /// Makes a version; says whether the one before may be looked at later.
    fn write(&mut self, key: &Key, value: Option<Value>, attributes: Attributes, erases: bool) -> &Version {
        let (now, history, snapshot) = (self.now, self.history(key), self.snapshot);
        let versions = self.entries.entry(key.clone()).or_default();
        let before = versions.last().cloned();
        let updated = before.as_ref().map_or(now, |before| now.max(before.updated + 1));
        let is_gone = |before: &Version| before.value.is_none() && before.updated + TOMBSTONES < updated;
        let created = before.as_ref().filter(|before| !is_gone(before)).map_or(updated, |before| before.created);
        if let Some(before) = versions.last_mut() {
            let is_backup = !history.hourly || value.is_none() || before.updated / HOUR < updated / HOUR;
            let is_in_snapshot = snapshot.is_some_and(|at| before.updated <= at + 5 * SECOND);
            before.is_kept = !key.ordered && !erases && !is_gone(before) && (is_backup || is_in_snapshot);
            before.superseded = Some(updated);
        }
        self.keys.push(key.clone());
        if !key.ordered {
            let (_, last) = self.stores.entry(key.store.clone()).or_insert((updated, updated));
            *last = updated.max(*last);
        }
        let number = self.keys.len();
        versions.push(Version { number, created, updated, value, attributes, superseded: None, is_kept: false });
        &versions[versions.len() - 1]
    }

    /// Two nils for nothing. Ordered stores show a value alone.
    fn told(key: &Key, version: Option<&Version>) -> String {
        match version {
            None => "nil, nil".to_owned(),
            Some(Version { value: Some(value), .. }) if key.ordered => format!("{}, nil", value.shown()),
            Some(version) => version.shown(),
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Answer {
        Ok(Self::told(key, self.live(key)))
    }

    pub(crate) fn set(&mut self, key: &Key, value: Value, attributes: Attributes) -> Answer {
        let value = value.accepted(key.ordered)?;
        attributes.accepted(key.ordered, false)?;
        let number = self.write(key, Some(value), attributes, false).number;
        Ok(if key.ordered { String::new() } else { format!("<v{number}>") })
    }

    /// What the transform saw comes first.
    pub(crate) fn update(&mut self, key: &Key, result: Option<(Value, Attributes)>) -> Answer {
        let saw = Self::told(key, self.live(key));
        let told = match result {
            None => "nil".to_owned(),
            Some((value, attributes)) => {
                let value = value.accepted(key.ordered)?;
                attributes.accepted(key.ordered, true)?;
                Self::told(key, Some(self.write(key, Some(value), attributes, false)))
            }
        };
        Ok(format!("saw({saw}) {told}"))
    }

    pub(crate) fn increment(&mut self, key: &Key, delta: i64, attributes: Attributes) -> Answer {
        attributes.accepted(key.ordered, false)?;
        let old = match self.live(key).and_then(|version| version.value) {
            None => 0,
            Some(value) => value.integer().ok_or(
                "502: API Services rejected request with error. Error code: 24 Reason: Key value is not numeric.",
            )?,
        };
        let (bits, most) = if key.ordered { (63, i64::MAX) } else { (53, 1 << 53) };
        let sum = old.checked_add(delta).filter(|sum| *sum <= most && (key.ordered || *sum >= -most));
        let sum = sum.ok_or_else(|| {
            let text = "The result of the increment leaves the range of whole numbers";
            format!("502: API Services rejected request with error. {text}, ±2^{bits}. (not applied)")
        })?;
        Ok(Self::told(key, Some(self.write(key, Some(Value::Integer(sum)), attributes, false))))
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Answer {
        let answer = self.get(key);
        if self.live(key).is_some() {
            self.write(key, None, Attributes::NONE, false);
        }
        answer
    }

    pub(crate) fn get_version(&self, key: &Key, number: usize) -> Answer {
        let version = self.versions(key).into_iter().find(|version| version.number == number);
        Ok(version.map_or_else(|| "nil, nil".to_owned(), Version::shown))
    }

    pub(crate) fn get_version_at(&self, key: &Key, at_ms: i64) -> Answer {
        let most = ms(self.now + 600 * SECOND);
        let Some(at) = u64::try_from(at_ms).ok().filter(|at| (1..=most).contains(at)) else {
            let text = "The timestamp must be positive and no more than 10 minutes in the future.";
            return Err(format!("InvalidTimestamp: {text}"));
        };
        let end = at * 10_000 + 9_999;
        let was_current =
            |version: &&Version| version.updated <= end && version.superseded.is_none_or(|next| end < next);
        let version = self.versions(key).into_iter().find(was_current);
        Ok(version.map_or_else(|| "nil, nil".to_owned(), Version::shown))
    }

    pub(crate) fn remove_version(&mut self, key: &Key, number: usize) -> Answer {
        if self.live(key).is_some_and(|newest| newest.number == number) {
            self.write(key, None, Attributes::NONE, true);
        } else if let Some(version) =
            self.entries.get_mut(key).and_then(|all| all.iter_mut().find(|version| version.number == number))
        {
            version.is_kept = false;
        }
        Ok(String::new())
    }

    pub(crate) fn batch_get(&self, keys: &[Key]) -> Answer {
        let found = keys.iter().filter_map(|key| Some((&key.key, self.live(key)?.value?)));
        let mut shown: Vec<_> = found.map(|(key, value)| format!("{key:?}={{\"value\"={}}}", value.shown())).collect();
        shown.sort();
        Ok(format!("{{{}}}", shown.join(" ")))
    }

    /// Is it the first one of its day?
    pub(crate) fn take_snapshot(&mut self) -> bool {
        let is_new = self.snapshot.is_none_or(|before| before / DAY < self.now / DAY);
        if is_new {
            self.snapshot = Some(self.now);
        }
        is_new
    }

    /// Nothing was ever written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Is there an entry that can be read?
    pub(crate) fn holds_any(&self) -> bool {
        self.entries.keys().any(|key| self.live(key).is_some())
    }

    /// The game is purged.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
        self.stores.clear();
        self.seen.clear();
        self.snapshot = None;
    }
}
