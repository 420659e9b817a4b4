//! What a sequence is made of: calls of scripts, time, and what operators do.
//!
//! Each call is written as a line of Luau and asked of the model. What refers to something that the sequence has made, such
//! as a version, is looked up in the model when its turn comes.

use std::fmt;

use crate::model::{Answer, Key, Model, Version, ms};
use crate::pages::{Cursor, List, Pages};
use crate::samples::{Attributes, Value};

/// A store object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handle {
    Scoped(&'static str, &'static str),
    /// Of all scopes; keys are put into this one.
    AllScopes(&'static str, &'static str),
    Global,
    Ordered(&'static str, &'static str),
}

impl Handle {
    fn source(self) -> String {
        match self {
            Self::Scoped(store, scope) => format!("ds({store:?}, {scope:?})"),
            Self::AllScopes(store, _) => format!("every_scope({store:?})"),
            Self::Global => "global()".to_owned(),
            Self::Ordered(store, scope) => format!("ods({store:?}, {scope:?})"),
        }
    }

    /// The key as a script passes it.
    fn passed(self, key: &str) -> String {
        match self {
            Self::AllScopes(_, scope) => format!("{scope}/{key}"),
            _ => key.to_owned(),
        }
    }

    fn key(self, key: &str) -> Key {
        let of = |ordered, store: &str, scope: &str, key: &str| Key {
            ordered,
            store: store.to_owned(),
            scope: scope.to_owned(),
            key: key.to_owned(),
        };
        match self {
            Self::Scoped(store, scope) => of(false, store, scope, key),
            Self::Global => of(false, "", "u", key),
            Self::Ordered(store, scope) => of(true, store, scope, key),
            Self::AllScopes(store, _) => {
                let passed = self.passed(key);
                let (scope, key) = passed.split_once('/').unwrap();
                of(false, store, scope, key)
            }
        }
    }
}

/// A version that a script knows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Known {
    /// One of the key, counted from the newest.
    OfKey(usize),
    /// One of another key, counted from the newest.
    OfAnother(usize),
}

/// A time in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At {
    /// So far from a version of the key, counted from the newest.
    Version(usize, i64),
    Now(i64),
    Is(i64),
}

/// Which one a list is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CursorOf {
    None,
    Slot(usize),
    Garbage,
}

