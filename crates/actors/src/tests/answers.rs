//! Every call is answered once, when its state is durable, in order; admission refuses at once.

use clawstore_core::Outcome;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_five_calls() {
    let world = World::new().await;
    assert_eq!(number(world.call("k", Request::Get).await), None);
    assert_eq!(number(world.call("k", set(5)).await), Some(5));
    assert_eq!(number(world.call("k", increment(2)).await), Some(7));
    let key = key_of("k");
    let doubled = world.game.update(&key, |entry| {
        let old = entry.value.as_ref().and_then(Value::as_integer).unwrap_or(0);
        Ok::<_, clawstore_core::CallError>(Some(Set {
            value: Value::integer(old * 2),
            attributes: Attributes::default(),
        }))
    });
    assert_eq!(number(doubled.await), Some(14));
    assert_eq!(number(world.call("k", Request::Remove).await), Some(14));
    assert_eq!(number(world.call("k", Request::Get).await), None);
    assert_eq!(world.stored("k").revision, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_or_read_before_it_is_durable() {
    let world = World::new().await;
    assert_eq!(number(world.call("k", set(1)).await), Some(1));
    world.gate.hold();
    let mut write = world.submit(1, 1, "k", set(2));
    let mut started = world.gate.commits_started();
    soon(started.wait_for(|&n| n >= 2)).await.unwrap();
    assert!(world.game.read_at_hand(&key_of("k"), true).is_none(), "a read waits for the write before it");
    let read = world.submit(1, 2, "k", Request::Get);
    assert!(write.try_recv().is_err(), "answered before its commit");
    world.gate.release();
    assert_eq!(number(soon(write).await.unwrap()), Some(2));
    assert_eq!(number(soon(read).await.unwrap()), Some(2), "a read behind a write shows it");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_permits_refuse_at_once_and_come_back() {
    let config = Config { pending_bytes_per_game: 4 * 1024, ..Config::default() };
    let world = World::with(config).await;
    world.gate.hold();
    let calls: Vec<_> = (0..20).map(|op| world.submit(1, op, "k", increment(1))).collect();
    let (mut ok, mut refused) = (0, 0);
    world.gate.release();
    for call in calls {
        match soon(call).await.unwrap() {
            Ok(_) => ok += 1,
            Err(error) => {
                assert!(error.text.contains("Too much data is waiting to be saved. (not applied)"), "{}", error.text);
                refused += 1;
            }
        }
    }
    assert!(ok >= 4 && refused >= 4, "{ok} accepted, {refused} refused");
    assert_eq!(number(world.call("k", Request::Get).await), Some(ok), "what was refused was not applied");
    soon(async {
        while world.process.pending_bytes() > 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_fail_what_was_not_sent_and_leave_the_rest_unknown() {
    let world = World::new().await;
    assert_eq!(number(world.call("k", set(0)).await), Some(0));
    world.gate.hold();
    let sent = world.submit(1, 1, "k", increment(1));
    let mut started = world.gate.commits_started();
    soon(started.wait_for(|&n| n >= 2)).await.unwrap();
    let waiting = world.submit(1, 2, "k", increment(10));
    let later = world.submit(2, 1, "other", set(1));
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(soon(sent).await.unwrap().expect_err("no answer in time").outcome, Outcome::Unknown);
    assert_eq!(soon(waiting).await.unwrap().expect_err("never sent").outcome, Outcome::Fail);
    assert_eq!(soon(later).await.unwrap().expect_err("never sent").outcome, Outcome::Fail);
    world.gate.release();
    assert_eq!(
        number(soon(world.call("k", increment(100))).await),
        Some(101),
        "the unknown one was applied, the failed not"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_what_was_accepted_and_refuses_the_rest() {
    let world = World::new().await;
    let calls: Vec<_> = (0..200).map(|op| world.submit(1, op, &format!("k{}", op % 20), increment(1))).collect();
    let report = soon(world.process.drain(Duration::from_secs(10))).await;
    assert_eq!((report.failed, report.unknown), (0, 0), "{report:?}");
    for call in calls {
        assert!(soon(call).await.unwrap().is_ok());
    }
    assert_eq!((0..20).map(|k| world.stored(&format!("k{k}")).revision).sum::<u64>(), 200);
    let error = world.call("k", set(1)).await.expect_err("closed");
    assert!(error.text.starts_with("401: "), "{}", error.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_runs_out_of_time_answers_everything() {
    let world = World::new().await;
    assert_eq!(number(world.call("k", set(0)).await), Some(0));
    world.gate.hold();
    let sent = world.submit(1, 1, "k", increment(1));
    let mut started = world.gate.commits_started();
    soon(started.wait_for(|&n| n >= 2)).await.unwrap();
    let waiting = world.submit(1, 2, "k", increment(1));
    let report = soon(world.process.drain(Duration::from_millis(50))).await;
    assert_eq!((report.acked, report.failed, report.unknown), (0, 1, 1), "{report:?}");
    assert_eq!(soon(sent).await.unwrap().expect_err("sent").outcome, Outcome::Unknown);
    assert_eq!(soon(waiting).await.unwrap().expect_err("not sent").outcome, Outcome::Fail);
    world.gate.release();
}
