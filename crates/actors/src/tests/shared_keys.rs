//! A key that this process shares with another, whose writes go straight to the store.

use clawstore_core::CallError;
use clawstore_core::backend::{
    Batch, BatchRow, CommitBatches, Fence, GiveBack, HoldLeases, Incarnation, LaneId, LeaseAsk, Previous, RowOutcome,
};
use clawstore_core::clock::Clock;
use clawstore_core::limits::{RACES_PATIENCE, READ_CACHE_TTL, SHARED_QUIET};

use super::ownership::pair;
use super::*;

const SHARED: Fence = Fence(90);

/// The other process.
struct Other {
    memory: Arc<MemoryBackend>,
    lane: LaneId,
    seq: u64,
}

/// A process and another one, with the key `k` that holds a number and belongs to all.
async fn sharing(json: &str) -> (World, Other) {
    let memory = Arc::new(MemoryBackend::shared());
    let world = World::over(Arc::clone(&memory), Arc::clone(&memory) as _, Config::default()).await;
    let lane = LaneId { incarnation: Incarnation(77), number: 0 };
    memory.join(lane.incarnation).await.unwrap();
    let mut other = Other { memory, lane, seq: 0 };
    let (key, fence) = (key_of("k"), Fence(7));
    other.memory.acquire(lane.incarnation, vec![LeaseAsk::new(key.clone(), fence)]).await.unwrap();
    other.write(&world, fence, json).await;
    other.memory.release(vec![GiveBack { key, fence, share: Some(SHARED) }]).await.unwrap();
    (world, other)
}

impl Other {
    async fn write(&mut self, world: &World, fence: Fence, json: &str) {
        let stored = self.memory.entry(&key_of("k"));
        let value = Value::new(json.to_owned()).ok();
        let entry = Arc::new(stored.successor(value, Attributes::default(), world.clock.wall()));
        let (previous, kept) = (Previous::Overwritten, Vec::new());
        let row = BatchRow { key: key_of("k"), fence, base: stored.revision, previous, kept, entry, onto: None };
        self.seq += 1;
        let batch = Batch { lane: self.lane, seq: self.seq, digest: self.seq, rows: vec![row] };
        assert_eq!(self.memory.commit_batch(Arc::new(batch)).await.unwrap(), [RowOutcome::Committed]);
    }

    async fn set(&mut self, world: &World, json: &str) {
        self.write(world, SHARED, json).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_count_on_a_shared_key() {
    let (memory, a, b) = pair().await;
    soon(async {
        while !memory.is_shared_key(&key_of("k")) {
            a.call("k", increment(1)).await.unwrap();
            b.call("k", increment(1)).await.unwrap();
        }
    })
    .await;
    let before = memory.entry(&key_of("k")).revision;
    let count = |game: &Arc<Game>| {
        let game = Arc::clone(game);
        Handle::current().spawn(async move {
            for _ in 0..200 {
                game.call(&key_of("k"), increment(1)).await.unwrap();
            }
        })
    };
    let tasks: Vec<_> = (0..8).flat_map(|_| [count(&a.game), count(&b.game)]).collect();
    for task in tasks {
        soon(task).await.unwrap();
    }
    let stored = memory.entry(&key_of("k"));
    let number = stored.value.as_ref().and_then(Value::as_integer).unwrap();
    assert_eq!((stored.revision, number), (before + 3_200, i64::try_from(before).unwrap() + 3_200));
    assert!(memory.is_shared_key(&key_of("k")));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_a_shared_key_may_be_four_seconds_old_and_uncached_ones_are_not() {
    let (world, mut other) = sharing("10").await;
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(11));
    other.set(&world, "20").await;
    assert_eq!(number(soon(world.call("k", Request::Get)).await), Some(11), "as it was a moment ago");
    assert_eq!(number(soon(world.game.call_uncached(&key_of("k"))).await), Some(20));
    assert_eq!(number(soon(world.call("k", Request::Get)).await), Some(20), "what was read is kept");
    other.set(&world, "30").await;
    world.clock.advance(READ_CACHE_TTL);
    assert_eq!(number(soon(world.call("k", Request::Get)).await), Some(30));
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(31), "whatever was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_update_saw_is_what_was_stored() {
    let (world, mut other) = sharing("10").await;
    soon(world.call("k", increment(1))).await.unwrap();
    other.set(&world, "20").await;
    let mut seen = Vec::new();
    let look = |entry: &Entry| {
        seen.push(entry.value.as_ref().and_then(Value::as_integer).unwrap());
        Ok::<_, CallError>(None)
    };
    assert_eq!(soon(world.game.update(&key_of("k"), look)).await.unwrap(), Reply::Cancelled);
    assert!(seen.len() > 1 && seen.last() == Some(&20), "it ran again, because another had written: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_about_what_is_stored_now() {
    let (world, mut other) = sharing("\"text\"").await;
    let error = soon(world.call("k", increment(1))).await.unwrap_err();
    assert!(error.to_string().contains("not numeric"), "{error}");
    other.set(&world, "5").await;
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_key_that_nobody_else_writes_is_owned_again() {
    let (world, mut other) = sharing("1").await;
    soon(world.call("k", increment(1))).await.unwrap();
    world.clock.advance(SHARED_QUIET / 2);
    other.set(&world, "5").await;
    assert_eq!(number(soon(world.call("k", increment(1))).await), Some(6));
    world.clock.advance(SHARED_QUIET / 2);
    for _ in 0..2 {
        soon(world.call("k", increment(1))).await.unwrap();
    }
    assert!(world.memory.is_shared_key(&key_of("k")), "the other one has written half a minute ago");
    world.clock.advance(SHARED_QUIET);
    let mut expected = 8;
    soon(async {
        while world.memory.is_shared_key(&key_of("k")) {
            expected += 1;
            assert_eq!(number(world.call("k", increment(1)).await), Some(expected));
        }
    })
    .await;
    assert!(world.memory.has_owner(&key_of("k")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_loses_for_long_is_made_under_a_lease() {
    let (world, mut other) = sharing("1").await;
    soon(world.call("k", increment(1))).await.unwrap();
    for (waited, is_shared) in [(RACES_PATIENCE / 2, true), (RACES_PATIENCE, false)] {
        world.gate.hold();
        let started = *world.gate.commits_started().borrow();
        let answer = world.submit(1, 1, "k", set(100));
        soon(world.gate.wait_commits_started(started + 1)).await;
        other.set(&world, "50").await;
        world.clock.advance(waited);
        world.gate.release();
        assert_eq!(number(soon(answer).await.unwrap()), Some(100));
        assert_eq!(world.memory.is_shared_key(&key_of("k")), is_shared, "after {waited:?}");
    }
}
