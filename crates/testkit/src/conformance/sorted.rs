//! Entries of ordered stores are listed by their number.

use std::sync::Arc;

use clawstore_core::backend::{SortedItem, SortedQuery};
use clawstore_core::{GameId, StoreId, StoreKind, Value};

use super::{Subject, first, json, key_in, next, row, store_of};

fn scores() -> Arc<StoreId> {
    store_of(GameId::Number(1), StoreKind::Ordered, "Scores", "global")
}

fn all(ascending: bool) -> SortedQuery {
    SortedQuery { store: scores(), ascending, min: i64::MIN, max: i64::MAX, after: None, limit: 100 }
}

async fn write(subject: &mut Subject, numbers: &[(&str, &str)]) {
    let store = scores();
    let rows = numbers.iter().map(|(key, number)| row(&key_in(&store, key), 0, &first(number))).collect();
    subject.commit(rows).await;
}

async fn items(subject: &Subject, query: SortedQuery) -> Vec<SortedItem> {
    subject.backend.list_sorted(query).await.expect("a list")
}

async fn keys(subject: &Subject, query: SortedQuery) -> String {
    items(subject, query).await.iter().map(|item| &*item.key).collect::<Vec<_>>().join(" ")
}

/// By value, not by text, with the value as it is stored.
pub async fn numbers_are_sorted_in_both_directions(mut subject: Subject) {
    write(&mut subject, &[("a", "10"), ("b", "9"), ("c", "-10"), ("d", "0"), ("e", "1e2"), ("f", "-9")]).await;
    let ascending = items(&subject, all(true)).await;
    let numbers: Vec<_> = ascending.iter().map(|item| (&*item.key, item.number)).collect();
    assert_eq!(numbers, [("c", -10), ("f", -9), ("d", 0), ("b", 9), ("a", 10), ("e", 100)]);
    assert_eq!(ascending.last().map(|item| item.value.clone()), Value::new("1e2").ok());
    let mut descending = items(&subject, all(false)).await;
    descending.reverse();
    assert_eq!(descending, ascending);
    let nowhere = store_of(GameId::Number(1), StoreKind::Ordered, "None", "global");
    assert_eq!(items(&subject, SortedQuery { store: nowhere, ..all(true) }).await, []);
}

/// In byte order, and in its exact reverse.
pub async fn numbers_of_one_value_are_sorted_by_key(mut subject: Subject) {
    write(&mut subject, &[("é", "1"), ("b", "1"), ("B", "1"), ("ab", "1"), ("a", "1"), ("~", "0")]).await;
    assert_eq!(keys(&subject, all(true)).await, "~ B a ab b é");
    assert_eq!(keys(&subject, all(false)).await, "é b ab a B ~");
}

/// A page goes on behind number and key, whether or not they exist; equal numbers are cut anywhere.
pub async fn numbers_are_sorted_in_pages(mut subject: Subject) {
    let greatest = "\u{10ffff}".repeat(12);
    write(&mut subject, &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "2"), ("e", "3"), (&greatest, "3")]).await;
    for ascending in [true, false] {
        let whole = items(&subject, all(ascending)).await;
        assert_eq!(whole.len(), 6);
        let mut paged = Vec::new();
        for _ in 0..whole.len() {
            let after = paged.last().map(|item: &SortedItem| (item.number, Arc::clone(&item.key)));
            paged.extend(items(&subject, SortedQuery { after, limit: 2, ..all(ascending) }).await);
        }
        assert_eq!(paged, whole);
    }
    let behind = |ascending, number, key: &str| SortedQuery { after: Some((number, key.into())), ..all(ascending) };
    assert_eq!(keys(&subject, behind(true, 1, "bb")).await, format!("c d e {greatest}"));
    assert_eq!(keys(&subject, behind(false, 2, "a")).await, "c b a");
    assert_eq!(keys(&subject, behind(true, i64::MAX, "z")).await, "");
    assert_eq!(keys(&subject, SortedQuery { limit: 0, ..all(true) }).await, "");
    assert_eq!(items(&subject, SortedQuery { limit: usize::MAX, ..all(true) }).await.len(), 6);
}

