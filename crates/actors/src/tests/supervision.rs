//! Panics and deaths of key actors cost what they must and no more.

use clawstore_core::clock::Timestamp;
use clawstore_core::key_machine::{VmId, Writer};

use super::*;
use crate::slot::Activation;

/// The last moment there is: the revision after one of that time cannot be computed, and panics in a debug build.
const END_OF_TIME: Timestamp = Timestamp::from_ticks(u64::MAX);

fn submit_at(world: &World, op: u64, key: &str, at: Timestamp, request: Request) -> oneshot::Receiver<CallResult> {
    let (reply, answer) = oneshot::channel();
    world.game.submit(&key_of(key), Writer { vm: VmId(1), op }, at, request, ReplyTo::Task(reply));
    answer
}

fn poison(world: &World, key: &str) {
    let entry = Entry { revision: 1, updated: END_OF_TIME, value: Some(Value::integer(1)), ..Entry::default() };
    world.memory.overwrite(&key_of(key), entry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_call_alone() {
    let world = World::new().await;
    world.gate.hold();
    let first = submit_at(&world, 1, "k", Timestamp::default(), set(1));
    let last_of_all = submit_at(&world, 2, "k", END_OF_TIME, set(2));
    let panics = submit_at(&world, 3, "k", Timestamp::default(), set(3));
    let read = submit_at(&world, 4, "k", Timestamp::default(), Request::Get);
    world.gate.release();
    assert_eq!(number(soon(first).await.unwrap()), Some(1));
    assert_eq!(number(soon(last_of_all).await.unwrap()), Some(2));
    let error = soon(panics).await.unwrap().expect_err("it panicked");
    assert!(error.text.contains("internal error") && error.text.contains("(not applied)"), "{}", error.text);
    assert_eq!(number(soon(read).await.unwrap()), Some(2), "the key goes on from what was accepted");
    assert_eq!(number(world.call("other", set(1)).await), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_panics_in_ten_seconds_quarantine_the_key_alone() {
    let world = World::new().await;
    poison(&world, "k");
    for _ in 0..2 {
        let error = soon(world.call("k", set(1))).await.expect_err("it panicked");
        assert!(error.text.contains("internal error"), "{}", error.text);
    }
    world.clock.advance(Duration::from_secs(11));
    for _ in 0..3 {
        let error = soon(world.call("k", set(1))).await.expect_err("it panicked");
        assert!(error.text.contains("internal error"), "{}", error.text);
    }
    soon(async {
        let slot = world.game.directory.existing(&key_of("k")).unwrap();
        while !matches!(slot.lock().activation, Activation::Quarantined(_)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = soon(world.call("k", set(1))).await.expect_err("quarantined");
    assert!(error.text.contains("quarantined"), "{}", error.text);
    assert_eq!(number(soon(world.call("k", Request::Get)).await), Some(1), "it can be read");
    assert_eq!(number(soon(world.call("other", set(1))).await), Some(1));
    let healed = Entry { revision: 1, value: Some(Value::integer(5)), ..Entry::default() };
    world.memory.overwrite(&key_of("k"), healed);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(6), "the quarantine ends by itself");
}

/// What the flusher had is answered as it truly ended; what it had not is FAIL (`docs/adr/0006`).
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_dies_leaves_no_call_open_and_no_count_wrong() {
    for _ in 0..20 {
        let world = World::new().await;
        world.call("k", set(0)).await.unwrap();
        world.gate.hold();
        let calls: Vec<_> = (0..100).map(|op| world.submit(1, op, "k", increment(1))).collect();
        let slot = world.game.directory.existing(&key_of("k")).unwrap();
        if let Activation::Live(actor) = &slot.lock().activation {
            actor.kill();
        }
        let next = world.submit(1, 100, "k", increment(1_000));
        world.gate.release();
        let mut acked = 0;
        for call in calls {
            match soon(call).await.unwrap() {
                Ok(_) => acked += 1,
                Err(error) => assert_eq!(error.outcome, clawstore_core::Outcome::Fail, "{error}"),
            }
        }
        // The death may have been noticed by this call or not yet; it is answered either way.
        acked += if soon(next).await.unwrap().is_ok() { 1_000 } else { 0 };
        assert_eq!(number(soon(world.call("k", Request::Get)).await), Some(acked));
        assert_eq!(number(soon(world.call("k", increment(1))).await), Some(acked + 1), "the key lives again");
    }
}
