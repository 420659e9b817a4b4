//! Coalescing and the bounds of a batch. Settlement in every order is the model test's part.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::entry::Attributes;
use crate::entry_key::{GameId, StoreId, StoreKind};
use crate::key_machine::{VmId, Writer};
use crate::ops::{Applied, Request, Set};
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