/// Also together with a place to go on from.
pub async fn bounds_are_inclusive(mut subject: Subject) {
    write(&mut subject, &[("a", "-1"), ("b", "0"), ("c", "1"), ("d", "2"), ("e", "3")]).await;
    let between = |ascending, min, max| keys(&subject, SortedQuery { min, max, ..all(ascending) });
    assert_eq!(between(true, 0, 2).await, "b c d");
    assert_eq!(between(false, 0, 2).await, "d c b");
    assert_eq!(between(true, 2, 2).await, "d");
    assert_eq!(between(false, 4, i64::MAX).await, "");
    assert_eq!(between(true, 2, 0).await, "");
    let after = Some((1, "c".into()));
    let query = SortedQuery { min: 0, max: 2, after, ..all(true) };
    assert_eq!(keys(&subject, query.clone()).await, "d");
    assert_eq!(keys(&subject, SortedQuery { ascending: false, ..query }).await, "b");
    // A place outside of the bounds widens nothing.
    let outside =
        |ascending, number| SortedQuery { after: Some((number, "x".into())), min: 0, max: 2, ..all(ascending) };
    assert_eq!(keys(&subject, outside(true, -5)).await, "b c d");
    assert_eq!(keys(&subject, outside(false, 5)).await, "d c b");
}

/// Numbers that no double holds.
pub async fn numbers_are_exact_over_int64(mut subject: Subject) {
    let numbers = [i64::MIN, i64::MIN + 1, -9_007_199_254_740_993, 9_007_199_254_740_993, i64::MAX - 1, i64::MAX];
    let texts = numbers.map(|number| number.to_string());
    let written: Vec<_> = ["f", "e", "d", "c", "b", "a"].into_iter().zip(texts.iter().map(String::as_str)).collect();
    write(&mut subject, &written).await;
    let listed: Vec<_> = items(&subject, all(true)).await.iter().map(|item| item.number).collect();
    assert_eq!(listed, numbers);
    let top = SortedQuery { min: i64::MAX, ..all(false) };
    assert_eq!(keys(&subject, top).await, "a");
}

/// Neither tombstones, nor other scopes, games or kinds.
pub async fn only_live_numbers_of_the_store_are_sorted(mut subject: Subject) {
    let others = [
        store_of(GameId::Number(1), StoreKind::Standard, "Scores", "global"),
        store_of(GameId::Number(1), StoreKind::Ordered, "Scores", "other"),
        store_of(GameId::Number(2), StoreKind::Ordered, "Scores", "global"),
    ];
    subject.commit(others.iter().map(|store| row(&key_in(store, "theirs"), 0, &first("1"))).collect()).await;
    let gone = key_in(&scores(), "gone");
    let written = subject.write_new(&gone, "5").await;
    let tombstone = next(&written, None);
    subject.commit(vec![row(&gone, 1, &tombstone)]).await;
    write(&mut subject, &[("ours", "1")]).await;
    assert_eq!(keys(&subject, all(true)).await, "ours");
    // Standard stores have no numbers.
    assert_eq!(items(&subject, SortedQuery { store: Arc::clone(&others[0]), ..all(true) }).await, []);
    subject.commit(vec![row(&gone, 2, &next(&tombstone, json("0")))]).await;
    assert_eq!(keys(&subject, all(true)).await, "gone ours");
}

/// A write puts the entry to its new place, and leaves nothing at the old one.
pub async fn a_changed_number_moves(mut subject: Subject) {
    write(&mut subject, &[("a", "1"), ("b", "2"), ("c", "3")]).await;
    let key = key_in(&scores(), "a");
    let stored = subject.read(&key).await;
    subject.commit(vec![row(&key, 1, &next(&stored, json("9")))]).await;
    assert_eq!(keys(&subject, all(true)).await, "b c a");
    assert_eq!(keys(&subject, SortedQuery { max: 1, ..all(true) }).await, "");
}
