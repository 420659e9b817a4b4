//! Lists show what is stored, in byte order.

use std::sync::Arc;

use clawstore_core::backend::{BEHIND_ANY_NAME, Kept, KeyItem, KeyPlace, KeyRange, Previous};
use clawstore_core::{GameId, StoreId, StoreKind};

use super::{Subject, first, key, key_in, next, row, store, store_of};

async fn items(subject: &Subject, range: KeyRange) -> Vec<KeyItem> {
    subject.backend.list_keys(range).await.expect("a list")
}

/// Keys of one scope, those of `after` behind it, removed ones too.
async fn keys(subject: &Subject, store: &Arc<StoreId>, after: &str, limit: usize) -> Vec<String> {
    let listed = items(subject, KeyRange::of_scope(Arc::clone(store), after, Kept::default(), limit)).await;
    assert!(listed.iter().all(|item| *item.place.scope == *store.scope), "keys of the scope that was asked for");
    listed.iter().map(|item| item.place.key.to_string()).collect()
}

/// Neither stores nor keys of an empty database.
pub async fn nothing_is_listed_when_empty(subject: Subject) {
    assert_eq!(subject.backend.list_stores().await.expect("a list"), []);
    assert_eq!(keys(&subject, &store("Coins", "global"), "", 10).await, [""; 0]);
}

/// Stores come in the order of their identity: game, kind, name, scope.
pub async fn stores_are_listed_with_their_scopes_in_order(mut subject: Subject) {
    let mut stores = Vec::new();
    for game in [GameId::Uuid(5), GameId::Number(10), GameId::Number(9)] {
        stores.extend(["b", "a/b", "é", "B"].map(|scope| store_of(game, StoreKind::Standard, "S", scope)));
        stores.push(store_of(game, StoreKind::Ordered, "A", "z"));
        stores.push(Arc::new(StoreId::global(game)));
    }
    let rows = stores.iter().flat_map(|store| ["x", "y"].map(|key| row(&key_in(store, key), 0, &first("1")))).collect();
    subject.commit(rows).await;
    let mut expected: Vec<_> = stores.iter().map(|store| StoreId::clone(store)).collect();
    expected.sort();
    assert_eq!(subject.backend.list_stores().await.expect("a list"), expected);
}

/// Byte order: upper case before lower case, multi-byte characters last, a prefix first.
pub async fn keys_are_listed_in_byte_order(mut subject: Subject) {
    let names = ["zz", "a", "ab", "B", "é", "10", "9", "日", "a/b", "~"];
    subject.commit(names.iter().map(|name| row(&key(name), 0, &first("1"))).collect()).await;
    let mut expected = names;
    expected.sort_unstable();
    assert_eq!(keys(&subject, &store("Coins", "global"), "", 100).await, expected);
}

/// A page starts behind a key, whether or not that key exists, and has at most `limit` keys.
pub async fn keys_are_listed_in_pages(mut subject: Subject) {
    let store = store("Coins", "global");
    subject.commit((0..10).map(|n| row(&key_in(&store, &format!("k{n}")), 0, &first("1"))).collect()).await;
    assert_eq!(keys(&subject, &store, "", 3).await, ["k0", "k1", "k2"]);
    assert_eq!(keys(&subject, &store, "k2", 3).await, ["k3", "k4", "k5"]);
    assert_eq!(keys(&subject, &store, "k5x", 100).await, ["k6", "k7", "k8", "k9"]);
    assert_eq!(keys(&subject, &store, "k9", 3).await, [""; 0]);
    assert_eq!(keys(&subject, &store, "", 0).await, [""; 0]);
    assert_eq!(keys(&subject, &store, "", usize::MAX).await.len(), 10);
}

/// A removed key is marked, and its store is still listed.
pub async fn removed_keys_are_listed_as_such(mut subject: Subject) {
    let entry = subject.write_new(&key("a"), "1").await;
    subject.write_new(&key("b"), "1").await;
    subject.commit(vec![row(&key("a"), 1, &next(&entry, None))]).await;
    let listed = items(&subject, KeyRange::of_scope(store("Coins", "global"), "", Kept::default(), 10)).await;
    let marks: Vec<_> = listed.iter().map(|item| (&*item.place.key, item.is_deleted)).collect();
    assert_eq!(marks, [("a", true), ("b", false)]);
    assert_eq!(subject.backend.list_stores().await.expect("a list").len(), 1);
}

