//! Coalescing and the bounds of a batch. Settlement in every order is the model test's part.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::backend::Number;
use crate::clock::Timestamp;
use crate::entry::Attributes;
use crate::entry_key::{GameId, StoreId, StoreKind};
use crate::key_machine::{VmId, Writer};
use crate::limits::INTEGER_MAX;
use crate::ops::{Applied, Increment, Reply, Request, Set};
use crate::value::Value;

type Pending = PendingWrites<&'static str>;

fn key(name: &str) -> EntryKey {
    EntryKey::new(&Arc::new(StoreId::global(GameId::Number(1))), name.as_bytes()).expect("legal")
}

/// A set of `bytes` bytes on `head`, to be pushed.
fn write(head: &Arc<Entry>, bytes: usize, previous: Previous) -> (Item<&'static str>, Arc<Entry>) {
    let value = Value::new(vec![b'1'; bytes]).expect("within the limit");
    let request = Request::Set(Set { value, attributes: Attributes::default() });
    let Ok(Applied::Write { entry, reply }) = request.apply(StoreKind::Standard, head, Timestamp::default()) else {
        panic!("a set writes")
    };
    let writer = Writer { vm: VmId(1), op: entry.revision };
    let deadline = Moment::default() + Duration::from_secs(30);
    let op = Box::new(Op { writer, at: Timestamp::default(), deadline, request, caller: "caller" });
    (Item::Write { op, entry: Arc::clone(&entry), fence: Fence::default(), reply, previous }, entry)
}

fn push(pending: &mut Pending, name: &str, sizes: &[usize], keep: bool) {
    let mut head = Arc::default();
    for &bytes in sizes {
        let previous = if keep { Previous::Kept } else { Previous::Overwritten };
        let (item, entry) = write(&head, bytes, previous);
        head = entry;
        pending.push(&key(name), item, &mut |_, _| panic!("nothing is answered yet"));
    }
}

#[test]
fn writes_of_one_key_become_one_row() {
    let mut pending = Pending::default();
    push(&mut pending, "k", &[1, 2, 3], false);
    let rows = pending.take(1_024, 1_000, true);
    let shape: Vec<_> = rows.iter().map(|row| (row.base, row.entry.revision, row.kept.len())).collect();
    assert_eq!(shape, [(0, 3, 0)], "only the last state travels");
    assert!(pending.take(1_024, 1_000, true).is_empty(), "I8: a key is in one batch");
    let mut answers = 0;
    pending.settle(&key("k"), RowResult::Done(RowOutcome::Committed), &mut |_| {}, &mut |_, result| {
        answers += usize::from(result.is_ok());
    });
    assert_eq!((answers, pending.is_empty()), (3, true));
}

#[test]
fn kept_versions_travel_and_count_as_rows() {
    let mut pending = Pending::default();
    push(&mut pending, "k", &[1; 10], true);
    let rows = pending.take(4, 1_000, true);
    let row = rows.first().expect("one row");
    assert_eq!(row.previous, Previous::Kept);
    assert_eq!(row.kept.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(row.entry.revision, 4, "the key stops coalescing at the bound; its next writes wait");
}

#[test]
fn an_erased_version_travels_in_no_row() {
    let mut pending = Pending::default();
    let (first, head) = write(&Arc::default(), 1, Previous::Kept);
    let (second, _) = write(&head, 1, Previous::Erased);
    for item in [first, second] {
        pending.push(&key("k"), item, &mut |_, _| panic!("nothing is answered yet"));
    }
    let rows = pending.take(1_024, 1_000, true);
    assert_eq!(rows.iter().map(|row| (row.base, row.kept.len())).collect::<Vec<_>>(), [(0, 0)]);
}

#[test]
fn bytes_are_bounded_and_an_oversized_row_goes_alone() {
    let mut pending = Pending::default();
    push(&mut pending, "big", &[5_000], false);
    push(&mut pending, "a", &[400], false);
    push(&mut pending, "b", &[400], false);
    push(&mut pending, "c", &[400], false);
    let taken: Vec<_> = std::iter::repeat_with(|| pending.take(1_024, 1_000, true)).take(3).collect();
    let names: Vec<Vec<&str>> = taken.iter().map(|rows| rows.iter().map(|row| &*row.key.key).collect()).collect();
    assert_eq!(names, [vec!["big"], vec!["a", "b"], vec!["c"]]);
}

#[test]
fn rows_are_bounded_and_keys_take_turns() {
    let mut pending = Pending::default();
    for n in 0..5 {
        push(&mut pending, &format!("k{n}"), &[1], false);
    }
    assert_eq!(pending.take(3, 1_000, true).len(), 3);
    assert!(pending.has_ready());
    assert_eq!(pending.take(3, 1_000, true).len(), 2);
    assert!(!pending.has_ready() && !pending.is_empty());
}

/// An increment on its way as a sum.
fn add(op: u64, delta: i64, at_ms: u64) -> Item<&'static str> {
    let (at, deadline) = (Timestamp::from_unix_ms(at_ms), Moment::default() + Duration::from_secs(30));
    let request = Request::Increment(Increment { delta, attributes: Attributes::default() });
    let writer = Writer { vm: VmId(1), op };
    Item::Add { op: Box::new(Op { writer, at, deadline, request, caller: "caller" }), fence: Fence(9) }
}

