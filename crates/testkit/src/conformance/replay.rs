//! A batch whose answer was lost is settled by sending it again (I7).

use std::sync::Arc;

use clawstore_core::backend::{BackendErrorKind, Previous, RowOutcome};

use super::{Subject, first, json, key, next, row};

/// Same number, same digest: the first answer, fenced rows included, and nothing is applied.
pub async fn the_same_batch_again_gives_the_first_answer(mut subject: Subject) {
    let (a, b, c) = (key("a"), key("b"), key("c"));
    subject.write_new(&b, "1").await;
    subject.write_new(&c, "1").await;
    let mut keep = row(&b, 1, &next(&first("1"), json("2")));
    keep.previous = Previous::Kept;
    let batch = subject.next_batch(vec![row(&a, 0, &first("1")), row(&c, 0, &first("9")), keep]).await;
    let answer = subject.backend.commit_batch(Arc::clone(&batch)).await.expect("commits");
    assert_eq!(answer, [RowOutcome::Committed, RowOutcome::Fenced, RowOutcome::Committed]);
    for _ in 0..2 {
        assert_eq!(subject.backend.commit_batch(Arc::clone(&batch)).await.expect("answered again"), answer);
    }
    assert_eq!(subject.inspect.versions(&b).len(), 1);
}

/// Same number, other digest: a fault of the lane, refused as a whole.
pub async fn other_rows_under_a_used_number_are_refused(mut subject: Subject) {
    let written = subject.write_new(&key("a"), "1").await;
    let rows = vec![row(&key("a"), 1, &next(&written, json("2"))), row(&key("b"), 0, &first("1"))];
    let other = subject.batch(subject.seq, 1, rows).await;
    let error = subject.backend.commit_batch(other).await.expect_err("the number is used");
    assert_eq!(error.kind, subject.used_number());
    assert_eq!(subject.read(&key("a")).await, written);
    assert_eq!(subject.read(&key("b")).await.revision, 0);
}

/// A number counts as used only when its batch committed: what was refused may be replaced under it.
pub async fn a_refused_number_can_be_used(mut subject: Subject) {
    let bad = subject.batch(1, 1, vec![row(&key("a"), 5, &first("1"))]).await;
    let error = subject.backend.commit_batch(bad).await.expect_err("revision 1 does not follow 5");
    assert_eq!(error.kind, BackendErrorKind::Invalid);
    let good = subject.batch(1, 2, vec![row(&key("a"), 0, &first("1"))]).await;
    let answer = subject.backend.commit_batch(good).await.expect("commits");
    assert_eq!(answer, [RowOutcome::Committed]);
    subject.seq = 1;
    subject.write_new(&key("b"), "1").await;
}

/// Reads in between do not make a backend forget its answer.
pub async fn the_answer_survives_later_reads(mut subject: Subject) {
    let batch = subject.next_batch(vec![row(&key("a"), 0, &first("1"))]).await;
    let answer = subject.backend.commit_batch(Arc::clone(&batch)).await.expect("commits");
    assert_eq!(subject.read(&key("a")).await, first("1"));
    subject.backend.list_stores().await.expect("a list");
    assert_eq!(subject.backend.commit_batch(batch).await.expect("answered again"), answer);
}
