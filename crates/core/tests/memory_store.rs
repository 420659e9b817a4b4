//! The memory stores against a plain model: random calls on few keys, with time that moves and jumps.
//!
//! The model (`model/memory.rs`) keeps lists, looks through all of them and knows no indexes. Both are asked the same and must
//! answer the same.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "model/memory.rs"]
mod memory;

use std::sync::Arc;

use clawstore_core::Value;
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::Limits;
use clawstore_core::memory_store::{
    Direction, GameMemory, HashMapCall, MemoryCall, MemoryReply, MemoryStatus, Number, QueueCall, RangeBound, SortKey,
    SortedMapCall, Write,
};
use memory::Model;
use proptest::prelude::*;

/// What happens; revisions and ids of reads are those of an earlier answer.
#[derive(Debug, Clone)]
enum Step {
    Call(MemoryCall),
    /// A compare-and-set on the revision that the last `Get` of any key has seen.
    SetAsRead(MemoryCall),
    /// Removes what one of the reads so far has returned.
    RemoveRead(Arc<str>, usize),
    Milliseconds(u64),
}

fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![4 => Just("a"), 1 => Just("b")].prop_map(Arc::from)
}

fn key() -> impl Strategy<Value = Arc<str>> {
    prop::sample::select(vec!["k1", "k2", "k3", "K", "é"]).prop_map(Arc::from)
}

fn number(number: f64) -> Number {
    Number::new(number).unwrap()
}

