//! Two processes on one store: each key has one owner at a time, and nothing is lost or done twice on the way.
//!
//! In real time, because beats and suspicion are made of it. Tests wait for answers.

use std::sync::atomic::Ordering;

use clawstore_core::backend::{Fence, HoldLeases, LeaseAsk};
use clawstore_core::limits::{LEASES_PER_CALL_MAX, Limits};

use super::*;
use crate::clock::SystemClock;
use crate::slot::Activation;

pub(super) struct Node {
    pub(super) gate: Arc<GatedBackend>,
    pub(super) process: Arc<Process>,
    pub(super) game: Arc<Game>,
}

impl Node {
    async fn new(memory: &MemoryBackend, seed: u64) -> Self {
        Self::with(memory, seed, Config::default()).await
    }

    pub(super) async fn with(memory: &MemoryBackend, seed: u64, config: Config) -> Self {
        let gate = Arc::new(GatedBackend::new(Arc::new(memory.clone())));
        let backend = Arc::clone(&gate) as Arc<dyn Backend>;
        let (clock, entropy) = (Arc::new(SystemClock::start()), Arc::new(SeededEntropy::new(seed)));
        let process = Process::start(backend, clock, entropy, Handle::current(), config).await.unwrap();
        let game = process.game(GameId::Number(1)).unwrap();
        Self { gate, process, game }
    }

    pub(super) fn incarnation(&self) -> clawstore_core::backend::Incarnation {
        self.process.ownership.as_ref().unwrap().incarnation()
    }

    pub(super) async fn call(&self, key: &str, request: Request) -> CallResult {
        self.game.call(&key_of(key), request).await
    }

    /// So many increments by transforms, by so many tasks at once.
    pub(super) fn count(&self, key: &'static str, tasks: usize, each: usize) -> Vec<tokio::task::JoinHandle<()>> {
        let task = |_| {
            let game = Arc::clone(&self.game);
            Handle::current().spawn(async move {
                for _ in 0..each {
                    game.update::<clawstore_core::CallError>(&key_of(key), |entry| Ok(Some(plus_one(entry))))
                        .await
                        .unwrap();
                }
            })
        };
        (0..tasks).map(task).collect()
    }
}

fn plus_one(entry: &Entry) -> Set {
    let old = entry.value.as_ref().map_or(0, |value| serde_number(value.json()));
    Set { value: Value::integer(old + 1), attributes: Attributes::default() }
}

fn serde_number(json: &[u8]) -> i64 {
    std::str::from_utf8(json).unwrap().parse().unwrap()
}

pub(super) async fn pair() -> (MemoryBackend, Node, Node) {
    let memory = MemoryBackend::shared();
    let (a, b) = (Node::new(&memory, 1).await, Node::new(&memory, 2).await);
    (memory, a, b)
}

