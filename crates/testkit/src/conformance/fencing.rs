//! A row is written only on its base (I5).

use std::sync::Arc;

use clawstore_core::Entry;
use clawstore_core::backend::Previous;
use clawstore_core::backend::RowOutcome::{Committed, Fenced};

use super::{Subject, first, json, key, key_in, next, row, store};

/// One stale row does not hold up the others.
pub async fn a_moved_base_is_fenced_and_its_neighbours_commit(mut subject: Subject) {
    let keys = ["a", "b", "c"].map(key);
    let firsts = [subject.write_new(&keys[0], "1").await, subject.write_new(&keys[1], "1").await];
    let moved = next(&firsts[1], json("2"));
    assert_eq!(subject.commit(vec![row(&keys[1], 1, &moved)]).await, [Committed]);

    let late = next(&firsts[1], json("\"late\""));
    let second = next(&firsts[0], json("2"));
    let rows = vec![row(&keys[0], 1, &second), row(&keys[1], 1, &late), row(&keys[2], 0, &first("1"))];
    assert_eq!(subject.commit(rows).await, [Committed, Fenced, Committed]);
    assert_eq!(subject.read(&keys[0]).await, second);
    assert_eq!(subject.read(&keys[1]).await, moved);
    assert_eq!(subject.read(&keys[2]).await, first("1"));
}

/// Base 0 means that nothing is stored.
pub async fn a_first_write_of_an_existing_key_is_fenced(mut subject: Subject) {
    let key = key("a");
    let written = subject.write_new(&key, "1").await;
    assert_eq!(subject.commit(vec![row(&key, 0, &first("2"))]).await, [Fenced]);
    assert_eq!(subject.read(&key).await, written);
}

/// A base of a key, or of a store, that does not exist; the store is not made by it.
pub async fn a_base_that_was_never_stored_is_fenced(mut subject: Subject) {
    let elsewhere = key_in(&store("Nowhere", "global"), "a");
    subject.write_new(&key("a"), "1").await;
    let second = next(&first("1"), json("2"));
    assert_eq!(subject.commit(vec![row(&key("b"), 1, &second), row(&elsewhere, 1, &second)]).await, [Fenced, Fenced]);
    assert_eq!(subject.read(&elsewhere).await, Entry::default());
    assert_eq!(subject.backend.list_stores().await.expect("a list").len(), 1);
}

/// A removed key is not a new key.
pub async fn a_tombstone_is_a_base(mut subject: Subject) {
    let key = key("a");
    let tombstone = next(&subject.write_new(&key, "1").await, None);
    subject.commit(vec![row(&key, 1, &tombstone)]).await;
    assert_eq!(subject.commit(vec![row(&key, 0, &first("2"))]).await, [Fenced]);
    let again = next(&tombstone, json("2"));
    assert_eq!(subject.commit(vec![row(&key, 2, &again)]).await, [Committed]);
}

/// Nothing of a fenced row is applied, its versions included.
pub async fn a_fenced_row_leaves_no_versions(mut subject: Subject) {
    let key = key("a");
    let written = subject.write_new(&key, "1").await;
    let moved = next(&written, json("2"));
    subject.commit(vec![row(&key, 1, &moved)]).await;
    let (second, third) = (next(&written, json("20")), next(&moved, json("30")));
    let mut late = row(&key, 1, &third);
    late.previous = Previous::Kept;
    late.kept = vec![Arc::new(second)];
    assert_eq!(subject.commit(vec![late]).await, [Fenced]);
    assert_eq!(subject.inspect.versions(&key), []);
    assert_eq!(subject.read(&key).await, moved);
}
