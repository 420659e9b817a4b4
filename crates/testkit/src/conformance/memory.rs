//! What every keeper of memory stores promises (spec §7.1).
//!
//! Owns: the cases of [`MemoryStores`], as tests that know nothing of the keeper. Does not own: limits that follow the users;
//! those are tested where they are counted (`core::memory_store`).

use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clawstore_core::Value;
use clawstore_core::memory_store::{
    Direction, HashMapCall, MemoryCall, MemoryError, MemoryReply, MemoryStatus, MemoryStores, Number, QueueCall,
    RangeBound, RangeItem, SortKey, SortedMapCall, StoredItem, Write,
};

/// Memory stores of one game, empty, with a clock that the test moves.
pub struct MemorySubject {
    stores: Arc<dyn MemoryStores>,
    advance: Box<dyn Fn(Duration)>,
}

impl MemorySubject {
    /// `advance` moves the time by which items expire.
    pub fn new(stores: Arc<dyn MemoryStores>, advance: impl Fn(Duration) + 'static) -> Self {
        Self { stores, advance: Box::new(advance) }
    }

    fn wait(&self, milliseconds: u64) {
        (self.advance)(Duration::from_millis(milliseconds));
    }

    fn call(&self, call: MemoryCall) -> Result<MemoryReply, MemoryError> {
        ask(&*self.stores, call)
    }

    fn sorted(&self, call: SortedMapCall) -> MemoryReply {
        self.call(MemoryCall::SortedMap("map".into(), call)).expect("a call that must succeed")
    }

    fn hashed(&self, call: HashMapCall) -> MemoryReply {
        self.call(MemoryCall::HashMap("map".into(), call)).expect("a call that must succeed")
    }

    fn queue(&self, call: QueueCall) -> MemoryReply {
        self.call(MemoryCall::Queue("queue".into(), call)).expect("a call that must succeed")
    }

    fn status(&self, call: MemoryCall) -> MemoryStatus {
        self.call(call).expect_err("a call that must fail").status
    }

    /// True if an item was there.
    fn set(&self, key: &str, write: Write) -> bool {
        match self.sorted(SortedMapCall::Set(key.into(), write)) {
            MemoryReply::Written { overwritten } => overwritten,
            other => panic!("not a write: {other:?}"),
        }
    }

    fn get(&self, key: &str) -> Option<StoredItem> {
        match self.sorted(SortedMapCall::Get(key.into())) {
            MemoryReply::Item(item) => item,
            other => panic!("not an item: {other:?}"),
        }
    }

    fn range(&self, direction: Direction, count: usize, lower: RangeBound, upper: RangeBound) -> Vec<RangeItem> {
        match self.sorted(SortedMapCall::Range { direction, count, lower, upper }) {
            MemoryReply::Range(items) => items,
            other => panic!("not a range: {other:?}"),
        }
    }

    fn add(&self, json: &str, priority: f64, expires_in: i64) {
        let priority = Number::new(priority).expect("a finite number");
        assert_eq!(self.queue(QueueCall::Add { value: value(json), expires_in, priority }), MemoryReply::Done);
    }

    /// Values as JSON, and the name of the read.
    fn read(&self, count: usize, all_or_nothing: bool) -> (Vec<String>, Option<Arc<str>>) {
        match self.queue(QueueCall::Read { count, all_or_nothing, invisible_for: 30 }) {
            MemoryReply::Taken { values, id } => (values.iter().map(text).collect(), id),
            other => panic!("not a read: {other:?}"),
        }
    }

    fn remove(&self, id: Option<Arc<str>>) {
        let id = id.expect("the read has returned items");
        assert_eq!(self.queue(QueueCall::Remove(id)), MemoryReply::Done);
    }

    /// With and without what is hidden.
    fn sizes(&self) -> (MemoryReply, MemoryReply) {
        let size = |exclude_invisible| self.queue(QueueCall::Size { exclude_invisible });
        (size(false), size(true))
    }
}

impl fmt::Debug for MemorySubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySubject").field("stores", &self.stores).finish_non_exhaustive()
    }
}

/// Waits for the one answer.
fn ask(stores: &dyn MemoryStores, call: MemoryCall) -> Result<MemoryReply, MemoryError> {
    let (sender, answers) = mpsc::channel();
    stores.call(call, Box::new(move |result| drop(sender.send(result))));
    let answer = answers.recv().expect("an answer");
    assert!(answers.recv().is_err(), "one answer only");
    answer
}

fn value(json: &str) -> Value {
    Value::new(json.to_owned()).expect("a short value")
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(value.json()).into_owned()
}

