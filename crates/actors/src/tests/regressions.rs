//! Faults that were found by review, each as it was found.

use std::sync::atomic::{AtomicBool, Ordering};

use clawstore_core::backend::BackendErrorKind;
use clawstore_core::clock::Timestamp;
use clawstore_core::key_machine::{VmId, Writer};
use clawstore_core::{CallError, Outcome};

use super::*;
use crate::process::GameError;
use crate::slot::{Activation, Slot};

const READER: Writer = Writer { vm: VmId(77), op: 1 };

fn submit_to(game: &Arc<Game>, key: &EntryKey, request: Request) -> oneshot::Receiver<CallResult> {
    let (reply, answer) = oneshot::channel();
    game.submit(key, READER, Timestamp::default(), request, ReplyTo::Task(reply));
    answer
}

fn is_dead(slot: &Slot) -> bool {
    matches!(&slot.lock().activation, Activation::Live(actor) if actor.get_status() == ractor::ActorStatus::Stopped)
}

async fn read_uncached(world: &World, key: &str) -> CallResult {
    soon(world.game.call_uncached(&key_of(key))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_dead_actors_writes_expired_lives_again() {
    let world = World::new().await;
    world.call("k", set(0)).await.unwrap();
    world.gate.hold();
    let other = world.submit(9, 1, "other", set(1));
    world.gate.wait_commits_started(2).await;
    let pending = world.submit(1, 1, "k", increment(1));
    let slot = world.game.directory.existing(&key_of("k")).unwrap();
    // Published by the actor after it accepted the write: the flusher's mailbox has it by then.
    soon(async {
        while slot.lock().head.entry.revision < 2 {
            tokio::task::yield_now().await
        }
    })
    .await;
    if let Activation::Live(actor) = &slot.lock().activation {
        actor.kill();
    }
    soon(async {
        while !is_dead(&slot) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let next = world.submit(1, 2, "k", increment(10));
    world.clock.advance(Duration::from_secs(31));
    for call in [pending, other, next] {
        assert!(soon(call).await.unwrap().is_err(), "past its deadline");
    }
    world.gate.release();
    assert_eq!(number(soon(world.call("k", increment(5))).await), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_could_not_be_read_again_is_not_served() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    let outside = world.stored("k").successor(Some(Value::integer(50)), Attributes::default(), Timestamp::default());
    world.memory.overwrite(&key_of("k"), outside);
    world.gate.fail_reads(1, BackendErrorKind::Unavailable);
    assert_eq!(soon(world.call("k", increment(1))).await.expect_err("unread").outcome, Outcome::Fail);
    assert_eq!(number(read_uncached(&world, "k").await), Some(50));
    assert_eq!(number(soon(world.call("k", Request::Get)).await), Some(50));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_unknown_a_read_asks_the_store() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    world.gate.fail_commits(1, BackendErrorKind::Halted);
    world.gate.fail_reads(100, BackendErrorKind::Halted);
    let error = soon(world.call("k", set(2))).await.expect_err("halted");
    assert_eq!(error.outcome, Outcome::Unknown);
    assert!(read_uncached(&world, "k").await.is_err(), "what is stored is not known here, and the store says nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_hold_while_a_key_is_being_loaded() {
    let world = World::new().await;
    world.gate.hold_reads();
    let write = world.submit(1, 1, "cold", set(1));
    let (reply, read) = oneshot::channel();
    assert!(world.game.read(&key_of("unread"), READER, true, || ReplyTo::Task(reply)).is_none());
    world.gate.wait_reads_started(1).await;
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(soon(write).await.unwrap().expect_err("late").outcome, Outcome::Fail);
    assert_eq!(soon(read).await.unwrap().expect_err("late").outcome, Outcome::Fail);
    world.gate.release_reads();
    assert_eq!(number(soon(world.call("cold", set(2))).await), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn transforms_never_see_an_empty_key_after_a_panic() {
    let world = World::new().await;
    world.call("k", set(7)).await.unwrap();
    world.gate.hold();
    let (reply, last_of_all) = oneshot::channel();
    let at = Timestamp::from_ticks(u64::MAX);
    world.game.submit(&key_of("k"), READER, at, set(8), ReplyTo::Task(reply));
    world.gate.wait_commits_started(2).await;
    let panics = world.submit(1, 1, "k", set(9));
    assert!(soon(panics).await.unwrap().is_err());
    let key = key_of("k");
    let update = world
        .game
        .update(&key, |entry| if entry.value.is_some() { Ok(None) } else { Err(CallError::argument("an empty key")) });
    let released = async {
        world.gate.release();
        soon(last_of_all).await.unwrap()
    };
    let (updated, released) = tokio::join!(soon(update), released);
    assert_eq!(updated, Ok(Reply::Cancelled));
    assert!(released.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_panics_halts_the_store_and_answers_everyone() {
    let world = World::new().await;
    let once = AtomicBool::new(true);
    world.gate.poison(move |_| {
        assert!(!once.swap(false, Ordering::SeqCst), "a fault in the backend");
        false
    });
    assert_eq!(soon(world.call("k", set(1))).await.expect_err("lost").outcome, Outcome::Unknown);
    soon(async {
        while world.process.halted().is_none() {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert_eq!(soon(world.call("other", set(1))).await.expect_err("halted").outcome, Outcome::Fail);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_game_opens_after_a_drain() {
    let world = World::new().await;
    world.process.drain(Duration::from_secs(1)).await;
    assert!(matches!(world.process.game(GameId::Number(2)), Err(GameError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_leave_nothing_behind() {
    let world = World::with(Config { pending_bytes_per_game: 600, ..Config::default() }).await;
    world.gate.hold_reads();
    let first = world.submit(1, 1, "k", set(1));
    for n in 0..100 {
        let refused = world.submit(1, n, &format!("x{n}"), set(1));
        assert!(soon(refused).await.unwrap().is_err());
    }
    assert_eq!(world.game.directory.len(), 1);
    world.gate.release_reads();
    assert_eq!(number(soon(first).await.unwrap()), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_wake_up_panics_harms_only_itself() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    let server = world.game.server(crate::ServerIdentity::default());
    server.inbox().set_wake(|| panic!("the host's receiver is gone"));
    server.write(&key_of("k"), server.next_writer(), server.wall(), set(2));
    assert_eq!(number(soon(world.call("other", set(1))).await), Some(1));
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn held_updates_of_a_vm_that_is_never_polled_do_not_stall_a_drain() {
    let world = World::new().await;
    let server = world.game.server(crate::ServerIdentity::default());
    let not_run = Request::Update(clawstore_core::ops::Update::NOT_RUN);
    let writer = server.next_writer();
    server.write(&key_of("k"), writer, server.wall(), not_run);
    server.write(&key_of("k"), server.next_writer(), server.wall(), set(5));
    let report = soon(world.process.drain(Duration::from_secs(600))).await;
    assert_eq!((report.acked, report.failed, report.unknown), (1, 1, 0), "{report:?}");
    assert_eq!(world.stored("k").revision, 1, "the set behind the update went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_drain_waits_once_for_all_games() {
    let world = World::new().await;
    let store = |n| StoreId::new(GameId::Number(n), StoreKind::Standard, b"Store", b"global").unwrap();
    world.gate.hold_reads();
    let calls: Vec<_> = (2..8)
        .map(|n| {
            let key = EntryKey::new(&Arc::new(store(n)), b"k").unwrap();
            submit_to(&world.process.game(GameId::Number(n)).unwrap(), &key, set(1))
        })
        .collect();
    let report = soon(world.process.drain(Duration::from_millis(10))).await;
    assert_eq!((report.acked, report.failed, report.unknown), (0, 6, 0), "{report:?}");
    for call in calls {
        assert_eq!(soon(call).await.unwrap().expect_err("aborted").outcome, Outcome::Fail);
    }
    world.gate.release_reads();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_dies_stops_the_store_at_once() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    world.process.lane.kill();
    soon(async {
        while world.process.halted().is_none() {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert_eq!(soon(world.call("k", set(2))).await.expect_err("halted").outcome, Outcome::Fail);
    assert_eq!(number(soon(world.call("k", Request::Get)).await), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flusher_that_dies_stops_the_store_and_leaves_no_call_open() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    world.gate.hold();
    let sent = world.submit(1, 1, "k", set(2));
    world.gate.wait_commits_started(2).await;
    world.game.flusher.kill();
    assert_eq!(soon(sent).await.unwrap().expect_err("lost").outcome, Outcome::Unknown);
    soon(async {
        while world.process.halted().is_none() {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert_eq!(soon(world.call("other", set(2))).await.expect_err("halted").outcome, Outcome::Fail);
    world.gate.release();
}

/// Two reads occupy the reader; the four that wait behind them are gathered into one, which meets a damaged row.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_costs_its_neighbours_nothing() {
    let world = World::new().await;
    world.gate.hold_reads();
    let read = |key: &str| {
        let (reply, answer) = oneshot::channel();
        assert!(world.game.read(&key_of(key), READER, true, || ReplyTo::Task(reply)).is_none());
        answer
    };
    let (first, second) = (read("first"), {
        world.gate.wait_reads_started(1).await;
        read("second")
    });
    world.gate.wait_reads_started(2).await;
    world.gate.fail_reads(1, BackendErrorKind::Corrupt);
    let neighbours: Vec<_> = ["a", "b", "c", "d"].map(read).into();
    world.gate.release_reads();
    for answer in [first, second].into_iter().chain(neighbours) {
        assert_eq!(number(soon(answer).await.unwrap()), None);
    }
    assert_eq!(world.gate.keys_read(), 2 + 4 + 4, "together, then each alone");
}

/// The host may read from within its wake-up: the write that it hears of must not count as unsettled any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_right_after_an_answer_is_at_hand() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    let server = world.game.server(crate::ServerIdentity::default());
    let (game, (tell, told)) = (Arc::clone(&world.game), std::sync::mpsc::channel());
    server.inbox().set_wake(move || {
        let found = game.read_at_hand(&key_of("k"), true);
        tell.send(found.and_then(|entry| entry.value.as_ref().and_then(Value::as_integer))).unwrap();
    });
    server.write(&key_of("k"), server.next_writer(), server.wall(), set(2));
    assert_eq!(tokio::task::spawn_blocking(move || told.recv_timeout(SOON)).await.unwrap(), Ok(Some(2)));
}
