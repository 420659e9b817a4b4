//! Keys that all servers write: states one after the other, and sums that are added to whatever is stored.

use std::ops::RangeInclusive;
use std::sync::Arc;

use clawstore_core::backend::{BatchRow, Fence, GiveBack, Number, RowOutcome, SortedQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::INTEGER_MAX;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreKind, Value};

use super::leases::{Process, Shared, owned};
use super::{at, first, json, key, key_in, next, store_of};

/// The fence of all who share a key.
const SHARED: u64 = 90;
const HOUR_MS: u64 = 3_600_000;

/// What so many increments at that time make of a key that was never written.
fn increments(calls: u64, sum: i64, at: Timestamp) -> Entry {
    Entry { revision: calls, created: at, updated: at, value: Some(Value::integer(sum)), ..Entry::default() }
}

fn sum_of(key: &EntryKey, entry: &Entry, onto: RangeInclusive<i64>) -> BatchRow {
    BatchRow { onto: Some(onto), ..owned(key, SHARED, 0, entry) }
}

/// A second after what is stored.
fn sum(key: &EntryKey, calls: u64, sum: i64) -> BatchRow {
    sum_of(key, &increments(calls, sum, at(2_000)), -INTEGER_MAX..=INTEGER_MAX)
}

fn number(entry: &Entry) -> RowOutcome {
    RowOutcome::Added(Number::of(entry).expect("a number"))
}

/// Stores entries under keys, and gives the keys to all. Uses the first batch number of `a`.
async fn share(a: &Process<'_>, entries: &[(&EntryKey, &Entry)]) {
    let keys: Vec<_> = entries.iter().map(|(key, _)| (*key, 7)).collect();
    a.try_acquire(&keys).await.expect("an acquisition");
    let rows: Vec<_> = entries.iter().map(|(key, entry)| owned(key, 7, 0, entry)).collect();
    assert_eq!(a.commit(1, rows).await, Ok(vec![RowOutcome::Committed; entries.len()]));
    let given = |key: &EntryKey| GiveBack { key: key.clone(), fence: Fence(7), share: Some(Fence(SHARED)) };
    a.leases.release(entries.iter().map(|(key, _)| given(key)).collect()).await.expect("a release");
}

async fn read(process: &Process<'_>, key: &EntryKey) -> Entry {
    process.backend.read_entries(vec![key.clone()]).await.expect("a read").remove(0)
}

/// Each server is told what its sum was added to.
pub async fn sums_of_all_servers_are_added(on: Shared) {
    let [a, b] = on.processes().await;
    let (k, ten) = (key("k"), first("10"));
    share(&a, &[(&k, &ten)]).await;
    assert_eq!(a.commit(2, vec![sum(&k, 3, 5)]).await, Ok(vec![number(&ten)]));
    let after = read(&a, &k).await;
    let shape = (after.revision, after.created, after.updated, after.value.as_ref().and_then(Value::as_integer));
    assert_eq!(shape, (4, ten.created, at(2_000), Some(15)));
    assert_eq!(b.commit(1, vec![sum(&k, 2, -20)]).await, Ok(vec![number(&after)]));
    let last = read(&b, &k).await;
    // Each call has a time of its own, although all were made at one.
    let updated = Timestamp::from_ticks(at(2_000).ticks() + 2);
    assert_eq!((last.revision, last.updated, last.value), (6, updated, Some(Value::integer(-5))));
}