fn write(json: &str, sort_key: Option<SortKey>) -> Write {
    Write { value: value(json), sort_key, expires_in: 60, expected: None }
}

fn number(number: f64) -> Option<SortKey> {
    Some(SortKey::Number(Number::new(number).expect("a finite number")))
}

fn word(word: &str) -> Option<SortKey> {
    Some(SortKey::Text(word.into()))
}

fn keys(items: &[RangeItem]) -> Vec<&str> {
    items.iter().map(|item| &*item.key).collect()
}

fn at(item: &RangeItem) -> RangeBound {
    RangeBound { key: Some(Arc::clone(&item.key)), sort_key: item.sort_key.clone() }
}

const ALL: RangeBound = RangeBound { key: None, sort_key: None };

/// Values and sort keys come back to the byte; a write says whether an item was there; a removed one is gone.
pub fn items_come_back_as_they_were_written(subject: MemorySubject) {
    assert_eq!(subject.get("k"), None);
    assert!(!subject.set("k", write(r#"{"b":1, "a":"Grüße"}"#, word("z"))));
    let item = subject.get("k").expect("an item");
    assert_eq!((text(&item.value).as_str(), item.sort_key), (r#"{"b":1, "a":"Grüße"}"#, word("z")));
    assert!(subject.set("k", write("2", None)), "it was there");
    let item = subject.get("k").expect("an item");
    assert_eq!((text(&item.value).as_str(), item.sort_key), ("2", None));
    assert_eq!(subject.sorted(SortedMapCall::Remove("k".into())), MemoryReply::Done);
    assert_eq!(subject.sorted(SortedMapCall::Remove("k".into())), MemoryReply::Done);
    assert_eq!(subject.get("k"), None);
    assert!(!subject.set("k", write("3", None)), "it was removed");
}

/// To the millisecond; each write begins anew; 0 is gone at once, with what was there.
pub fn items_expire(subject: MemorySubject) {
    let lives = |seconds| Write { expires_in: seconds, ..write("1", None) };
    subject.set("k", lives(2));
    subject.set("other", lives(3));
    subject.wait(1_999);
    assert!(subject.get("k").is_some());
    subject.wait(1);
    assert_eq!((subject.get("k"), subject.sorted(SortedMapCall::Size)), (None, MemoryReply::Size(1)));
    assert_eq!(keys(&subject.range(Direction::Ascending, 10, ALL, ALL)), ["other"]);
    assert!(!subject.set("k", lives(2)), "it has expired");
    subject.wait(1_500);
    assert!(subject.set("k", lives(2)));
    subject.wait(1_500);
    assert!(subject.set("k", lives(0)), "the second write has prolonged it");
    assert_eq!(subject.get("k"), None);
    assert!(!subject.set("k", lives(3_888_000)));
    subject.wait(3_887_999_999);
    assert!(subject.get("k").is_some());
}

/// Numbers, texts, none; among equals by key. Both ways, and no more than was asked for.
pub fn sorted_maps_are_sorted(subject: MemorySubject) {
    let items = [
        ("b", None),
        ("a", None),
        ("B", word("10")),
        ("c", word("9")),
        ("d", number(10.0)),
        ("y", number(9.0)),
        ("x", number(9.0)),
        ("e", number(-1.5)),
    ];
    for (key, sort_key) in items {
        subject.set(key, write("1", sort_key));
    }
    let order = ["e", "x", "y", "d", "B", "c", "a", "b"];
    assert_eq!(keys(&subject.range(Direction::Ascending, 200, ALL, ALL)), order);
    assert_eq!(keys(&subject.range(Direction::Descending, 3, ALL, ALL)), ["b", "a", "c"]);
    subject.set("e", write("1", word("9")));
    assert_eq!(keys(&subject.range(Direction::Descending, 4, ALL, ALL)), ["b", "a", "e", "c"], "it has moved");
}

/// The last item of a page is the bound of the next one, both ways; nothing is skipped and nothing comes twice.
pub fn ranges_can_be_paged(subject: MemorySubject) {
    for index in 0..23 {
        let sort_key = match index % 3 {
            0 => number(f64::from(index % 2)),
            1 => word(&(index % 4).to_string()),
            _ => None,
        };
        subject.set(&format!("k{index:02}"), write("1", sort_key));
    }
    let all = subject.range(Direction::Ascending, 200, ALL, ALL);
    assert_eq!(all.len(), 23);
    for direction in [Direction::Ascending, Direction::Descending] {
        let (mut paged, mut bounds) = (Vec::new(), (ALL, ALL));
        loop {
            let page = subject.range(direction, 4, bounds.0.clone(), bounds.1.clone());
            let Some(last) = page.last() else { break };
            match direction {
                Direction::Ascending => bounds.0 = at(last),
                Direction::Descending => bounds.1 = at(last),
            }
            paged.extend(page);
        }
        if direction == Direction::Descending {
            paged.reverse();
        }
        assert_eq!(keys(&paged), keys(&all), "{direction:?}");
    }
}

/// Bounds are exclusive. A sort key alone leaves out all that have it; a key alone is that of an item without a sort key.
pub fn bounds_are_exclusive(subject: MemorySubject) {
    for (key, sort_key) in [("a", number(1.0)), ("b", number(2.0)), ("c", number(2.0)), ("d", number(3.0))] {
        subject.set(key, write("1", sort_key));
    }
    subject.set("10", write("1", None));
    subject.set("20", write("1", None));
    let bound = |key: Option<&str>, sort_key| RangeBound { key: key.map(Arc::from), sort_key };
    let found = |lower, upper| {
        let items = subject.range(Direction::Ascending, 200, lower, upper);
        keys(&items).join(" ")
    };
    assert_eq!(found(bound(Some("b"), number(2.0)), ALL), "c d 10 20");
    assert_eq!(found(ALL, bound(Some("c"), number(2.0))), "a b");
    assert_eq!(found(bound(None, number(2.0)), ALL), "d 10 20");
    assert_eq!(found(ALL, bound(None, number(2.0))), "a");
    assert_eq!(found(bound(Some("10"), None), ALL), "20");
    assert_eq!(found(bound(Some("1"), None), bound(Some("20"), None)), "10");
    assert_eq!(found(bound(None, number(1.0)), bound(None, number(3.0))), "b c");
    assert_eq!(found(bound(None, number(3.0)), bound(None, number(1.0))), "");
    assert_eq!(found(bound(None, number(2.0)), bound(None, number(2.0))), "");
    assert_eq!(found(bound(Some("b"), number(2.0)), bound(Some("b"), number(2.0))), "");
    assert_eq!(found(bound(None, number(2.5)), bound(Some("a"), word("x"))), "d");
}

/// A write that names a revision is made on that one only: not on a later one, nor on one of an item that came after it.
pub fn a_write_that_names_a_revision_is_made_on_no_other(subject: MemorySubject) {
    let on = |expected, json: &str| {
        let write = Write { expected: Some(expected), ..write(json, None) };
        subject.call(MemoryCall::SortedMap("map".into(), SortedMapCall::Set("k".into(), write)))
    };
    assert_eq!(on(1, "0"), Ok(MemoryReply::Changed));
    assert_eq!(on(0, "1"), Ok(MemoryReply::Written { overwritten: false }));
    assert_eq!(on(0, "2"), Ok(MemoryReply::Changed));
    let first = subject.get("k").expect("an item").revision;
    assert_eq!(on(first, "3"), Ok(MemoryReply::Written { overwritten: true }));
    assert_eq!(on(first, "4"), Ok(MemoryReply::Changed));
    let second = subject.get("k").expect("an item").revision;
    // The structure is empty in between, and may be forgotten.
    subject.sorted(SortedMapCall::Remove("k".into()));
    assert_eq!(on(second, "5"), Ok(MemoryReply::Changed));
    for _ in 0..10 {
        subject.set("k", write("6", None));
        let revision = subject.get("k").expect("an item").revision;
        assert!(![first, second].contains(&revision), "a revision was given out again");
        subject.sorted(SortedMapCall::Remove("k".into()));
    }
    subject.set("k", write("7", None));
    let seen = subject.get("k").expect("an item").revision;
    subject.wait(60_000);
    assert_eq!(on(seen, "8"), Ok(MemoryReply::Changed));
    assert_eq!(on(0, "9"), Ok(MemoryReply::Written { overwritten: false }));
    assert_eq!(text(&subject.get("k").expect("an item").value), "9");
}

/// Greater priorities first, the order of adding among equals; a read hides, and what it has read comes back to its place.
pub fn queues_serve_by_priority_and_hide_what_was_read(subject: MemorySubject) {
    for (json, priority) in [("1", 0.0), ("2", 5.0), ("3", 0.0), ("4", 5.0), ("5", -1.0)] {
        subject.add(json, priority, 3_600);
    }
    let (values, first) = subject.read(2, false);
    assert_eq!(values, ["2", "4"]);
    assert_eq!(subject.sizes(), (MemoryReply::Size(5), MemoryReply::Size(3)));
    subject.wait(10_000);
    let (values, second) = subject.read(100, false);
    assert_eq!(values, ["1", "3", "5"]);
    assert_eq!(subject.read(1, false), (Vec::new(), None));
    subject.remove(second);
    assert_eq!(subject.sizes(), (MemoryReply::Size(2), MemoryReply::Size(0)));
    subject.wait(19_999);
    assert_eq!(subject.read(1, false).0, [""; 0], "hidden for 30 s");
    subject.wait(1);
    assert_eq!(subject.sizes(), (MemoryReply::Size(2), MemoryReply::Size(2)));
    subject.remove(first.clone());
    assert_eq!(subject.sizes(), (MemoryReply::Size(2), MemoryReply::Size(2)), "too late: it has no effect");
    subject.add("6", 7.0, 3_600);
    let (values, third) = subject.read(100, false);
    assert_eq!(values, ["6", "2", "4"], "in their old place");
    assert_ne!(third, first);
    subject.remove(first);
    subject.remove(Some("no such read".into()));
    assert_eq!(subject.sizes().0, MemoryReply::Size(3));
}

/// Fewer than all are none, and nothing is hidden then.
pub fn queues_give_all_or_nothing(subject: MemorySubject) {
    subject.add("1", 0.0, 60);
    subject.add("2", 0.0, 60);
    assert_eq!(subject.read(3, true), (Vec::new(), None));
    assert_eq!(subject.sizes().1, MemoryReply::Size(2));
    assert_eq!(subject.read(2, true).0, ["1", "2"]);
    assert_eq!(subject.read(1, true), (Vec::new(), None));
}

/// Also what is hidden; and the rest of its read can still be removed.
pub fn items_of_queues_expire(subject: MemorySubject) {
    subject.add("1", 0.0, 10);
    subject.add("2", 0.0, 20);
    subject.add("3", 0.0, 0);
    assert_eq!(subject.sizes().0, MemoryReply::Size(2));
    let (values, id) = subject.read(2, true);
    assert_eq!(values, ["1", "2"]);
    subject.wait(10_000);
    assert_eq!(subject.sizes(), (MemoryReply::Size(1), MemoryReply::Size(0)));
    subject.remove(id);
    assert_eq!(subject.sizes(), (MemoryReply::Size(0), MemoryReply::Size(0)));
    subject.add("4", 0.0, 40);
    assert_eq!(subject.read(1, false).0, ["4"]);
    subject.wait(40_000);
    assert_eq!(subject.read(1, false).0, [""; 0], "it would show again, but has expired");
}

/// Every item once, whatever is written meanwhile.
pub fn hash_maps_are_listed_in_pages(subject: MemorySubject) {
    for index in 0..7 {
        subject.hashed(HashMapCall::Set(format!("k{index}").into(), write("1", None)));
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let MemoryReply::Page { items, has_more } = subject.hashed(HashMapCall::List { after, count: 3 }) else {
            panic!("not a page")
        };
        assert!(items.len() <= 3);
        after = items.last().map(|item| Arc::clone(&item.key));
        listed.extend(items.iter().map(|item| item.key.to_string()));
        if !has_more {
            break;
        }
        // A removed bound is a bound all the same.
        subject.hashed(HashMapCall::Remove(after.clone().expect("a page that is not empty")));
    }
    listed.sort();
    assert_eq!(listed, (0..7).map(|index| format!("k{index}")).collect::<Vec<_>>());
    let empty = subject.call(MemoryCall::HashMap("empty".into(), HashMapCall::List { after: None, count: 3 }));
    assert_eq!(empty, Ok(MemoryReply::Page { items: Vec::new(), has_more: false }));
    let sorted = write("1", number(5.0));
    subject.hashed(HashMapCall::Set("sorted".into(), sorted));
    let MemoryReply::Item(Some(item)) = subject.hashed(HashMapCall::Get("sorted".into())) else { panic!("no item") };
    assert_eq!(item.sort_key, None, "hash maps know no sort keys");
}

/// A sorted map, a hash map and a queue of one name, and those of other names, are apart.
pub fn names_and_kinds_are_apart(subject: MemorySubject) {
    subject.set("k", write("1", None));
    let size = |name: &str| subject.call(MemoryCall::SortedMap(name.into(), SortedMapCall::Size));
    assert_eq!((size("map"), size("MAP")), (Ok(MemoryReply::Size(1)), Ok(MemoryReply::Size(0))));
    assert_eq!(subject.hashed(HashMapCall::Get("k".into())), MemoryReply::Item(None));
    let queue = MemoryCall::Queue("map".into(), QueueCall::Size { exclude_invisible: false });
    assert_eq!(subject.call(queue), Ok(MemoryReply::Size(0)));
}

/// Each with its own status, and without a trace.
pub fn what_cannot_be_is_refused(subject: MemorySubject) {
    let set = |key: &str, write| MemoryCall::SortedMap("map".into(), SortedMapCall::Set(key.into(), write));
    let long = "k".repeat(129);
    for expires_in in [-1, 3_888_001] {
        let status = subject.status(set("k", Write { expires_in, ..write("1", None) }));
        assert_eq!(status, MemoryStatus::InvalidExpirationTime);
    }
    assert_eq!(subject.status(set("", write("1", None))), MemoryStatus::InvalidRequest);
    assert_eq!(subject.status(set(&long, write("1", None))), MemoryStatus::InvalidRequest);
    assert_eq!(subject.status(set("k", write("1", word(&long)))), MemoryStatus::InvalidRequest);
    let large = "1".repeat(32 * 1024 + 1);
    assert_eq!(subject.status(set("k", write(&large, None))), MemoryStatus::ItemValueSizeTooLarge);
    for name in ["", &long] {
        let call = MemoryCall::SortedMap(name.into(), SortedMapCall::Size);
        assert_eq!(subject.status(call), MemoryStatus::InvalidRequest);
    }
    assert_eq!(subject.sorted(SortedMapCall::Size), MemoryReply::Size(0));
    subject.set(&long[1..], write(&large[1..], word(&long[1..])));
}

/// Eight threads that add 1 to an item, each on the revision it has read, and eight that pass a queue on, lose nothing.
pub fn calls_of_many_threads_take_effect_one_after_the_other(subject: MemorySubject) {
    let stores = &*subject.stores;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|_| add_one(stores)));
        }
    });
    assert_eq!(text(&subject.get("sum").expect("an item").value), "800");
    let add = |value| QueueCall::Add { value, expires_in: 60, priority: Number::default() };
    for index in 0..400 {
        subject.queue(add(Value::integer(index)));
    }
    let taken: Vec<String> = std::thread::scope(|scope| {
        let read = move || QueueCall::Read { count: 7, all_or_nothing: false, invisible_for: 30 };
        let drain = move || {
            let mut taken = Vec::new();
            while let Ok(MemoryReply::Taken { values, id: Some(_) }) =
                ask(stores, MemoryCall::Queue("queue".into(), read()))
            {
                taken.extend(values.iter().map(text));
            }
            taken
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(drain)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread that does not panic")).collect()
    });
    let mut taken: Vec<i64> = taken.iter().map(|text| text.parse().expect("a number")).collect();
    taken.sort_unstable();
    assert_eq!(taken, (0..400).collect::<Vec<_>>(), "each item was given to one reader");
}

fn add_one(stores: &dyn MemoryStores) {
    let on_map = |call| ask(stores, MemoryCall::SortedMap("map".into(), call));
    loop {
        let Ok(MemoryReply::Item(item)) = on_map(SortedMapCall::Get("sum".into())) else { panic!("not an item") };
        let (sum, revision) = item.map_or((0, 0), |item| (item.value.as_integer().expect("a number"), item.revision));
        let write = Write { expected: Some(revision), ..write(&(sum + 1).to_string(), None) };
        match on_map(SortedMapCall::Set("sum".into(), write)) {
            Ok(MemoryReply::Written { .. }) => return,
            other => assert_eq!(other, Ok(MemoryReply::Changed)),
        }
    }
}

/// Makes one `#[test]` of every case of memory stores. Takes an expression that gives a [`MemorySubject`] over empty ones.
#[macro_export]
macro_rules! memory_conformance {
    ($make:expr) => {
        $crate::memory_conformance! { @cases $make;
            items_come_back_as_they_were_written, items_expire, sorted_maps_are_sorted, ranges_can_be_paged,
            bounds_are_exclusive, a_write_that_names_a_revision_is_made_on_no_other,
            queues_serve_by_priority_and_hide_what_was_read, queues_give_all_or_nothing, items_of_queues_expire,
            hash_maps_are_listed_in_pages, names_and_kinds_are_apart, what_cannot_be_is_refused,
            calls_of_many_threads_take_effect_one_after_the_other
        }
    };
    (@cases $make:expr; $($case:ident),+) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::memory::$case($make);
            }
        )+
    };
}
