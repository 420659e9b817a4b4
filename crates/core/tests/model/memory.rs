//! What memory stores are, in the plainest form: lists that are searched from one end to the other.
//!
//! Owns: every rule of spec §7.1 once more, without indexes, deferred eviction or limits. Does not own: numbers of revisions
//! and ids of reads; those only have to name the same.

use std::cmp::Ordering;
use std::sync::Arc;

use clawstore_core::Value;
use clawstore_core::clock::Timestamp;
use clawstore_core::memory_store::{
    Direction, HashMapCall, MemoryCall, MemoryReply, MemoryStatus, Number, QueueCall, RangeBound, RangeItem, SortKey,
    SortedMapCall, StoredItem, Write,
};

type Answer = Result<MemoryReply, MemoryStatus>;

#[derive(Debug, Clone)]
struct MapItem {
    map: (bool, Arc<str>),
    key: Arc<str>,
    value: Value,
    sort_key: Option<SortKey>,
    until: u64,
    revision: u64,
}

#[derive(Debug)]
struct QueueItem {
    queue: Arc<str>,
    value: Value,
    priority: Number,
    number: u64,
    until: u64,
    /// The read that has it, and until when.
    hidden: Option<(u64, u64)>,
}

/// All memory stores of a game.
#[derive(Debug, Default)]
pub(crate) struct Model {
    maps: Vec<MapItem>,
    queues: Vec<QueueItem>,
    calls: u64,
    /// Numbers of reads, by the ids that the real one has given them.
    reads: Vec<(Arc<str>, u64)>,
}

fn ticks(seconds: i64) -> u64 {
    seconds.unsigned_abs() * 10_000_000
}

/// Numbers, texts, none; then the key.
fn compare(a: (&Option<SortKey>, &str), b: (&Option<SortKey>, &str)) -> Ordering {
    let group = |sort_key: &Option<SortKey>| match sort_key {
        Some(SortKey::Number(_)) => 0,
        Some(SortKey::Text(_)) => 1,
        None => 2,
    };
    let sort_keys = match (a.0, b.0) {
        (Some(SortKey::Number(a)), Some(SortKey::Number(b))) => a.get().partial_cmp(&b.get()).unwrap(),
        (Some(SortKey::Text(a)), Some(SortKey::Text(b))) => a.as_bytes().cmp(b.as_bytes()),
        (a, b) => group(a).cmp(&group(b)),
    };
    sort_keys.then_with(|| a.1.as_bytes().cmp(b.1.as_bytes()))
}

/// Where an item is, seen from a bound; equal is at the bound.
fn side(item: &MapItem, bound: &RangeBound) -> Ordering {
    let key = bound.key.as_ref().unwrap_or(&item.key);
    compare((&item.sort_key, &item.key), (&bound.sort_key, key))
}

fn is_bound(bound: &RangeBound) -> bool {
    bound.key.is_some() || bound.sort_key.is_some()
}

impl Model {
    pub(crate) fn call(&mut self, now: Timestamp, call: MemoryCall) -> Answer {
        let now = now.ticks();
        self.calls += 1;
        self.maps.retain(|item| item.until > now);
        self.queues.retain(|item| item.until > now);
        for item in &mut self.queues {
            item.hidden = item.hidden.filter(|(_, until)| *until > now);
        }
        match call {
            MemoryCall::SortedMap(name, call) => self.sorted_map(now, (true, name), call),
            MemoryCall::HashMap(name, call) => self.hash_map(now, (false, name), call),
            MemoryCall::Queue(name, call) => Ok(self.queue(now, &name, call)),
        }
    }

    /// Revisions and ids are only compared for being there. Both must come with the same call.
    pub(crate) fn agrees(&mut self, real: &Answer, model: &Answer) -> bool {
        match (real, model) {
            (Ok(MemoryReply::Taken { values, id }), Ok(MemoryReply::Taken { values: expected, id: read })) => {
                if let (Some(id), Some(_)) = (id, read) {
                    self.reads.push((Arc::clone(id), self.calls));
                }
                values == expected && id.is_some() == read.is_some()
            }
            (real, model) => real == model,
        }
    }

    fn find(&self, map: &(bool, Arc<str>), key: &str) -> Option<&MapItem> {
        self.maps.iter().find(|item| item.map == *map && &*item.key == key)
    }

    fn get(&self, map: &(bool, Arc<str>), key: &str) -> MemoryReply {
        MemoryReply::Item(self.find(map, key).map(|item| StoredItem {
            value: item.value.clone(),
            sort_key: item.sort_key.clone(),
            revision: item.revision,
        }))
    }

