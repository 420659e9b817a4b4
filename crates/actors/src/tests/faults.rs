//! A store that is down, loses replies, refuses a row, or was written by somebody else.

use clawstore_core::backend::BackendErrorKind;
use clawstore_core::clock::Timestamp;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_ridden_out() {
    let world = World::new().await;
    world.gate.fail_commits(3, BackendErrorKind::Unavailable);
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(1));
    assert_eq!(world.stored("k").revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_settled_by_sending_the_same_batch_again() {
    let world = World::new().await;
    world.gate.lose_replies(2);
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(1));
    assert_eq!(world.stored("k").revision, 1, "applied once");
    let batches = world.gate.batches();
    assert!(batches.len() >= 3 && batches.iter().all(|batch| batch == batches.first().unwrap()), "the identical batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_row_fails_alone() {
    let world = World::new().await;
    world.gate.poison(|key| &*key.key == "bad");
    world.gate.hold();
    let calls: Vec<_> = (0..40)
        .map(|k| (k, world.submit(1, k, &if k == 17 { "bad".into() } else { format!("k{k}") }, set(1))))
        .collect();
    world.gate.release();
    for (k, call) in calls {
        let result = soon(call).await.unwrap();
        if k == 17 {
            assert!(result.expect_err("poisoned").text.contains("(not applied)"));
        } else {
            assert_eq!(number(result), Some(1), "a neighbour failed");
        }
    }
    world.gate.poison(|_| false);
    assert_eq!(number(soon(world.call("bad", set(2))).await), Some(2), "the key goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_from_outside_is_not_overwritten() {
    let world = World::new().await;
    assert_eq!(number(world.call("k", set(1)).await), Some(1));
    let outside = world.stored("k").successor(Some(Value::integer(50)), Attributes::default(), Timestamp::default());
    world.memory.overwrite(&key_of("k"), outside);
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(51), "read again, applied again");
    assert_eq!(world.stored("k").revision, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_store_leaves_what_was_sent_unknown_and_refuses_the_rest() {
    let world = World::new().await;
    world.gate.fail_commits(1, BackendErrorKind::Halted);
    let error = soon(world.call("k", set(1))).await.expect_err("halted");
    assert_eq!(error.outcome, clawstore_core::Outcome::Unknown);
    let error = soon(world.call("other", set(1))).await.expect_err("halted");
    assert_eq!(error.outcome, clawstore_core::Outcome::Fail);
    assert!(world.process.halted().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_loaded_fails_its_calls_and_can_be_tried_again() {
    let world = World::new().await;
    world.gate.fail_reads(1, BackendErrorKind::Unavailable);
    assert!(soon(world.call("k", set(1))).await.expect_err("unread").text.contains("(not applied)"));
    assert_eq!(number(soon(world.call("k", set(2))).await), Some(2));
}