/// Neither another scope, kind nor game shows up.
pub async fn keys_of_other_stores_are_not_listed(mut subject: Subject) {
    let coins = store("Coins", "global");
    let others = [
        store("Coins", "global2"),
        store("Coins2", "global"),
        store_of(GameId::Number(1), StoreKind::Ordered, "Coins", "global"),
        store_of(GameId::Number(2), StoreKind::Standard, "Coins", "global"),
    ];
    let mut rows: Vec<_> = others.iter().map(|store| row(&key_in(store, "theirs"), 0, &first("1"))).collect();
    rows.push(row(&key_in(&coins, "ours"), 0, &first("1")));
    subject.commit(rows).await;
    assert_eq!(keys(&subject, &coins, "", 10).await, ["ours"]);
}

fn place(scope: &str, key: &str) -> KeyPlace {
    KeyPlace { scope: scope.into(), key: key.into() }
}

/// Keys between two places, as `scope:key`.
async fn between(subject: &Subject, after: (&str, &str), before: (&str, &str), limit: usize) -> String {
    let (after, before) = (place(after.0, after.1), place(before.0, before.1));
    let range = KeyRange { store: store("Coins", "other"), after, before, kept: Kept::default(), limit };
    let listed = items(subject, range).await;
    listed.iter().map(|item| format!("{}:{}", item.place.scope, item.place.key)).collect::<Vec<_>>().join(" ")
}

async fn write_places(subject: &mut Subject, places: &[(&str, &str)]) {
    let row_of = |(scope, key): &(&str, &str)| row(&key_in(&store("Coins", scope), key), 0, &first("1"));
    let theirs = key_in(&store("Coinz", "b"), "theirs");
    let rows = places.iter().map(row_of).chain([row(&theirs, 0, &first("1"))]).collect();
    subject.commit(rows).await;
}

/// By scope and then by key, in byte order each; a slash is a character like any other.
pub async fn keys_are_listed_over_all_scopes(mut subject: Subject) {
    let places = [("b", "x"), ("a", "z"), ("a/b", "a"), ("a", "b/c"), ("é", "k"), ("A", "k"), ("a-", "k")];
    write_places(&mut subject, &places).await;
    let (first, last) = (("", ""), (BEHIND_ANY_NAME, ""));
    assert_eq!(between(&subject, first, last, 10).await, "A:k a:b/c a:z a-:k a/b:a b:x é:k");
    assert_eq!(between(&subject, ("a", "b/c"), last, 2).await, "a:z a-:k");
    assert_eq!(between(&subject, ("a", "z"), ("b", ""), usize::MAX).await, "a-:k a/b:a");
    assert_eq!(between(&subject, ("é", "k"), last, 10).await, "");
}

/// Nor do they have to exist, in any length that a bound may have.
pub async fn bounds_of_a_range_are_not_included(mut subject: Subject) {
    let greatest = "\u{10ffff}".repeat(12);
    write_places(&mut subject, &[("a", "k1"), ("a", "k2"), ("a", "k3"), ("b", "k1"), ("b", &greatest)]).await;
    assert_eq!(between(&subject, ("a", "k1"), ("a", "k3"), 10).await, "a:k2");
    assert_eq!(between(&subject, ("a", "k1"), ("b", "k1"), 10).await, "a:k2 a:k3");
    assert_eq!(between(&subject, ("a", "k11"), ("a", "k22"), 10).await, "a:k2");
    assert_eq!(between(&subject, ("a", BEHIND_ANY_NAME), ("b", "k2"), 10).await, "b:k1");
    assert_eq!(between(&subject, ("b", "k1"), ("b", BEHIND_ANY_NAME), 10).await, format!("b:{greatest}"));
    assert_eq!(between(&subject, ("a", "k3"), ("a", "k1"), 10).await, "");
    assert_eq!(between(&subject, ("a", "k2"), ("a", "k2"), 10).await, "");
}

/// One from the very tick is; live keys are kept, however old they are.
pub async fn old_tombstones_are_not_listed(mut subject: Subject) {
    let removed = subject.write_new(&key("removed"), "1").await;
    subject.write_new(&key("live"), "1").await;
    let tombstone = subject.write_next(&key("removed"), &removed, None, Previous::Overwritten).await;
    for (since, expected) in [(tombstone.updated, 2), (tombstone.updated.next(), 1)] {
        let kept = Kept { tombstones_since: since, ..Kept::default() };
        let range = KeyRange::of_scope(store("Coins", "global"), "", kept, 10);
        assert_eq!(items(&subject, range.clone()).await.len(), expected);
        // It takes no place of those that are listed.
        let behind = items(&subject, KeyRange { limit: 1, ..range }).await;
        assert_eq!(&*behind[0].place.key, "live");
    }
}