#[derive(Debug, Clone)]
pub(crate) enum Call {
    Get { cached: bool },
    Set(Value, Attributes),
    Update(Option<(Value, Attributes)>),
    Increment(i64, Attributes),
    Remove,
    GetVersion(Known),
    GetVersionAtTime(At),
    RemoveVersion(Known),
    ListVersions { descending: bool, from: Option<At>, to: Option<At>, size: i64 },
    ListKeys { prefix: &'static str, size: i64, cursor: CursorOf, exclude_deleted: bool },
    ListDataStores { prefix: &'static str, size: i64, cursor: CursorOf },
    GetSorted { ascending: bool, size: i64, min: i64, max: i64 },
    BatchGet(Vec<&'static str>),
}

#[derive(Clone)]
pub(crate) enum Op {
    Call {
        handle: Handle,
        key: &'static str,
        call: Call,
        slot: usize,
    },
    Turn(usize),
    /// A call whose arguments are wrong, and what it raises.
    Wrong(&'static str, &'static str),
    /// So many ticks pass; clocks may be set back.
    Pass(i64),
    Snapshot,
    Sweep,
    Restart,
    /// The game is deleted, and restored or purged.
    Delete {
        purge: bool,
    },
}

/// Servers of the game.
pub(crate) const HOSTS: usize = 2;

/// Each host has slots of its own.
const fn host_of(slot: usize) -> usize {
    slot % HOSTS
}

/// A call as it is made now: a line of Luau, and what the model says to it.
pub(crate) struct Asked {
    /// Of which host.
    pub(crate) host: usize,
    pub(crate) source: String,
    pub(crate) answer: Answer,
}

impl Op {
    /// `None` if it is not a call, or one that a script could not make now.
    pub(crate) fn ask(&self, model: &mut Model) -> Option<Asked> {
        match self {
            Self::Call { handle, key, call, slot } => Some(call.ask(model, *handle, key, *slot)),
            Self::Turn(slot) => {
                model.pages[*slot].as_ref()?;
                Some(Asked { host: host_of(*slot), source: format!("turn({slot})"), answer: model.turn(*slot) })
            }
            Self::Wrong(source, error) => {
                Some(Asked { host: 0, source: (*source).to_owned(), answer: Err((*error).to_owned()) })
            }
            _ => None,
        }
    }
}

impl Call {
    fn ask(&self, model: &mut Model, handle: Handle, name: &str, slot: usize) -> Asked {
        let (store, key, passed) = (handle.source(), handle.key(name), handle.passed(name));
        let plain = |method: &str, rest: &str| format!("{store}:{method}({passed:?}{rest})");
        let (source, answer) = match self {
            Self::Get { cached } => (plain("GetAsync", if *cached { "" } else { ", uncached()" }), model.get(&key)),
            Self::Set(value, attributes) => {
                let rest = format!(", {}{}", value.source(), passed_attributes(*attributes, "setting"));
                (plain("SetAsync", &rest), model.set(&key, *value, *attributes))
            }
            Self::Update(result) => {
                let rest = match result {
                    None => "nil".to_owned(),
                    Some((value, Attributes { ids, metadata })) => {
                        format!("{}, {}, {}", value.source(), ids.source, metadata.source)
                    }
                };
                (format!("update({store}, {passed:?}, {rest})"), model.update(&key, *result))
            }
            Self::Increment(delta, attributes) => {
                let rest = format!(", {delta}{}", passed_attributes(*attributes, "incrementing"));
                (plain("IncrementAsync", &rest), model.increment(&key, *delta, *attributes))
            }
            Self::Remove => (plain("RemoveAsync", ""), model.remove(&key)),
            Self::GetVersion(known) => {
                let number = known.number(model, &key);
                (plain("GetVersionAsync", &format!(", ids[{number}]")), model.get_version(&key, number))
            }
            Self::RemoveVersion(known) => {
                let number = known.number(model, &key);
                (plain("RemoveVersionAsync", &format!(", ids[{number}]")), model.remove_version(&key, number))
            }
            Self::GetVersionAtTime(at) => {
                let at = at.ms(model, &key);
                (plain("GetVersionAtTimeAsync", &format!(", {at}")), model.get_version_at(&key, at))
            }
            Self::BatchGet(names) => {
                let keys: Vec<_> = names.iter().map(|name| handle.key(name)).collect();
                (format!("{store}:BatchGetAsync({{ {} }})", quoted(names)), model.batch_get(&keys))
            }
            list => return list.ask_list(model, handle, &key, slot),
        };
        Asked { host: host_of(slot), source, answer }
    }

    fn ask_list(&self, model: &mut Model, handle: Handle, key: &Key, slot: usize) -> Asked {
        let store = handle.source();
        let ms_or_0 = |at: &Option<At>| at.map_or(0, |at| at.ms(model, key));
        let (source, list, size, cursor) = match self {
            Self::ListVersions { descending, from, to, size } => {
                let (from, to) = (ms_or_0(from), ms_or_0(to));
                let direction = if *descending { "Descending" } else { "Ascending" };
                let name = handle.passed(&key.key);
                let name = if let Handle::AllScopes(..) = handle { format!("{}/{}", key.scope, key.key) } else { name };
                let bound = |ms: i64| u64::try_from(ms).ok().filter(|ms| *ms > 0);
                let list =
                    List::Versions { key: key.clone(), descending: *descending, from: bound(from), to: bound(to) };
                let source = format!("ListVersionsAsync({name:?}, {direction:?}, {from}, {to}, {size})");
                (format!("{store}:{source}"), list, *size, CursorOf::None)
            }
            Self::ListKeys { prefix, size, cursor, exclude_deleted } => {
                let scope = (!matches!(handle, Handle::AllScopes(..))).then(|| key.scope.clone());
                let list = List::Keys {
                    store: key.store.clone(),
                    scope,
                    prefix: (*prefix).to_owned(),
                    exclude_deleted: *exclude_deleted,
                };
                let passed = format!("{prefix:?}, {size}, {}, {exclude_deleted}", cursor.source(model, slot));
                (format!("{store}:ListKeysAsync({passed})"), list, *size, *cursor)
            }
            Self::ListDataStores { prefix, size, cursor } => {
                let passed = format!("{prefix:?}, {size}, {}", cursor.source(model, slot));
                let source = format!("DataStoreService:ListDataStoresAsync({passed})");
                (source, List::Stores { prefix: (*prefix).to_owned() }, *size, *cursor)
            }
            Self::GetSorted { ascending, size, min, max } => {
                let (store_name, scope) = (key.store.clone(), key.scope.clone());
                let list = List::Sorted { store: store_name, scope, ascending: *ascending, min: *min, max: *max };
                (format!("{store}:GetSortedAsync({ascending}, {size}, {min}, {max})"), list, *size, CursorOf::None)
            }
            other => unreachable!("{other:?} is no list"),
        };
        let cursor = cursor.of(model, slot);
        let answer = model.list(slot, list, size, cursor);
        Asked { host: host_of(slot), source: format!("hold({slot}, {source})"), answer }
    }
}

fn passed_attributes(attributes: Attributes, options: &str) -> String {
    let Attributes { ids, metadata } = attributes;
    match attributes.has_no_options() {
        true if ids.source == "nil" => String::new(),
        true => format!(", {}", ids.source),
        false => format!(", {}, {options}({})", ids.source, metadata.source),
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

impl Known {
    /// Its number; 0 if there is none.
    fn number(self, model: &Model, key: &Key) -> usize {
        let own = model.entries.get(key).map(Vec::as_slice).unwrap_or_default();
        let (mut numbers, back): (Vec<_>, _) = match self {
            Self::OfKey(back) => (own.iter().map(|version| version.number).collect(), back),
            Self::OfAnother(back) => {
                // An id is its key's: one of another key that was written at the same time may be the same.
                let is_other = |version: &&Version| own.iter().all(|own| own.updated != version.updated);
                (model.entries.values().flatten().filter(is_other).map(|version| version.number).collect(), back)
            }
        };
        numbers.retain(|number| model.seen.contains(number));
        numbers.sort_unstable();
        let count = numbers.len().max(1);
        numbers.iter().rev().nth(back % count).copied().unwrap_or_default()
    }
}

impl At {
    fn ms(self, model: &Model, key: &Key) -> i64 {
        let signed = |ms: u64| i64::try_from(ms).unwrap();
        match self {
            Self::Version(back, by) => {
                let versions = model.entries.get(key).map(Vec::as_slice).unwrap_or_default();
                let version = versions.iter().rev().nth(back % versions.len().max(1));
                version.map_or(1, |version| signed(ms(version.updated)) + by)
            }
            Self::Now(by) => signed(ms(model.now)) + by,
            Self::Is(ms) => ms,
        }
    }
}

impl CursorOf {
    /// For a list in a slot: a host has only its own pages.
    fn source(self, model: &Model, slot: usize) -> String {
        match self {
            Self::None => "nil".to_owned(),
            Self::Garbage => r#""garbage""#.to_owned(),
            Self::Slot(_) => match self.pages(model, slot) {
                Some((held, _)) => format!("held[{held}].Cursor"),
                None => r#""""#.to_owned(),
            },
        }
    }

    /// The pages that have it.
    fn pages(self, model: &Model, slot: usize) -> Option<(usize, &Pages)> {
        let Self::Slot(held) = self else { return None };
        let held = held - host_of(held) + host_of(slot);
        let pages = model.pages[held].as_ref()?;
        matches!(pages.list, List::Keys { .. } | List::Stores { .. }).then_some((held, pages))
    }

    fn of(self, model: &Model, slot: usize) -> Cursor {
        match self {
            Self::Garbage => Cursor::Garbage,
            _ => self.pages(model, slot).map_or(Cursor::None, |(_, pages)| Cursor::Of(pages.clone())),
        }
    }
}

/// A sequence, which shows as the lines that a script would run.
#[derive(Clone)]
pub(crate) struct Sequence(pub(crate) Vec<Op>);

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        self.0.iter().try_for_each(|op| writeln!(f, "    {op:?}"))
    }
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { handle, key, call, slot } => {
                write!(f, "{}: {call:?} of {key:?}, slot {slot}", handle.source())
            }
            Self::Turn(slot) => write!(f, "turn({slot})"),
            Self::Wrong(source, _) => write!(f, "{source}"),
            Self::Pass(ticks) => write!(f, "-- {} pass", duration(*ticks)),
            Self::Snapshot => write!(f, "-- snapshot"),
            Self::Sweep => write!(f, "-- sweep"),
            Self::Restart => write!(f, "-- restart"),
            Self::Delete { purge } => {
                write!(f, "-- the game is deleted and {}", if *purge { "purged" } else { "restored" })
            }
        }
    }
}

fn duration(ticks: i64) -> String {
    let units = [(864_000_000_000, "d"), (36_000_000_000, "h"), (10_000_000, "s"), (10_000, "ms"), (1, "ticks")];
    let mut rest = ticks.unsigned_abs();
    let mut shown = if ticks < 0 { "-".to_owned() } else { String::new() };
    for (unit, name) in units {
        if rest >= unit {
            shown += &format!("{}{name} ", rest / unit);
            rest %= unit;
        }
    }
    shown.trim_end().to_owned()
}
