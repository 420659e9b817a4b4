//! Entries are read back as they were written, each under its own identity.

use std::sync::Arc;

use bytes::Bytes;
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::VALUE_BYTES_MAX;
use clawstore_core::{Attributes, Entry, GameId, StoreKind, Value};

use super::{Subject, first, json, key, key_in, next, row, store, store_of};

/// A key that was never written reads as revision 0, in a store that exists and in one that does not.
pub async fn unknown_keys_are_empty(mut subject: Subject) {
    assert_eq!(subject.read(&key("a")).await, Entry::default());
    subject.write_new(&key("b"), "1").await;
    assert_eq!(subject.read(&key("a")).await, Entry::default());
    assert_eq!(subject.backend.read_entries(Vec::new()).await.expect("a read"), []);
}

/// The JSON text is kept to the byte: order of keys, spaces, escapes, digits.
pub async fn values_come_back_to_the_byte(mut subject: Subject) {
    let texts = [
        "null",
        "\"\"",
        "\"a\\u0000b\"",
        "{\"b\":1,\"a\":2,\"b\":3}",
        " [ 1 , 2.50, 1e400 ]\n",
        "\"Grüße, 日本 🦀 \u{7f}\u{80} \u{feff}\"",
        "\"'; DROP TABLE entry; --\"",
        "-0.0",
    ];
    for (index, text) in texts.into_iter().enumerate() {
        let key = key(&format!("k{index}"));
        let entry = subject.write_new(&key, text).await;
        let read = subject.read(&key).await;
        assert_eq!(read.value.as_ref().map(Value::json), Some(text.as_bytes()));
        assert_eq!(read, entry);
    }
}

/// 4 MiB, written, overwritten and read.
pub async fn the_largest_value_fits(mut subject: Subject) {
    let key = key("large");
    let text = |fill: &str| format!("\"{}\"", fill.repeat(VALUE_BYTES_MAX - 2));
    let written = subject.write_new(&key, &text("x")).await;
    assert_eq!(subject.read(&key).await, written);
    let second = next(&written, json(&text("y")));
    subject.commit(vec![row(&key, 1, &second)]).await;
    assert_eq!(subject.read(&key).await, second);
}

/// User ids and metadata come back, and are cleared by a write without them.
pub async fn attributes_come_back(mut subject: Subject) {
    let key = key("tagged");
    let metadata = Bytes::from_static(b"{\"by\": \"Zo\xc3\xab\", \"n\":1}");
    let attributes = Attributes { user_ids: vec![1, -2, i64::MAX, i64::MIN], metadata };
    let tagged = Entry::default().successor(json("1"), attributes, Timestamp::from_ticks(17_000_000_000_000_001));
    subject.commit(vec![row(&key, 0, &tagged)]).await;
    assert_eq!(subject.read(&key).await, tagged);
    let cleared = next(&tagged, json("2"));
    subject.commit(vec![row(&key, 1, &cleared)]).await;
    assert_eq!(subject.read(&key).await, cleared);
}

/// A tombstone keeps revision and times, has no value, and can be written over.
pub async fn tombstones_come_back(mut subject: Subject) {
    let key = key("removed");
    let written = subject.write_new(&key, "1").await;
    let tombstone = next(&written, None);
    subject.commit(vec![row(&key, 1, &tombstone)]).await;
    assert_eq!(subject.read(&key).await, tombstone);
    let again = next(&tombstone, json("2"));
    subject.commit(vec![row(&key, 2, &again)]).await;
    assert_eq!(subject.read(&key).await, again);
}

/// No part of the identity can be imitated by another (A9).
pub async fn games_kinds_stores_and_scopes_are_apart(mut subject: Subject) {
    use StoreKind::{Ordered, Standard};
    let games = [GameId::Number(1), GameId::Number(10), GameId::Uuid(1), GameId::Uuid(u128::MAX)];
    let mut stores = Vec::new();
    for game in games {
        for (name, scope) in [("a", "b/c"), ("a/b", "c"), ("../", "a"), ("..", "/a"), ("a", "B/C"), ("a%", "_")] {
            stores.extend([Standard, Ordered].map(|kind| store_of(game, kind, name, scope)));
        }
        stores.push(Arc::new(clawstore_core::StoreId::global(game)));
    }
    let keys: Vec<_> =
        stores.iter().flat_map(|store| ["k", "c/k", "K", "../k"].map(|key| key_in(store, key))).collect();
    let entries: Vec<_> = (0..keys.len()).map(|index| first(&index.to_string())).collect();
    let rows = keys.iter().zip(&entries).map(|(key, entry)| row(key, 0, entry)).collect();
    subject.commit(rows).await;
    assert_eq!(subject.backend.read_entries(keys).await.expect("a read"), entries);
}

/// Known and unknown keys in one read, of several stores, one of them twice.
pub async fn many_keys_in_their_order(mut subject: Subject) {
    let (coins, gems) = (store("Coins", "global"), store("Gems", "global"));
    let written = [key_in(&coins, "a"), key_in(&gems, "a"), key_in(&coins, "b")];
    for (index, key) in written.iter().enumerate() {
        subject.write_new(key, &index.to_string()).await;
    }
    let [a, gem, b] = written;
    let keys = vec![b.clone(), key_in(&gems, "none"), gem, a, key_in(&store("None", "s"), "a"), b];
    let entries = subject.backend.read_entries(keys).await.expect("a read");
    let values: Vec<_> = entries.iter().map(|entry| entry.value.as_ref().and_then(Value::as_integer)).collect();
    assert_eq!(values, [Some(2), None, Some(1), Some(0), None, Some(2)]);
}
