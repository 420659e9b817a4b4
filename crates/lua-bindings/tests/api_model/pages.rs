//! Lists of the model, a page at a time (spec §2.10, §2.11, §3.2).

use crate::model::{Answer, Key, Model, ms};

/// What a list is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum List {
    /// With its bounds in milliseconds, both included.
    Versions {
        key: Key,
        descending: bool,
        from: Option<u64>,
        to: Option<u64>,
    },
    /// Of one scope, or of all.
    Keys {
        store: String,
        scope: Option<String>,
        prefix: String,
        exclude_deleted: bool,
    },
    Stores {
        prefix: String,
    },
    Sorted {
        store: String,
        scope: String,
        ascending: bool,
        min: i64,
        max: i64,
    },
}

/// Where an item stands in its list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Position {
    Tick(u64),
    Name(String, String),
    Number(i64, String),
}

struct Item {
    position: Position,
    /// `None` if the list leaves it out.
    shown: Option<String>,
}

/// What a script holds.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pub(crate) list: List,
    size: usize,
    shown: String,
    /// Behind what the next page begins; `None` on the last.
    pub(crate) next: Option<Position>,
}

impl List {
    /// How many items a page has, given what the script asked for.
    fn page_size(&self, asked: i64) -> Result<usize, String> {
        let refused = || Err("106: PageSize must be within a predefined range.".to_owned());
        let (default, most) = match self {
            Self::Versions { .. } => (1_024, 1_024),
            Self::Keys { .. } => (50, 256),
            Self::Stores { .. } => (32, 256),
            Self::Sorted { .. } if !(1..=100).contains(&asked) => return refused(),
            Self::Sorted { .. } => (50, 100),
        };
        match usize::try_from(asked) {
            Ok(0) => Ok(default),
            Ok(asked) => Ok(asked.min(most)),
            Err(_) => refused(),
        }
    }

    fn is_reversed(&self) -> bool {
        matches!(self, Self::Versions { descending: true, .. } | Self::Sorted { ascending: false, .. })
    }

    fn has_cursor(&self) -> bool {
        matches!(self, Self::Keys { .. } | Self::Stores { .. })
    }
}

impl Model {
    /// All that a list is about, in its order.
    fn items(&self, list: &List) -> Vec<Item> {
        let mut items = match list {
            List::Versions { key, from, to, .. } => {
                let is_asked = |at: u64| from.is_none_or(|from| ms(at) >= from) && to.is_none_or(|to| ms(at) <= to);
                let versions = self.versions(key).into_iter().filter(|version| is_asked(version.updated));
                let item = |number, updated, deleted| Item {
                    position: Position::Tick(updated),
                    shown: Some(format!("version(<v{number}> {} {deleted})", ms(updated))),
                };
                versions.map(|version| item(version.number, version.updated, version.value.is_none())).collect()
            }
            List::Keys { store, scope, prefix, exclude_deleted } => {
                self.keys(store, scope.as_deref(), prefix, *exclude_deleted)
            }
            List::Stores { prefix } => self.store_names(prefix),
            List::Sorted { store, scope, min, max, .. } => self.numbers(store, scope, *min..=*max),
        };
        if list.is_reversed() {
            items.reverse();
        }
        items
    }

    fn keys(&self, store: &str, scope: Option<&str>, prefix: &str, exclude_deleted: bool) -> Vec<Item> {
        let is_meant = |key: &&Key| !key.ordered && key.store == store && scope.is_none_or(|scope| key.scope == scope);
        let item = |key: &Key| {
            let name = if scope.is_some() { key.key.clone() } else { format!("{}/{}", key.scope, key.key) };
            let newest = self.newest(key).filter(|_| name.starts_with(prefix))?;
            let is_shown = !(exclude_deleted && newest.value.is_none());
            let position = Position::Name(key.scope.clone(), key.key.clone());
            Some(Item { position, shown: is_shown.then(|| format!("key({name:?})")) })
        };
        self.entries.keys().filter(is_meant).filter_map(item).collect()
    }

