//! A batch commits as a whole, whatever its size.

use std::sync::Arc;

use clawstore_core::Entry;
use clawstore_core::backend::{BackendErrorKind, RowOutcome};
use clawstore_core::limits::BATCH_ROWS_MAX;

use super::{Subject, first, json, key, key_in, next, row, store};

/// A batch whose rows were all withdrawn.
pub async fn an_empty_batch_commits(mut subject: Subject) {
    assert_eq!(subject.commit(Vec::new()).await, []);
    subject.write_new(&key("a"), "1").await;
}

/// As many rows as a batch may have, first written, then overwritten.
pub async fn a_full_batch_commits(mut subject: Subject) {
    let keys: Vec<_> = (0..BATCH_ROWS_MAX).map(|index| key(&format!("k{index}"))).collect();
    let entries: Vec<_> = (0..keys.len()).map(|index| first(&format!("[{index}]"))).collect();
    let outcomes = subject.commit(keys.iter().zip(&entries).map(|(key, entry)| row(key, 0, entry)).collect()).await;
    assert_eq!(outcomes, vec![RowOutcome::Committed; keys.len()]);
    let seconds: Vec<_> = entries.iter().map(|entry| next(entry, json("2"))).collect();
    let outcomes = subject.commit(keys.iter().zip(&seconds).map(|(key, entry)| row(key, 1, entry)).collect()).await;
    assert_eq!(outcomes, vec![RowOutcome::Committed; keys.len()]);
    assert_eq!(subject.backend.read_entries(keys).await.expect("a read"), seconds);
}

/// The first write makes its store, for any number of stores and keys in one batch.
pub async fn stores_made_in_one_batch(mut subject: Subject) {
    let keys: Vec<_> =
        (0..60).map(|index| key_in(&store(&format!("S{}", index % 20), &format!("s{}", index % 3)), "k")).collect();
    let rows = keys.iter().map(|key| row(key, 0, &first("1"))).collect();
    assert_eq!(subject.commit(rows).await, vec![RowOutcome::Committed; 60]);
    assert_eq!(subject.backend.list_stores().await.expect("a list").len(), 60);
}

/// Coalesced writes leave gaps between stored revisions.
pub async fn revisions_may_skip(mut subject: Subject) {
    let key = key("skips");
    let third = Entry { revision: 3, ..first("3") };
    subject.commit(vec![row(&key, 0, &third)]).await;
    let seventh = Entry { revision: 7, ..next(&third, json("7")) };
    assert_eq!(subject.commit(vec![row(&key, 3, &seventh)]).await, [RowOutcome::Committed]);
    assert_eq!(subject.read(&key).await, seventh);
}

/// A row that would write its base again is refused, not written.
pub async fn revisions_that_do_not_grow_are_invalid(mut subject: Subject) {
    let key = key("stuck");
    let written = subject.write_new(&key, "1").await;
    let batch = subject.next_batch(vec![row(&key, 1, &Entry { value: json("2"), ..written.clone() })]).await;
    let error = subject.backend.commit_batch(batch).await.expect_err("does not grow");
    assert_eq!(error.kind, BackendErrorKind::Invalid);
    assert_eq!(subject.read(&key).await, written);
}

/// One row that is not acceptable refuses the batch, and the next batch works.
pub async fn a_refused_batch_leaves_nothing(mut subject: Subject) {
    let (good, bad) = (key_in(&store("New", "global"), "good"), key("bad"));
    let kept = vec![Arc::new(Entry { revision: 9, ..first("9") })];
    let mut wrong = row(&bad, 0, &first("1"));
    wrong.kept = kept;
    let batch = subject.next_batch(vec![row(&good, 0, &first("1")), wrong]).await;
    let error = subject.backend.commit_batch(batch).await.expect_err("kept is beyond the entry");
    assert_eq!(error.kind, BackendErrorKind::Invalid);
    assert_eq!(subject.read(&good).await, Entry::default());
    assert_eq!(subject.backend.list_stores().await.expect("a list"), []);
    // Its number was not used.
    subject.seq -= 1;
    subject.write_new(&good, "1").await;
}