    fn set(&mut self, now: u64, map: (bool, Arc<str>), key: Arc<str>, write: Write) -> Answer {
        let there = self.find(&map, &key).map_or(0, |item| item.revision);
        if write.expected.is_some_and(|expected| expected != there) {
            return Ok(MemoryReply::Changed);
        }
        self.maps.retain(|item| item.map != map || item.key != key);
        let Write { value, sort_key, expires_in, .. } = write;
        let sort_key = if map.0 { sort_key } else { None };
        if expires_in > 0 {
            let until = now + ticks(expires_in);
            self.maps.push(MapItem { map, key, value, sort_key, until, revision: self.calls });
        }
        Ok(MemoryReply::Written { overwritten: there != 0 })
    }

    fn sorted(&self, map: &(bool, Arc<str>)) -> Vec<MapItem> {
        let mut items: Vec<_> = self.maps.iter().filter(|item| item.map == *map).cloned().collect();
        items.sort_by(|a, b| compare((&a.sort_key, &a.key), (&b.sort_key, &b.key)));
        items
    }

    fn sorted_map(&mut self, now: u64, map: (bool, Arc<str>), call: SortedMapCall) -> Answer {
        Ok(match call {
            SortedMapCall::Get(key) => self.get(&map, &key),
            SortedMapCall::Set(key, write) => return self.set(now, map, key, write),
            SortedMapCall::Remove(key) => {
                self.maps.retain(|item| item.map != map || item.key != key);
                MemoryReply::Done
            }
            SortedMapCall::Range { direction, count, lower, upper } => {
                let mut items = self.sorted(&map);
                items.retain(|item| !is_bound(&lower) || side(item, &lower).is_gt());
                items.retain(|item| !is_bound(&upper) || side(item, &upper).is_lt());
                if direction == Direction::Descending {
                    items.reverse();
                }
                items.truncate(count);
                MemoryReply::Range(items.into_iter().map(shown).collect())
            }
            SortedMapCall::Size => MemoryReply::Size(self.sorted(&map).len()),
        })
    }

    fn hash_map(&mut self, now: u64, map: (bool, Arc<str>), call: HashMapCall) -> Answer {
        Ok(match call {
            HashMapCall::Get(key) => self.get(&map, &key),
            HashMapCall::Set(key, write) => return self.set(now, map, key, write),
            HashMapCall::Remove(key) => {
                self.maps.retain(|item| item.map != map || item.key != key);
                MemoryReply::Done
            }
            HashMapCall::List { after, count } => {
                let mut items = self.sorted(&map);
                items.retain(|item| after.as_ref().is_none_or(|after| item.key > *after));
                let has_more = items.len() > count;
                items.truncate(count);
                MemoryReply::Page { items: items.into_iter().map(shown).collect(), has_more }
            }
        })
    }

    fn queue(&mut self, now: u64, name: &Arc<str>, call: QueueCall) -> MemoryReply {
        let number = self.calls;
        match call {
            QueueCall::Add { value, expires_in, priority } => {
                if expires_in > 0 {
                    let (queue, until) = (Arc::clone(name), now + ticks(expires_in));
                    self.queues.push(QueueItem { queue, value, priority, number, until, hidden: None });
                }
                MemoryReply::Done
            }
            QueueCall::Read { count, all_or_nothing, invisible_for } => {
                let mut found: Vec<_> =
                    self.queues.iter_mut().filter(|item| item.queue == *name && item.hidden.is_none()).collect();
                found.sort_by(|a, b| {
                    b.priority.get().partial_cmp(&a.priority.get()).unwrap().then(a.number.cmp(&b.number))
                });
                found.truncate(count);
                if found.is_empty() || (all_or_nothing && found.len() < count) {
                    return MemoryReply::Taken { values: Vec::new(), id: None };
                }
                let values = found.iter().map(|item| item.value.clone()).collect();
                for item in found {
                    item.hidden = (invisible_for > 0).then_some((number, now + ticks(invisible_for)));
                }
                MemoryReply::Taken { values, id: Some("".into()) }
            }
            QueueCall::Remove(id) => {
                let read = self.reads.iter().find(|(known, _)| *known == id).map_or(0, |(_, number)| *number);
                self.queues.retain(|item| item.queue != *name || item.hidden.is_none_or(|(by, _)| by != read));
                MemoryReply::Done
            }
            QueueCall::Size { exclude_invisible } => {
                let counts = |item: &&QueueItem| item.queue == *name && !(exclude_invisible && item.hidden.is_some());
                MemoryReply::Size(self.queues.iter().filter(counts).count())
            }
        }
    }
}

fn shown(item: MapItem) -> RangeItem {
    RangeItem { key: item.key, value: item.value, sort_key: item.sort_key }
}
