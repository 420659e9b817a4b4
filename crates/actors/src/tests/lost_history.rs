//! A standby takes over, with everything that was acknowledged or without.
//!
//! In real time, because beats are made of it. Tests wait for what they look for.

use std::sync::atomic::Ordering;

use clawstore_core::backend::Incarnation;

use super::ownership::{Node, pair};
use super::*;

fn incarnation(node: &Node) -> Incarnation {
    node.process.ownership.as_ref().unwrap().incarnation()
}

/// Two processes that have beaten, and so know whom they speak to.
async fn beating_pair() -> (MemoryBackend, Node, Node) {
    let (memory, a, b) = pair().await;
    soon(async {
        while memory.alive().iter().any(|peer| peer.beats == 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    (memory, a, b)
}

/// Waits until the process has another incarnation, which is after its next beats.
async fn starts_over(node: &Node, before: Incarnation) {
    soon(async {
        while [before, Incarnation(0)].contains(&incarnation(node)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_has_everything_is_no_loss() {
    let (memory, a, b) = beating_pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    soon(b.call("other", set(1))).await.unwrap();
    let before = [incarnation(&a), incarnation(&b)];
    memory.take_over(&memory.standby());
    starts_over(&a, before[0]).await;
    starts_over(&b, before[1]).await;
    assert_eq!(number(soon(a.call("k", increment(1))).await), Some(2));
    assert_eq!(number(soon(b.call("k", increment(1))).await), Some(3), "nobody of before is in the way");
    assert_eq!((a.process.history_losses(), b.process.history_losses()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_were_acknowledged_and_are_gone_are_reported_once_by_who_made_them() {
    let (memory, a, b) = beating_pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    soon(a.call("cached", set(1))).await.unwrap();
    soon(b.call("other", set(1))).await.unwrap();
    let standby = memory.standby();
    soon(a.call("k", set(2))).await.unwrap();
    soon(a.call("cached", set(2))).await.unwrap();
    let slot = a.game.directory.existing(&key_of("cached")).unwrap();
    soon(async {
        while slot.open.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    a.game.passivate(&slot);
    assert_eq!(number(soon(a.call("cached", Request::Get)).await), Some(2), "shown for 4 s");
    let [before_a, before] = [incarnation(&a), incarnation(&b)];
    memory.take_over(&standby);
    starts_over(&a, before_a).await;
    assert_eq!(a.process.history_losses(), 1);
    assert_eq!(number(soon(a.call("cached", Request::Get)).await), Some(1), "no longer");
    assert_eq!(number(soon(a.call("k", increment(10))).await), Some(11), "on what is stored now");
    starts_over(&b, before).await;
    soon(b.call("other", increment(1))).await.unwrap();
    assert_eq!((a.process.history_losses(), b.process.history_losses()), (1, 0));
}

/// Its batches are refused before the next beat could tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_a_batch_runs_into_is_reported_too() {
    let (memory, a, _) = beating_pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    let standby = memory.standby();
    soon(a.call("k", set(2))).await.unwrap();
    memory.take_over(&standby);
    assert_eq!(number(soon(a.call("k", increment(10))).await), Some(11));
    soon(async {
        while a.process.history_losses() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// No write is lost, but a lease: without it the process would show for ever what it was granted.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_gone_is_not_believed() {
    let (memory, a, b) = beating_pair().await;
    let standby = memory.standby();
    soon(a.game.update::<clawstore_core::CallError>(&key_of("k"), |_| Ok(None))).await.unwrap();
    assert!(memory.has_owner(&key_of("k")));
    let before = incarnation(&a);
    memory.take_over(&standby);
    assert_eq!(number(soon(b.call("k", set(5))).await), Some(5));
    starts_over(&a, before).await;
    assert_eq!(number(soon(a.call("k", Request::Get)).await), Some(5));
    assert_eq!(a.process.history_losses(), 0);
}