fn sort_key() -> impl Strategy<Value = Option<SortKey>> {
    prop_oneof![
        Just(None),
        prop::sample::select(vec![-1.0, -0.0, 0.0, 0.5, 10.0]).prop_map(|n| Some(SortKey::Number(number(n)))),
        prop::sample::select(vec!["", "10", "9", "z"]).prop_map(|text| Some(SortKey::Text(text.into()))),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    (0..1_000u32).prop_map(|n| Value::new(n.to_string()).unwrap())
}

fn expiration() -> impl Strategy<Value = i64> {
    prop_oneof![1 => Just(0), 4 => 1..4i64, 2 => Just(60), 1 => Just(3_888_000)]
}

fn write() -> impl Strategy<Value = Write> {
    (value(), sort_key(), expiration()).prop_map(|(value, sort_key, expires_in)| Write {
        value,
        sort_key,
        expires_in,
        expected: None,
    })
}

fn bound() -> impl Strategy<Value = RangeBound> {
    (prop::option::of(key()), sort_key()).prop_map(|(key, sort_key)| RangeBound { key, sort_key })
}

fn sorted_map_call() -> impl Strategy<Value = SortedMapCall> {
    prop_oneof![
        2 => key().prop_map(SortedMapCall::Get),
        6 => (key(), write()).prop_map(|(key, write)| SortedMapCall::Set(key, write)),
        1 => key().prop_map(SortedMapCall::Remove),
        4 => (any::<bool>(), 1..5usize, bound(), bound()).prop_map(|(up, count, lower, upper)| {
            let direction = if up { Direction::Ascending } else { Direction::Descending };
            SortedMapCall::Range { direction, count, lower, upper }
        }),
        1 => Just(SortedMapCall::Size),
    ]
}

fn hash_map_call() -> impl Strategy<Value = HashMapCall> {
    prop_oneof![
        2 => key().prop_map(HashMapCall::Get),
        4 => (key(), write()).prop_map(|(key, write)| HashMapCall::Set(key, write)),
        1 => key().prop_map(HashMapCall::Remove),
        2 => (prop::option::of(key()), 1..4usize).prop_map(|(after, count)| HashMapCall::List { after, count }),
    ]
}

fn queue_call() -> impl Strategy<Value = QueueCall> {
    prop_oneof![
        6 => (value(), expiration(), prop::sample::select(vec![0.0, -0.0, -2.5, 7.0])).prop_map(
            |(value, expires_in, priority)| QueueCall::Add { value, expires_in, priority: number(priority) }
        ),
        3 => (1..4usize, any::<bool>(), 0..4i64).prop_map(
            |(count, all_or_nothing, invisible_for)| QueueCall::Read { count, all_or_nothing, invisible_for }
        ),
        2 => any::<bool>().prop_map(|exclude_invisible| QueueCall::Size { exclude_invisible }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (name(), sorted_map_call()).prop_map(|(name, call)| Step::Call(MemoryCall::SortedMap(name, call))),
        3 => (name(), hash_map_call()).prop_map(|(name, call)| Step::Call(MemoryCall::HashMap(name, call))),
        6 => (name(), queue_call()).prop_map(|(name, call)| Step::Call(MemoryCall::Queue(name, call))),
        2 => (name(), key(), write()).prop_map(|(name, key, write)| {
            Step::SetAsRead(MemoryCall::SortedMap(name, SortedMapCall::Set(key, write)))
        }),
        1 => (name(), key(), write()).prop_map(|(name, key, write)| {
            Step::SetAsRead(MemoryCall::HashMap(name, HashMapCall::Set(key, write)))
        }),
        2 => (name(), 0..4usize).prop_map(|(name, back)| Step::RemoveRead(name, back)),
        4 => prop_oneof![1..3_000u64, Just(1_000), Just(60_000)].prop_map(Step::Milliseconds),
    ]
}

/// Asks both, and compares.
#[derive(Debug, Default)]
struct World {
    real: GameMemory,
    model: Model,
    ms: u64,
    /// The revision of the last item that was got; 0 if there was none.
    seen: u64,
    reads: Vec<Arc<str>>,
}

impl World {
    fn apply(&mut self, step: Step) {
        match step {
            Step::Milliseconds(ms) => self.ms += ms,
            Step::Call(call) => self.ask(call),
            Step::SetAsRead(mut call) => {
                match &mut call {
                    MemoryCall::SortedMap(_, SortedMapCall::Set(_, write))
                    | MemoryCall::HashMap(_, HashMapCall::Set(_, write)) => write.expected = Some(self.seen),
                    other => panic!("not a write: {other:?}"),
                }
                self.ask(call);
            }
            Step::RemoveRead(name, back) => {
                let id = self.reads.iter().rev().nth(back).cloned().unwrap_or_else(|| "none".into());
                self.ask(MemoryCall::Queue(name, QueueCall::Remove(id)));
            }
        }
    }

    fn ask(&mut self, call: MemoryCall) {
        let now = Timestamp::from_unix_ms(1_767_225_600_000 + self.ms);
        let (real, model) = (self.real.call(now, call.clone()), self.model.call(now, call.clone()));
        let real = real.map_err(|error| error.status);
        match &real {
            Ok(MemoryReply::Item(item)) => self.seen = item.as_ref().map_or(0, |item| item.revision),
            Ok(MemoryReply::Taken { id: Some(id), .. }) => self.reads.push(Arc::clone(id)),
            _ => {}
        }
        assert!(self.model.agrees(&real, &model), "{call:?}\n real: {real:?}\nmodel: {model:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_stores_answer_as_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::default();
        for step in steps {
            world.apply(step);
        }
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1_000)
}

fn set(key: &str, json: String, expires_in: i64) -> MemoryCall {
    let write = Write { value: Value::new(json).unwrap(), sort_key: None, expires_in, expected: None };
    MemoryCall::SortedMap("m".into(), SortedMapCall::Set(key.into(), write))
}

/// Thousands of expired items cost one call no more than a few; what is not taken out yet is not seen.
#[test]
fn expired_items_leave_a_few_at_a_time_and_are_not_seen() {
    let mut memory = GameMemory::default();
    for key in 0..5_000 {
        memory.call(at(1), set(&key.to_string(), "1".to_owned(), 5)).unwrap();
    }
    memory.call(at(2), set("stays", "1".to_owned(), 60)).unwrap();
    let mut ask = |call| memory.call(at(6), MemoryCall::SortedMap("m".into(), call)).unwrap();
    assert_eq!(ask(SortedMapCall::Size), MemoryReply::Size(1));
    assert_eq!(ask(SortedMapCall::Get("4999".into())), MemoryReply::Item(None));
    let (lower, upper) = (RangeBound::default(), RangeBound::default());
    let all = SortedMapCall::Range { direction: Direction::Ascending, count: 200, lower, upper };
    let MemoryReply::Range(items) = ask(all) else { panic!("not a range") };
    assert_eq!(items.iter().map(|item| &*item.key).collect::<Vec<_>>(), ["stays"]);
    assert_ne!(memory.resident_items(), 1, "one call took all of them out");
    let size = memory.call(at(5), MemoryCall::SortedMap("m".into(), SortedMapCall::Size)).unwrap();
    assert_eq!(size, MemoryReply::Size(1), "a clock that is set back brings nothing back");
    let write = Write { value: Value::integer(1), sort_key: None, expires_in: 60, expected: None };
    memory.call(at(6), MemoryCall::SortedMap("a".into(), SortedMapCall::Set("stays".into(), write))).unwrap();
    for _ in 0..60 {
        memory.call(at(6), MemoryCall::HashMap("other".into(), HashMapCall::Get("k".into()))).unwrap();
    }
    assert_eq!(memory.resident_items(), 2, "calls on other structures look after this one too");
}

#[test]
fn expired_items_of_a_queue_are_not_read() {
    let mut memory = GameMemory::default();
    let mut ask = |seconds, call| memory.call(at(seconds), MemoryCall::Queue("q".into(), call)).unwrap();
    let add =
        |json: i64, expires_in| QueueCall::Add { value: Value::integer(json), expires_in, priority: Number::default() };
    for json in 0..2_000 {
        ask(1, add(json, 5));
    }
    ask(1, add(-1, 60));
    let read = QueueCall::Read { count: 100, all_or_nothing: false, invisible_for: 30 };
    let MemoryReply::Taken { values, .. } = ask(6, read) else { panic!("not a read") };
    assert_eq!(values, [Value::integer(-1)]);
    assert_eq!(ask(6, QueueCall::Size { exclude_invisible: true }), MemoryReply::Size(0));
    assert_eq!(ask(6, QueueCall::Size { exclude_invisible: false }), MemoryReply::Size(1));
}

/// However many structures there are, one that is called lets go of its own.
#[test]
fn a_structure_that_is_called_lets_go_of_what_has_expired_in_it() {
    let mut memory = GameMemory::default();
    for name in 0..2_000 {
        let write = Write { value: Value::integer(1), sort_key: None, expires_in: 60, expected: None };
        let call = SortedMapCall::Set("k".into(), write);
        memory.call(at(1), MemoryCall::SortedMap(format!("a{name}").into(), call)).unwrap();
    }
    for key in 0..5_000 {
        memory.call(at(1), set(&key.to_string(), "1".to_owned(), 5)).unwrap();
    }
    for _ in 0..20 {
        memory.call(at(6), MemoryCall::SortedMap("m".into(), SortedMapCall::Size)).unwrap();
    }
    assert_eq!(memory.resident_items(), 2_000);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut memory = GameMemory::default();
    let mut status = |call: MemoryCall| memory.call(at(1), call).map_err(|error| error.status);
    let (one, long) = ("1".to_owned(), "k".repeat(129));
    let ok = Ok(MemoryReply::Written { overwritten: false });
    assert_eq!(status(set(&long[1..], one.clone(), 3_888_000)), ok);
    assert_eq!(status(set(&long, one.clone(), 1)), Err(MemoryStatus::InvalidRequest));
    assert_eq!(status(set("", one.clone(), 1)), Err(MemoryStatus::InvalidRequest));
    for seconds in [-1, 3_888_001, i64::MAX, i64::MIN] {
        assert_eq!(status(set("k", one.clone(), seconds)), Err(MemoryStatus::InvalidExpirationTime));
    }
    assert_eq!(status(set("large", "1".repeat(32 * 1024), 1)), ok);
    assert_eq!(status(set("larger", "1".repeat(32 * 1024 + 1), 1)), Err(MemoryStatus::ItemValueSizeTooLarge));
    for count in [0, 101] {
        let read = QueueCall::Read { count, all_or_nothing: false, invisible_for: 30 };
        assert_eq!(status(MemoryCall::Queue("q".into(), read)), Err(MemoryStatus::InvalidRequest));
    }
    for count in [0, 201] {
        let list = HashMapCall::List { after: None, count };
        assert_eq!(status(MemoryCall::HashMap("h".into(), list)), Err(MemoryStatus::InvalidRequest));
    }
    assert_eq!(status(MemoryCall::SortedMap("".into(), SortedMapCall::Size)), Err(MemoryStatus::InvalidRequest));
    assert_eq!(status(MemoryCall::SortedMap(long.into(), SortedMapCall::Size)), Err(MemoryStatus::InvalidRequest));
}

/// 3,200 values of 32 KB are 100 MB; one more byte is too much, a smaller value in the place of another is not.
#[test]
fn a_structure_has_at_most_100_mb() {
    let mut memory = GameMemory::default();
    let value = "1".repeat(32 * 1024 - 4);
    for key in 0..3_200 {
        memory.call(at(1), set(&format!("{key:04}"), value.clone(), 60)).unwrap();
    }
    let refused = memory.call(at(1), set("k", "1".to_owned(), 60)).unwrap_err();
    assert_eq!(refused.status, MemoryStatus::DataStructureMemoryOverLimit);
    memory.call(at(1), set("0000", value[4..].to_owned(), 60)).unwrap();
    memory.call(at(1), set("k", "1".to_owned(), 60)).unwrap();
}

#[test]
fn a_structure_has_at_most_a_million_items() {
    let mut memory = GameMemory::default();
    let add = |expires_in| {
        let value = Value::new("1".to_owned()).unwrap();
        MemoryCall::Queue("q".into(), QueueCall::Add { value, expires_in, priority: Number::default() })
    };
    memory.call(at(1), add(1)).unwrap();
    for _ in 1..1_000_000 {
        memory.call(at(1), add(60)).unwrap();
    }
    let refused = memory.call(at(1), add(60)).unwrap_err();
    assert_eq!(refused.status, MemoryStatus::DataStructureItemsOverLimit);
    memory.call(at(2), add(60)).expect("one has expired");
}

/// 64 KB and 1.2 KB a user; what does not grow is let through; users count for eight days.
#[test]
fn the_quota_of_memory_follows_the_users() {
    let mut memory = GameMemory::new(Limits::Roblox);
    let value = |length: usize| "1".repeat(length);
    const DAY: u64 = 24 * 3_600;
    for key in ["a", "b"] {
        memory.call(at(1), set(key, value(32 * 1024 - 1), 30 * DAY as i64)).unwrap();
    }
    let refused = memory.call(at(1), set("c", value(2_000), 3_000_000)).unwrap_err();
    assert_eq!(refused.status, MemoryStatus::TotalMemoryOverLimit);
    memory.set_users(at(1), 2);
    memory.call(at(1), set("c", value(2_000), 3_000_000)).expect("two users more");
    memory.set_users(at(2), 0);
    memory.call(at(2 + 8 * DAY), set("c", value(2_001), 3_000_000)).expect("they count for eight days");
    memory.call(at(3 + 8 * DAY), set("c", value(2_001), 3_000_000)).expect("it does not grow");
    let refused = memory.call(at(3 + 8 * DAY), set("c", value(2_002), 3_000_000)).unwrap_err();
    assert_eq!(refused.status, MemoryStatus::TotalMemoryOverLimit);
}

/// 1,000 units a minute and 120 a user; a range costs its items.
#[test]
fn request_units_are_counted_by_the_minute() {
    let mut memory = GameMemory::new(Limits::Roblox);
    for key in 0..100 {
        memory.call(at(60), set(&key.to_string(), "1".to_owned(), 3_600)).unwrap();
    }
    let range = || {
        let (lower, upper) = (RangeBound::default(), RangeBound::default());
        let call = SortedMapCall::Range { direction: Direction::Ascending, count: 200, lower, upper };
        MemoryCall::SortedMap("m".into(), call)
    };
    for _ in 0..9 {
        memory.call(at(61), range()).unwrap();
    }
    let refused = memory.call(at(119), range()).unwrap_err();
    assert_eq!(refused.status, MemoryStatus::RequestThrottled);
    assert!(refused.text.starts_with("RequestThrottled: "), "{refused}");
    memory.set_users(at(119), 1);
    memory.call(at(119), range()).expect("a user more");
    memory.call(at(120), range()).expect("a new minute");
}
