//! How keys come into other hands: with and without hints, from owners that do not give them, and when they are shared.
//!
//! In real time, as `ownership`. Tests wait for answers.

use clawstore_core::lease::Sharing;

use super::ownership::{Node, pair, stored};
use super::*;

async fn alone(memory: &MemoryBackend) -> (Node, Node) {
    let config = || Config { sharing: Sharing::never(), ..Config::default() };
    (Node::with(memory, 1, config()).await, Node::with(memory, 2, config()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_handed_over_with_all_hints_lost() {
    let memory = MemoryBackend::shared();
    let (a, b) = alone(&memory).await;
    memory.lose_hints();
    let tasks: Vec<_> = a.count("k", 4, 50).into_iter().chain(b.count("k", 4, 50)).collect();
    for task in tasks {
        soon(task).await.unwrap();
    }
    assert_eq!((stored(&memory, "k"), memory.is_shared_key(&key_of("k"))), (400, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_handed_over_without_hints() {
    let memory = MemoryBackend::shared();
    let config = || Config { sharing: Sharing::never(), hints: false, ..Config::default() };
    let (a, b) = (Node::with(&memory, 1, config()).await, Node::with(&memory, 2, config()).await);
    for n in 0..2 {
        assert_eq!(number(soon(a.call("k", increment(1))).await), Some(2 * n + 1));
        assert_eq!(number(soon(b.call("k", increment(1))).await), Some(2 * n + 2));
    }
}

/// Its batch hangs, its beats do not. What it had on its way is refused, and made again on what is stored then.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_lives_and_does_not_give_a_key_loses_it() {
    let memory = MemoryBackend::shared();
    let (a, b) = alone(&memory).await;
    soon(a.call("k", set(1))).await.unwrap();
    let (before, owner) = (a.gate.batches().len() as u64, a.incarnation());
    a.gate.hold();
    let game = Arc::clone(&a.game);
    let hanging = Handle::current().spawn(async move { number(game.call(&key_of("k"), increment(10)).await) });
    soon(a.gate.wait_commits_started(before + 1)).await;
    assert_eq!(number(soon(b.call("k", increment(100))).await), Some(101));
    assert_eq!(a.incarnation(), owner, "it was not taken for dead");
    a.gate.release();
    assert_eq!(soon(hanging).await.unwrap(), Some(111));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_two_write_all_the_time_is_shared() {
    let (memory, a, b) = pair().await;
    let tasks: Vec<_> = a.count("k", 4, 8_000).into_iter().chain(b.count("k", 4, 8_000)).collect();
    soon(async {
        while !memory.is_shared_key(&key_of("k")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for task in tasks {
        soon(task).await.unwrap();
    }
    assert_eq!((stored(&memory, "k"), memory.entry(&key_of("k")).revision), (64_000, 64_000));
}