fn push_adds(pending: &mut Pending, name: &str, deltas: &[i64]) {
    for (op, &delta) in (1..).zip(deltas) {
        pending.push(&key(name), add(op, delta, 1_000 + op), &mut |_, _| panic!("nothing is answered yet"));
    }
}

#[test]
fn increments_of_a_key_become_one_sum_and_each_has_its_own_answer() {
    let mut pending = Pending::default();
    push_adds(&mut pending, "k", &[5, -7, 1]);
    let rows = pending.take(1_024, 1_000, true);
    let [row] = &rows[..] else { panic!("one row: {rows:?}") };
    let sum = row.entry.value.as_ref().and_then(Value::as_integer);
    assert_eq!((row.fence, row.base, row.entry.revision, sum), (Fence(9), 0, 3, Some(-1)));
    // The prefixes are 5, -2 and -1: all of them must stay within ±2^53.
    assert_eq!(row.onto, Some(-INTEGER_MAX + 2..=INTEGER_MAX - 5));
    let stored = Entry { revision: 40, value: Value::new("100").ok(), ..Entry::default() };
    let (mut published, mut answers) = (Vec::new(), Vec::new());
    let outcome = RowOutcome::Added(Number::of(&stored).expect("a number"));
    pending.settle(
        &key("k"),
        RowResult::Done(outcome),
        &mut |writes| published.extend(writes.map(|(op, entry)| (op.writer.op, entry.revision))),
        &mut |op, result| answers.push((op.writer.op, result.expect("added"))),
    );
    assert_eq!(published, [(1, 41), (2, 42), (3, 43)]);
    let shape = |(op, reply): &(u64, Reply)| match reply {
        Reply::Entry(entry) => (*op, entry.revision, entry.value.as_ref().and_then(Value::as_integer)),
        other => panic!("{other:?}"),
    };
    let answers: Vec<_> = answers.iter().map(shape).collect();
    assert_eq!(answers, [(1, 41, Some(105)), (2, 42, Some(98)), (3, 43, Some(99))]);
    assert!(pending.is_empty());
}

#[test]
fn a_sum_that_would_leave_the_numbers_goes_in_two() {
    let mut pending = Pending::default();
    push_adds(&mut pending, "k", &[INTEGER_MAX, 1, 1]);
    let calls = |pending: &mut Pending| pending.take(1_024, 1_000, true).first().map(|row| row.entry.revision);
    assert_eq!(calls(&mut pending), Some(1));
    pending.settle(&key("k"), RowResult::NotSent, &mut |_| {}, &mut |_, _| {});
    assert_eq!(calls(&mut pending), Some(1), "the same again");
    pending.settle(&key("k"), RowResult::Done(RowOutcome::Committed), &mut |_| {}, &mut |_, _| {});
    assert_eq!(calls(&mut pending), Some(2));
}

#[test]
fn increments_whose_sum_did_not_fit_come_back_in_order() {
    let mut pending = Pending::default();
    push_adds(&mut pending, "k", &[1, 2]);
    assert_eq!(pending.take(1_024, 1_000, true).len(), 1);
    pending.push(&key("k"), add(3, 3, 2_000), &mut |_, _| {});
    let fenced = RowResult::Done(RowOutcome::Fenced);
    let after = pending.settle(&key("k"), fenced, &mut |_| panic!("not durable"), &mut |_, _| panic!("not answered"));
    assert!(after.broken && pending.take(1_024, 1_000, true).is_empty(), "nothing is sent before the recall");
    let recalled = pending.recall(&key("k"), 1).expect("nothing is in flight");
    assert_eq!(recalled.ops.iter().map(|op| op.writer.op).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(recalled.reload);
}
