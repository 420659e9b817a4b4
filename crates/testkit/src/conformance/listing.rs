//! Lists show what is stored, in byte order.

use std::sync::Arc;

use clawstore_core::{GameId, StoreId, StoreKind};

use super::{Subject, first, key, key_in, next, row, store, store_of};

async fn keys(subject: &Subject, store: &Arc<StoreId>, after: Option<&str>, limit: usize) -> Vec<String> {
    let listed = subject.backend.list_keys(Arc::clone(store), after.map(Arc::from), limit).await.expect("a list");
    assert!(listed.iter().all(|key| key.store == *store), "keys of the store that was asked for");
    listed.iter().map(|key| key.key.to_string()).collect()
}

/// Neither stores nor keys of an empty database.
pub async fn nothing_is_listed_when_empty(subject: Subject) {
    assert_eq!(subject.backend.list_stores().await.expect("a list"), []);
    assert_eq!(keys(&subject, &store("Coins", "global"), None, 10).await, [""; 0]);
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
    assert_eq!(keys(&subject, &store("Coins", "global"), None, 100).await, expected);
}

/// A page starts behind a key, whether or not that key exists, and has at most `limit` keys.
pub async fn keys_are_listed_in_pages(mut subject: Subject) {
    let store = store("Coins", "global");
    subject.commit((0..10).map(|n| row(&key_in(&store, &format!("k{n}")), 0, &first("1"))).collect()).await;
    assert_eq!(keys(&subject, &store, None, 3).await, ["k0", "k1", "k2"]);
    assert_eq!(keys(&subject, &store, Some("k2"), 3).await, ["k3", "k4", "k5"]);
    assert_eq!(keys(&subject, &store, Some("k5x"), 100).await, ["k6", "k7", "k8", "k9"]);
    assert_eq!(keys(&subject, &store, Some("k9"), 3).await, [""; 0]);
    assert_eq!(keys(&subject, &store, None, 0).await, [""; 0]);
    assert_eq!(keys(&subject, &store, None, usize::MAX).await.len(), 10);
}

/// A tombstone is not listed as a key; its store still is, for its versions can be read.
pub async fn removed_keys_are_not_listed(mut subject: Subject) {
    let entry = subject.write_new(&key("a"), "1").await;
    subject.commit(vec![row(&key("a"), 1, &next(&entry, None))]).await;
    assert_eq!(keys(&subject, &store("Coins", "global"), None, 10).await, [""; 0]);
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
    assert_eq!(keys(&subject, &coins, None, 10).await, ["ours"]);
}