    fn store_names(&self, prefix: &str) -> Vec<Item> {
        let holds_any = |store: &str| {
            self.entries.keys().any(|key| !key.ordered && key.store == store && self.newest(key).is_some())
        };
        // The global data store has no name.
        let names = self.stores.iter().filter(|(name, _)| !name.is_empty() && name.starts_with(prefix));
        let item = |(name, (created, updated)): (&String, &(u64, u64))| Item {
            position: Position::Name(name.clone(), String::new()),
            shown: Some(format!("store({name:?} {} ~{})", ms(*created), ms(*updated))),
        };
        names.filter(|(name, _)| holds_any(name)).map(item).collect()
    }

    fn numbers(&self, store: &str, scope: &str, range: std::ops::RangeInclusive<i64>) -> Vec<Item> {
        let is_meant = |key: &&Key| key.ordered && key.store == store && key.scope == scope;
        let number = |key: &Key| Some((self.newest(key)?.value?.integer()?, key.key.clone()));
        let mut numbers: Vec<_> = self.entries.keys().filter(is_meant).filter_map(number).collect();
        numbers.retain(|(number, _)| range.contains(number));
        numbers.sort();
        let item = |(number, key): (i64, String)| Item {
            shown: Some(format!("{{\"key\"={key:?} \"value\"={}}}", crate::samples::Value::Integer(number).shown())),
            position: Position::Number(number, key),
        };
        numbers.into_iter().map(item).collect()
    }

    /// The items of a page, and behind what the next one begins.
    fn page(&self, list: &List, size: usize, after: Option<&Position>) -> (String, Option<Position>) {
        let is_behind = |item: &Item| {
            after.is_none_or(|after| if list.is_reversed() { item.position < *after } else { item.position > *after })
        };
        let (mut shown, mut last, mut is_full) = (Vec::new(), None, false);
        for item in self.items(list).into_iter().filter(is_behind) {
            is_full = item.shown.is_some() && shown.len() == size;
            if is_full {
                break;
            }
            last = Some(item.position);
            shown.extend(item.shown);
        }
        (shown.join(" "), last.filter(|_| is_full))
    }

    /// Starts a list. `cursor`: where another one of the same query stands; the inner `None` for one that is at its end.
    pub(crate) fn list(&mut self, slot: usize, list: List, asked: i64, cursor: Cursor) -> Answer {
        let size = list.page_size(asked)?;
        let after = match cursor {
            Cursor::None => None,
            Cursor::Of(pages) if pages.next.is_none() => None,
            Cursor::Of(pages) if pages.list == list => pages.next,
            _ => {
                let text = "InvalidExclusiveStartKey: The cursor is not one of this list. (not applied)";
                return Err(format!("502: API Services rejected request with error. {text}"));
            }
        };
        let (shown, next) = self.page(&list, size, after.as_ref());
        let pages = Pages { list, size, shown, next };
        let answer = pages.answer();
        self.pages[slot] = Some(pages);
        Ok(answer)
    }

    /// The next page of what a slot holds.
    pub(crate) fn turn(&mut self, slot: usize) -> Answer {
        let Some(mut pages) = self.pages[slot].take() else { return Ok("none".to_owned()) };
        let answer = match &pages.next {
            None => Err("No pages to advance to".to_owned()),
            Some(after) => {
                (pages.shown, pages.next) = self.page(&pages.list, pages.size, Some(after));
                Ok(pages.answer())
            }
        };
        self.pages[slot] = Some(pages);
        answer
    }
}

impl Pages {
    fn answer(&self) -> String {
        let cursor = match (self.list.has_cursor(), &self.next) {
            (false, _) => "",
            (true, None) => " no cursor",
            (true, Some(_)) => " cursor",
        };
        format!("pages({}{cursor} [{}])", self.next.is_none(), self.shown)
    }
}

/// What a script passes as one.
#[derive(Debug, Clone)]
pub(crate) enum Cursor {
    None,
    /// That of pages which it holds.
    Of(Pages),
    /// A text of its own.
    Garbage,
}
