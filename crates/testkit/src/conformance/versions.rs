//! Superseded revisions are kept where the row says so.

use std::sync::Arc;

use bytes::Bytes;
use clawstore_core::backend::Previous;
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry};

use super::{Subject, json, key, next, row};

/// Without `previous` and `kept` there is no history.
pub async fn nothing_is_kept_unasked(mut subject: Subject) {
    let key = key("a");
    let second = next(&subject.write_new(&key, "1").await, json("2"));
    subject.commit(vec![row(&key, 1, &second)]).await;
    assert_eq!(subject.inspect.versions(&key), []);
}

/// The stored revision is copied with everything that belongs to it.
pub async fn the_previous_revision_is_kept(mut subject: Subject) {
    let key = key("a");
    let attributes = Attributes { user_ids: vec![7, 8], metadata: Bytes::from_static(b"{\"a\":1}") };
    let tagged = Entry::default().successor(json("1"), attributes, Timestamp::from_unix_ms(1));
    // There is nothing before the first revision, whatever the row says.
    let mut rows = vec![row(&key, 0, &tagged)];
    rows[0].previous = Previous::Kept;
    subject.commit(rows).await;
    assert_eq!(subject.inspect.versions(&key), []);

    let second = next(&tagged, json("2"));
    let mut keep = row(&key, 1, &second);
    keep.previous = Previous::Kept;
    subject.commit(vec![keep]).await;
    assert_eq!(subject.inspect.versions(&key), [tagged]);
    assert_eq!(subject.read(&key).await, second);
}

/// Revisions that were superseded before they were written.
pub async fn revisions_of_one_batch_are_kept_in_order(mut subject: Subject) {
    let key = key("a");
    let written = subject.write_new(&key, "1").await;
    let second = next(&written, json("2"));
    let third = next(&second, json("3"));
    let fourth = next(&third, json("4"));
    let mut keep = row(&key, 1, &fourth);
    keep.previous = Previous::Kept;
    keep.kept = vec![Arc::new(second.clone()), Arc::new(third.clone())];
    subject.commit(vec![keep]).await;
    assert_eq!(subject.inspect.versions(&key), [written, second, third]);
    assert_eq!(subject.read(&key).await, fourth);
}

/// A removal that keeps what it removes.
pub async fn a_removed_value_is_kept(mut subject: Subject) {
    let key = key("a");
    let written = subject.write_new(&key, "1").await;
    let mut keep = row(&key, 1, &next(&written, None));
    keep.previous = Previous::Kept;
    subject.commit(vec![keep]).await;
    assert_eq!(subject.inspect.versions(&key), [written]);
}

/// A tombstone may become a version itself.
pub async fn a_kept_tombstone_has_no_value(mut subject: Subject) {
    let key = key("a");
    let written = subject.write_new(&key, "1").await;
    let tombstone = next(&written, None);
    let again = next(&tombstone, json("2"));
    let mut keep = row(&key, 1, &again);
    keep.previous = Previous::Kept;
    keep.kept = vec![Arc::new(tombstone.clone())];
    subject.commit(vec![keep]).await;
    assert_eq!(subject.inspect.versions(&key), [written, tombstone]);
}