pub(super) fn stored(memory: &MemoryBackend, key: &str) -> i64 {
    serde_number(memory.entry(&key_of(key)).value.unwrap().json())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_count_on_one_key_and_lose_nothing() {
    let (memory, a, b) = pair().await;
    let tasks: Vec<_> = a.count("k", 8, 400).into_iter().chain(b.count("k", 8, 400)).collect();
    for task in tasks {
        soon(task).await.unwrap();
    }
    assert_eq!(stored(&memory, "k"), 6_400);
    assert_eq!(memory.entry(&key_of("k")).revision, 6_400, "each of them once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_key_is_given_to_who_wants_it() {
    let (_, a, b) = pair().await;
    assert_eq!(number(soon(a.call("k", set(1))).await), Some(1));
    assert_eq!(number(soon(b.call("k", set(2))).await), Some(2));
    assert_eq!(number(soon(a.call("k", Request::Get)).await), Some(1), "its last value may be shown for 4 s");
    assert_eq!(number(soon(a.game.call_uncached(&key_of("k"))).await), Some(2));
    assert_eq!(number(soon(a.call("k", increment(1))).await), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_left_memory_keeps_its_lease_and_gives_it_when_asked() {
    let (memory, a, b) = pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    let slot = a.game.directory.existing(&key_of("k")).unwrap();
    soon(async {
        while slot.open.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    a.game.passivate(&slot);
    assert!(matches!(slot.lock().activation, Activation::Vacant));
    let fence = slot.lock().lease;
    soon(a.call("k", increment(1))).await.unwrap();
    assert!(fence.is_some() && slot.lock().lease == fence, "the same lease");
    a.game.passivate(&slot);
    assert_eq!(number(soon(b.call("k", increment(1))).await), Some(3));
    assert_eq!(stored(&memory, "k"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_was_never_heard_of_is_given_back_when_others_want_the_key() {
    let (memory, a, b) = pair().await;
    let lost = LeaseAsk::new(key_of("k"), Fence(99));
    memory.acquire(a.incarnation(), vec![lost]).await.unwrap();
    assert_eq!(number(soon(b.call("k", set(1))).await), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_taken_for_dead_overwrites_nothing_and_goes_on() {
    let (memory, a, b) = pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    soon(a.call("own", set(1))).await.unwrap();
    let before = a.incarnation();
    memory.kill(before);
    assert_eq!(number(soon(b.call("k", increment(10))).await), Some(11), "free at once");
    // It has not heard of it: its write is refused, made again on what is stored, and done.
    assert_eq!(number(soon(a.call("k", increment(100))).await), Some(111));
    assert_eq!(number(soon(a.call("own", increment(1))).await), Some(2));
    soon(async {
        while a.incarnation() == before || a.incarnation().0 == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(number(soon(b.call("own", increment(1))).await), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_owner_is_found_out_by_a_read_of_the_store() {
    let (memory, a, b) = pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    memory.kill(a.incarnation());
    soon(b.call("k", set(2))).await.unwrap();
    assert_eq!(number(soon(a.game.call_uncached(&key_of("k"))).await), Some(2));
    soon(async {
        while number(a.call("k", Request::Get).await) != Some(2) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What a read brings is counted also where the owner's answer has to be confirmed by the store.
#[tokio::test(flavor = "multi_thread")]
async fn reads_behind_a_write_that_the_store_confirms_cost_what_they_bring() {
    const READS: u32 = 30;
    let config = Config { limits: Limits::Roblox, ..Config::default() };
    let node = Node::with(&MemoryBackend::shared(), 1, config).await;
    soon(node.call("k", set(1))).await.unwrap();
    node.gate.hold();
    let start = |request: Option<Request>| {
        let game = Arc::clone(&node.game);
        Handle::current().spawn(async move {
            match request {
                Some(request) => game.call(&key_of("k"), request).await,
                None => game.call_uncached(&key_of("k")).await,
            }
        })
    };
    let value = Value::new(format!("\"{}\"", "x".repeat(1_000_000))).unwrap();
    let write = start(Some(Request::Set(Set { value, attributes: Attributes::default() })));
    soon(node.gate.wait_commits_started(2)).await;
    let reads: Vec<_> = (0..READS).map(|_| start(None)).collect();
    let slot = node.game.directory.existing(&key_of("k")).unwrap();
    soon(async {
        while slot.open.load(Ordering::Acquire) < 1 + READS {
            tokio::task::yield_now().await;
        }
    })
    .await;
    node.gate.release();
    assert!(soon(write).await.unwrap().is_ok());
    for read in reads {
        assert!(soon(read).await.unwrap().is_ok());
    }
    let next = soon(node.game.call_uncached(&key_of("k"))).await;
    assert!(next.is_err_and(|error| error.text.contains("KeyThrottled")), "30 MB, of 25 a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_the_store_has_forgotten_is_replaced() {
    let (memory, a, _b) = pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    memory.forget_lanes(a.incarnation());
    assert_eq!(number(soon(a.call("k", increment(1))).await), Some(2));
    assert_eq!(stored(&memory, "k"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_ends_before_a_key_is_handed_over() {
    let (memory, a, b) = pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    a.gate.hold();
    let call = |node: &Node, delta| {
        let game = Arc::clone(&node.game);
        Handle::current().spawn(async move { number(game.call(&key_of("k"), increment(delta)).await) })
    };
    let first = call(&a, 1);
    soon(a.gate.wait_commits_started(2)).await;
    let other = call(&b, 100);
    let slot = a.game.directory.existing(&key_of("k")).unwrap();
    soon(async {
        while slot.lock().wanted_since.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let second = call(&a, 1);
    a.gate.release();
    assert_eq!(soon(first).await.unwrap(), Some(2));
    let (second, other) = (soon(second).await.unwrap(), soon(other).await.unwrap());
    assert_eq!(stored(&memory, "k"), 103);
    assert!([(Some(3), Some(103)), (Some(103), Some(102))].contains(&(second, other)), "{second:?}, {other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_frees_all_keys_at_once() {
    let (memory, a, b) = pair().await;
    for key in ["k", "l"] {
        soon(a.call(key, set(1))).await.unwrap();
    }
    let me = a.incarnation();
    soon(a.process.drain(Duration::from_secs(5))).await;
    assert!(memory.alive().iter().all(|peer| peer.incarnation != me));
    assert_eq!(number(soon(b.call("k", increment(1))).await), Some(2));
}

/// The store forgets them then. The others end with the incarnation, however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_gives_back_keys_that_were_never_written() {
    let (memory, a, _b) = pair().await;
    soon(a.call("written", set(1))).await.unwrap();
    let keys: Vec<_> = (0..LEASES_PER_CALL_MAX + 5).map(|n| key_of(&format!("k{n}"))).collect();
    for key in &keys {
        let kept = a.game.update::<clawstore_core::CallError>(key, |_| Ok(None));
        soon(kept).await.unwrap();
    }
    assert!(keys.iter().all(|key| memory.has_owner(key)));
    soon(a.process.drain(Duration::from_secs(5))).await;
    assert!(keys.iter().all(|key| !memory.has_owner(key)));
    assert!(memory.has_owner(&key_of("written")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uncached_read_behind_a_write_is_confirmed_by_the_store() {
    let (_, a, _b) = pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    a.gate.hold();
    let call = |uncached: bool| {
        let game = Arc::clone(&a.game);
        let key = key_of("k");
        Handle::current().spawn(async move {
            number(if uncached { game.call_uncached(&key).await } else { game.call(&key, increment(1)).await })
        })
    };
    let write = call(false);
    soon(a.gate.wait_commits_started(2)).await;
    let before = a.gate.keys_read();
    let read = call(true);
    a.gate.release();
    assert_eq!((soon(write).await.unwrap(), soon(read).await.unwrap()), (Some(2), Some(2)));
    assert_eq!(a.gate.keys_read(), before + 1);
}