/// User ids and metadata are those of the last call; without any, there are none.
pub async fn a_sum_brings_its_attributes(on: Shared) {
    let [a, _] = on.processes().await;
    let (k, one) = (key("k"), first("1"));
    let attributes = Attributes { user_ids: vec![7, 8], metadata: r#"{"a":1}"#.into() };
    share(&a, &[(&k, &one)]).await;
    let with = Entry { attributes: attributes.clone(), ..increments(1, 1, at(2_000)) };
    assert_eq!(a.commit(2, vec![sum_of(&k, &with, 0..=9)]).await, Ok(vec![number(&one)]));
    assert_eq!(read(&a, &k).await.attributes, attributes);
    a.commit(3, vec![sum(&k, 1, 1)]).await.expect("commits");
    assert_eq!(read(&a, &k).await.attributes, Attributes::default());
}

/// With the same numbers, and nothing is added again (I7).
pub async fn a_sum_that_is_sent_again_is_answered_again(on: Shared) {
    let [a, b] = on.processes().await;
    let (k, other, ten) = (key("k"), key("other"), first("10"));
    share(&a, &[(&k, &ten), (&other, &ten)]).await;
    let rows = vec![sum(&other, 1, 1), owned(&key("nobody's"), 1, 0, &ten), sum(&k, 3, 5)];
    let answer = vec![number(&ten), RowOutcome::Fenced, number(&ten)];
    assert_eq!(a.commit(2, rows.clone()).await, Ok(answer.clone()));
    b.commit(1, vec![sum(&k, 1, 100)]).await.expect("commits");
    assert_eq!(a.commit(2, rows).await, Ok(answer), "what they were added to then");
    assert_eq!(read(&a, &k).await.value, Some(Value::integer(115)));
    assert_eq!(a.commit(3, vec![sum(&other, 1, 1)]).await.map(|outcomes| outcomes.len()), Ok(1), "the lane goes on");
}

/// Its calls are then made on the state, where each gets an error of its own, or fits.
pub async fn a_sum_that_does_not_fit_is_fenced_and_its_neighbours_commit(on: Shared) {
    let [a, _] = on.processes().await;
    let ten = first("10");
    let texts = ["\"text\"", "10.0", "1e1", "[10]", "1000000000000000000"].map(first);
    let (fits, gone) = (key("fits"), key("gone"));
    let misfits: Vec<_> = (0..texts.len()).map(|index| key(&format!("misfit{index}"))).collect();
    let tombstone = Entry { revision: 2, ..next(&ten, None) };
    let mut stored: Vec<_> = misfits.iter().zip(&texts).collect();
    stored.extend([(&fits, &ten), (&gone, &tombstone)]);
    share(&a, &stored).await;
    let mut rows: Vec<_> = misfits.iter().chain([&gone]).map(|key| sum(key, 1, 1)).collect();
    rows.push(sum(&fits, 1, 1));
    let mut answer = vec![RowOutcome::Fenced; misfits.len() + 1];
    answer.push(number(&ten));
    assert_eq!(a.commit(2, rows).await, Ok(answer));
    assert_eq!(read(&a, &misfits[1]).await, texts[1]);
    let out_of_range = sum_of(&fits, &increments(2, 1, at(3_000)), 12..=20);
    assert_eq!(a.commit(3, vec![out_of_range]).await, Ok(vec![RowOutcome::Fenced]));
    let in_range = sum_of(&fits, &increments(2, 1, at(3_000)), 11..=11);
    assert!(matches!(a.commit(4, vec![in_range]).await.as_deref(), Ok([RowOutcome::Added(_)])));
}

/// Whoever has the key alone does not send sums, and nobody else may.
pub async fn nothing_is_added_to_an_owned_key(on: Shared) {
    let [a, b] = on.processes().await;
    let (k, ten) = (key("k"), first("10"));
    a.acquire(&k, SHARED).await;
    a.commit(1, vec![owned(&k, SHARED, 0, &ten)]).await.expect("commits");
    assert_eq!(a.commit(2, vec![sum(&k, 1, 1)]).await, Ok(vec![RowOutcome::Fenced]));
    assert_eq!(b.commit(1, vec![sum(&k, 1, 1), sum(&key("never"), 1, 1)]).await, Ok(vec![RowOutcome::Fenced; 2]));
    assert_eq!(read(&a, &k).await, ten);
    assert_eq!(read(&a, &key("never")).await, Entry::default());
}

/// Then a version is to be kept, which a write of the state does.
pub async fn a_sum_that_would_end_an_hour_or_a_snapshot_is_fenced(on: Shared) {
    let [a, _] = on.processes().await;
    let (k, ten) = (key("k"), first("10"));
    share(&a, &[(&k, &ten)]).await;
    let add = |ms| vec![sum_of(&k, &increments(1, 1, at(ms)), 0..=99)];
    assert_eq!(a.commit(2, add(HOUR_MS)).await, Ok(vec![RowOutcome::Fenced]));
    assert_eq!(a.commit(3, add(HOUR_MS - 1)).await, Ok(vec![number(&ten)]));
    let state = next(&read(&a, &k).await, json("20"));
    assert!(state.updated >= at(HOUR_MS));
    assert_eq!(a.commit(4, vec![owned(&k, SHARED, 2, &state)]).await, Ok(vec![RowOutcome::Committed]));
    assert_eq!(a.commit(5, add(HOUR_MS - 2)).await, Ok(vec![number(&state)]), "a clock that is behind ends nothing");
    let stored = read(&a, &k).await;
    a.backend.take_snapshot(GameId::Number(1), stored.updated, true).await.expect("a snapshot");
    assert_eq!(a.commit(6, add(HOUR_MS + 2_000)).await, Ok(vec![RowOutcome::Fenced]));
    let kept = next(&stored, json("30"));
    assert_eq!(a.commit(7, vec![owned(&k, SHARED, 4, &kept)]).await, Ok(vec![RowOutcome::Committed]));
}

/// The first one wins.
pub async fn states_of_a_shared_key_are_written_on_what_is_stored_only(on: Shared) {
    let [a, b] = on.processes().await;
    let (k, one) = (key("k"), first("1"));
    share(&a, &[(&k, &one)]).await;
    let [of_a, of_b] = ["2", "3"].map(|value| next(&one, json(value)));
    assert_eq!(a.commit(2, vec![owned(&k, SHARED, 1, &of_a)]).await, Ok(vec![RowOutcome::Committed]));
    assert_eq!(b.commit(1, vec![owned(&k, SHARED, 1, &of_b)]).await, Ok(vec![RowOutcome::Fenced]));
    assert_eq!(b.commit(2, vec![sum(&k, 1, 1)]).await, Ok(vec![number(&of_a)]));
    assert_eq!(a.commit(3, vec![owned(&k, SHARED, 2, &next(&of_a, json("9")))]).await, Ok(vec![RowOutcome::Fenced]));
    assert_eq!(read(&a, &k).await.value, json("3"));
}

/// In ordered stores the place of a number follows it.
pub async fn a_number_that_is_added_to_moves(on: Shared) {
    let [a, _] = on.processes().await;
    let top = store_of(GameId::Number(1), StoreKind::Ordered, "Top", "global");
    let [low, high] = ["low", "high"].map(|name| key_in(&top, name));
    share(&a, &[(&low, &first("1")), (&high, &first("5"))]).await;
    let add = sum_of(&low, &increments(1, 9, at(2_000)), i64::MIN..=i64::MAX);
    assert_eq!(a.commit(2, vec![add]).await, Ok(vec![number(&first("1"))]));
    let query =
        SortedQuery { store: Arc::clone(&top), ascending: true, min: i64::MIN, max: i64::MAX, after: None, limit: 9 };
    let sorted = a.backend.list_sorted(query).await.expect("a list");
    assert_eq!(sorted.iter().map(|item| item.number).collect::<Vec<_>>(), [5, 10]);
}

/// As if every key had been written before.
pub async fn a_sum_is_the_first_state_of_a_shared_key(on: Shared) {
    let [a, b] = on.processes().await;
    let k = key("k");
    a.acquire(&k, 7).await;
    let given = GiveBack { key: k.clone(), fence: Fence(7), share: Some(Fence(SHARED)) };
    a.leases.release(vec![given]).await.expect("a release");
    assert_eq!(a.commit(1, vec![sum(&k, 2, 5)]).await, Ok(vec![RowOutcome::Committed]));
    let stored = read(&a, &k).await;
    assert_eq!(stored, increments(2, 5, at(2_000)));
    assert_eq!(b.commit(1, vec![sum(&k, 1, 1)]).await, Ok(vec![number(&stored)]));
}
