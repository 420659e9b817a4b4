//! Keys have one owner among several processes (I6), who may die, leave, or wake up too late.

use std::any::Any;
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, Batch, BatchRow, Beat, BeatAnswer, Fence, GiveBack, HoldLeases,
    Incarnation, Kept, KeyRange, LaneId, LaneMark, LeaseAnswer, LeaseAsk, LeaseRequest, Peer, RowOutcome,
};
use clawstore_core::{Entry, EntryKey};

use super::{first, json, key, key_in, next, row, store};

/// Keys in one call, at most (`decisions.md` 26: all waiting keys in one statement).
const MANY: usize = 1_000;

/// One empty store with two processes on it.
pub struct Shared {
    backends: [Arc<dyn Backend>; 2],
    _keep: Box<dyn Any>,
}

impl Shared {
    /// `keep` may hold what must live as long as the backends, such as a database.
    pub fn new(backends: [Arc<dyn Backend>; 2], keep: impl Any) -> Self {
        Self { backends, _keep: Box::new(keep) }
    }

    /// Both processes, joined.
    pub(super) async fn processes(&self) -> [Process<'_>; 2] {
        let [first, second] = [0, 1].map(|index| Process::new(&*self.backends[index], index as u64 + 1));
        first.leases.join(first.incarnation).await.expect("joins");
        second.leases.join(second.incarnation).await.expect("joins");
        [first, second]
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("backends", &self.backends).finish_non_exhaustive()
    }
}

/// One incarnation of one process.
pub(super) struct Process<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) leases: &'a dyn HoldLeases,
    pub(super) incarnation: Incarnation,
}

impl<'a> Process<'a> {
    fn new(backend: &'a dyn Backend, incarnation: u64) -> Self {
        let leases = backend.leases().expect("a backend with leases");
        Self { backend, leases, incarnation: Incarnation(incarnation) }
    }

    pub(super) async fn acquire(&self, key: &EntryKey, fence: u64) -> LeaseAnswer {
        let mut answers = self.try_acquire(&[(key, fence)]).await.expect("an acquisition");
        assert_eq!(answers.len(), 1, "one answer per key");
        answers.remove(0)
    }

    pub(super) async fn try_acquire(&self, keys: &[(&EntryKey, u64)]) -> Result<Vec<LeaseAnswer>, BackendError> {
        self.leases.acquire(self.incarnation, asks(keys)).await
    }

    fn batch(&self, seq: u64, rows: Vec<BatchRow>) -> Arc<Batch> {
        let lane = LaneId { incarnation: self.incarnation, number: 0 };
        Arc::new(Batch { lane, seq, digest: seq * 1_000, rows })
    }

    pub(super) async fn commit(&self, seq: u64, rows: Vec<BatchRow>) -> Result<Vec<RowOutcome>, BackendErrorKind> {
        self.backend.commit_batch(self.batch(seq, rows)).await.map_err(|error| error.kind)
    }

    pub(super) async fn beat(&self) -> BeatAnswer {
        let beat = Beat::new(self.incarnation, Vec::new());
        self.leases.beat(beat).await.expect("a beat")
    }

    /// Declares another dead, as it was seen in the last beat.
    pub(super) async fn bury(&self, other: &Process<'_>) {
        let seen = self.beat().await.peers.into_iter().filter(|peer| peer.incarnation == other.incarnation).collect();
        self.leases.declare_dead(self.incarnation, seen, false).await.expect("a declaration");
    }
}

pub(super) fn lease(key: &EntryKey, fence: u64) -> LeaseRequest {
    LeaseRequest { key: key.clone(), fence: Fence(fence) }
}

pub(super) fn back(key: &EntryKey, fence: u64) -> GiveBack {
    GiveBack::new(key.clone(), Fence(fence))
}

fn asks(keys: &[(&EntryKey, u64)]) -> Vec<LeaseAsk> {
    keys.iter().map(|(key, fence)| LeaseAsk::new((*key).clone(), Fence(*fence))).collect()
}

pub(super) fn owned(key: &EntryKey, fence: u64, base: u64, entry: &Entry) -> BatchRow {
    BatchRow { fence: Fence(fence), ..row(key, base, entry) }
}

pub(super) fn is_held_by(answer: &LeaseAnswer, owner: &Process<'_>) -> bool {
    matches!(answer, LeaseAnswer::Held { owner: peer, .. } if peer.incarnation == owner.incarnation)
}

/// Nothing is stored under it.
pub async fn a_fresh_key_is_granted_empty(shared: Shared) {
    let [a, _] = shared.processes().await;
    assert_eq!(a.acquire(&key("k"), 7).await, LeaseAnswer::Granted(Entry::default()));
    assert_eq!(a.try_acquire(&[]).await.expect("nothing is asked for"), []);
}

/// An answer that was lost: the same again, with what was written since.
pub async fn the_same_fence_again_is_granted_again(shared: Shared) {
    let [a, _] = shared.processes().await;
    let (key, entry) = (key("k"), first("1"));
    for _ in 0..2 {
        assert_eq!(a.acquire(&key, 7).await, LeaseAnswer::Granted(Entry::default()));
    }
    assert_eq!(a.commit(1, vec![owned(&key, 7, 0, &entry)]).await, Ok(vec![RowOutcome::Committed]));
    assert_eq!(a.acquire(&key, 7).await, LeaseAnswer::Granted(entry));
}

/// Who lost track of its own fence may draw another; the one before is worth nothing from then on.
pub async fn another_fence_of_its_owner_takes_its_place(shared: Shared) {
    let [a, _] = shared.processes().await;
    let key = key("k");
    a.acquire(&key, 7).await;
    assert_eq!(a.acquire(&key, 8).await, LeaseAnswer::Granted(Entry::default()));
    assert_eq!(a.commit(1, vec![owned(&key, 7, 0, &first("1"))]).await, Ok(vec![RowOutcome::Fenced]));
    assert_eq!(a.commit(2, vec![owned(&key, 8, 0, &first("2"))]).await, Ok(vec![RowOutcome::Committed]));
}

/// With its count of beats, which the asker watches from then on, and its fence.
pub async fn a_held_key_names_its_owner(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (held, free) = (key("held"), key("free"));
    a.acquire(&held, 7).await;
    a.beat().await;
    a.beat().await;
    let owner = Peer { incarnation: a.incarnation, beats: 2 };
    for _ in 0..2 {
        let answers = b.try_acquire(&[(&free, 8), (&held, 9)]).await.expect("an acquisition");
        assert_eq!(answers, [LeaseAnswer::Granted(Entry::default()), LeaseAnswer::Held { owner, fence: Fence(7) }]);
    }
}

/// Its owner hears of it with the next batch, and with the next beat.
pub async fn a_wanted_key_shows_in_the_commit_and_in_the_beat(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (wanted, other) = (key("wanted"), key_in(&store("Gems", "s"), "other"));
    a.try_acquire(&[(&wanted, 7), (&other, 8)]).await.expect("an acquisition");
    assert_eq!(a.beat().await.wanted, []);
    b.acquire(&wanted, 9).await;
    let entry = first("1");
    let rows = vec![owned(&other, 8, 0, &entry), owned(&wanted, 7, 0, &entry)];
    assert_eq!(a.commit(1, rows.clone()).await, Ok(vec![RowOutcome::Committed, RowOutcome::Wanted]));
    assert_eq!(a.commit(1, rows).await, Ok(vec![RowOutcome::Committed, RowOutcome::Wanted]), "the same again");
    assert_eq!(a.beat().await.wanted, [lease(&wanted, 7)]);
    assert_eq!(b.beat().await.wanted, [], "it is not b's to give");

    a.leases.release(vec![back(&wanted, 7)]).await.expect("a release");
    assert_eq!(b.acquire(&wanted, 9).await, LeaseAnswer::Granted(entry.clone()));
    assert_eq!(b.beat().await.wanted, [], "nobody wants it any more");
    let second = next(&entry, json("2"));
    assert_eq!(b.commit(1, vec![owned(&wanted, 9, 1, &second)]).await, Ok(vec![RowOutcome::Committed]));
}

/// The next owner sees the last state of the one before.
pub async fn a_released_key_is_granted_with_what_is_stored(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (k, entry) = (key("k"), first("{\"a\":1}"));
    a.acquire(&k, 7).await;
    a.commit(1, vec![owned(&k, 7, 0, &entry)]).await.expect("commits");
    a.leases.release(vec![back(&k, 7), back(&key("unknown"), 8)]).await.expect("a release");
    assert_eq!(b.acquire(&k, 9).await, LeaseAnswer::Granted(entry.clone()));
    let second = next(&entry, json("2"));
    assert_eq!(a.commit(2, vec![owned(&k, 7, 1, &second)]).await, Ok(vec![RowOutcome::Fenced]));
}

/// A release that comes when the key is another's already.
pub async fn a_late_release_leaves_the_key_alone(shared: Shared) {
    let [a, b] = shared.processes().await;
    let key = key("k");
    a.acquire(&key, 7).await;
    a.leases.release(vec![back(&key, 7)]).await.expect("a release");
    b.acquire(&key, 8).await;
    a.leases.release(vec![back(&key, 7)]).await.expect("a release");
    assert!(is_held_by(&a.acquire(&key, 9).await, &b));
}

/// A lease alone makes neither a store nor a key that anybody sees.
pub async fn acquired_keys_are_not_listed(shared: Shared) {
    let [a, _] = shared.processes().await;
    let store = store("New", "s");
    let (written, acquired) = (key_in(&store, "written"), key_in(&store, "acquired"));
    a.try_acquire(&[(&written, 7), (&acquired, 8)]).await.expect("an acquisition");
    assert_eq!(a.backend.list_stores().await.expect("a list"), []);
    a.commit(1, vec![owned(&written, 7, 0, &first("1"))]).await.expect("commits");
    let listed = a.backend.list_keys(KeyRange::of_scope(store, "", Kept::default(), 10)).await.expect("a list");
    assert_eq!(listed.iter().map(|item| &item.place.key).collect::<Vec<_>>(), [&written.key]);
    let read = a.backend.read_entries(vec![acquired, written]).await.expect("a read");
    assert_eq!(read, [Entry::default(), first("1")]);
}

/// By one row, whatever the number of keys (`ownership-protocol.md` §2.1).
pub async fn death_frees_all_keys(shared: Shared) {
    let [a, b] = shared.processes().await;
    let keys: Vec<_> = (0..MANY).map(|n| key(&format!("k{n}"))).collect();
    let asked: Vec<_> = keys.iter().map(|key| (key, 7)).collect();
    a.try_acquire(&asked).await.expect("an acquisition");
    let held = b.try_acquire(&asked).await.expect("an acquisition");
    assert!(held.iter().all(|answer| is_held_by(answer, &a)));
    b.bury(&a).await;
    let granted = b.try_acquire(&asked).await.expect("an acquisition");
    assert_eq!(granted, vec![LeaseAnswer::Granted(Entry::default()); MANY]);
}

/// Not of one that has beaten since, nor by one that is not alive itself (I9).
pub async fn death_is_declared_only_of_those_who_stood_still(shared: Shared) {
    let [a, b] = shared.processes().await;
    let seen = b.beat().await.peers;
    assert!(a.beat().await.alive);
    assert_eq!(b.leases.declare_dead(b.incarnation, seen, false).await.expect("a declaration"), []);
    assert!(a.beat().await.alive, "it has moved");

    let seen = a.beat().await.peers;
    a.leases.leave(a.incarnation).await.expect("leaves");
    assert_eq!(a.leases.declare_dead(a.incarnation, seen, false).await.expect("a declaration"), []);
    assert!(b.beat().await.alive, "the dead declare nobody dead");
}

/// They are told so, and nothing brings them back (I9).
pub async fn the_dead_stay_dead(shared: Shared) {
    let [a, b] = shared.processes().await;
    b.bury(&a).await;
    assert!(!a.beat().await.alive);
    assert_eq!(a.try_acquire(&[(&key("k"), 7)]).await.expect_err("over").kind, BackendErrorKind::Over);
    a.leases.join(a.incarnation).await.expect("joins");
    assert!(!a.beat().await.alive);
    assert_eq!(b.beat().await.peers, []);
}

/// As death, but at once and by one's own will.
pub async fn leaving_frees_all_keys(shared: Shared) {
    let [a, b] = shared.processes().await;
    let key = key("k");
    a.acquire(&key, 7).await;
    a.leases.leave(a.incarnation).await.expect("leaves");
    assert_eq!(b.acquire(&key, 8).await, LeaseAnswer::Granted(Entry::default()));
    assert!(!a.beat().await.alive);
}

/// A process that wakes up after its death writes nothing that somebody has taken; what nobody has, it may.
pub async fn rows_of_a_zombie_are_fenced(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (taken, left) = (key("taken"), key("left"));
    a.try_acquire(&[(&taken, 7), (&left, 8)]).await.expect("an acquisition");
    b.bury(&a).await;
    b.acquire(&taken, 9).await;
    let rows = vec![owned(&left, 8, 0, &first("1")), owned(&taken, 7, 0, &first("1"))];
    assert_eq!(a.commit(1, rows).await, Ok(vec![RowOutcome::Committed, RowOutcome::Fenced]));
    assert_eq!(b.commit(1, vec![owned(&taken, 9, 0, &first("2"))]).await, Ok(vec![RowOutcome::Committed]));
    assert_eq!(b.acquire(&left, 10).await, LeaseAnswer::Granted(first("1")));
}

/// Under its old name, after its owner has begun a new life: that settles what was in doubt (§2.2.12).
pub async fn a_batch_of_the_dead_is_answered_again(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (key, stale) = (key("k"), key("stale"));
    a.acquire(&key, 7).await;
    let rows = vec![owned(&key, 7, 0, &first("1")), owned(&stale, 8, 0, &first("1"))];
    let answer = Ok(vec![RowOutcome::Committed, RowOutcome::Fenced]);
    assert_eq!(a.commit(1, rows.clone()).await, answer);
    b.bury(&a).await;
    let reborn = Process { incarnation: Incarnation(3), ..a };
    reborn.leases.join(reborn.incarnation).await.expect("joins");
    reborn.acquire(&key, 9).await;
    reborn.commit(1, vec![owned(&key, 9, 1, &next(&first("1"), json("2")))]).await.expect("commits");
    assert_eq!(a.commit(1, rows).await, answer);
    let stored = b.backend.read_entries(vec![key]).await.expect("a read");
    assert_eq!(stored[0].revision, 2, "nothing is applied by it");
}

/// Nobody knows what became of a batch there (`ownership-protocol.md` A11).
pub async fn a_lane_that_never_was_is_over(shared: Shared) {
    let [a, _] = shared.processes().await;
    let stranger = Process { incarnation: Incarnation(9), ..a };
    assert_eq!(stranger.commit(1, Vec::new()).await, Err(BackendErrorKind::Over));
}

/// A lane whose number is not where the process left it is not its lane (I7).
pub async fn numbers_out_of_order_are_over(shared: Shared) {
    let [a, _] = shared.processes().await;
    let key = key("k");
    a.acquire(&key, 7).await;
    let write = || vec![owned(&key, 7, 0, &first("1"))];
    assert_eq!(a.commit(2, write()).await, Err(BackendErrorKind::Over), "1 is next");
    assert_eq!(a.commit(1, Vec::new()).await, Ok(Vec::new()));
    assert_eq!(a.commit(2, Vec::new()).await, Ok(Vec::new()));
    assert_eq!(a.commit(1, write()).await, Err(BackendErrorKind::Over), "only the last answer is kept");
    let stored = a.backend.read_entries(vec![key]).await.expect("a read");
    assert_eq!(stored, [Entry::default()]);
}

/// Each begins at 1.
pub async fn lanes_count_for_themselves(shared: Shared) {
    let [a, _] = shared.processes().await;
    let keys = [key("a"), key("b")];
    a.try_acquire(&[(&keys[0], 7), (&keys[1], 7)]).await.expect("an acquisition");
    for (number, key) in keys.iter().enumerate().take(usize::from(a.backend.lanes())) {
        let lane = LaneId { incarnation: a.incarnation, number: number as u16 };
        let rows = vec![owned(key, 7, 0, &first("1"))];
        let batch = Arc::new(Batch { lane, seq: 1, digest: number as u64, rows });
        assert_eq!(a.backend.commit_batch(batch).await.expect("commits"), [RowOutcome::Committed]);
    }
}

/// So that who was told that a batch committed can see that it still is.
pub async fn beats_tell_how_far_lanes_have_come(shared: Shared) {
    let [a, b] = shared.processes().await;
    let key = key("a");
    a.try_acquire(&[(&key, 7)]).await.expect("an acquisition");
    let lane = |process: &Process<'_>, number| LaneId { incarnation: process.incarnation, number };
    let marks = [lane(&a, 0), lane(&b, 0), LaneId { incarnation: Incarnation(77), number: 0 }];
    let lanes: Vec<_> = marks.into_iter().map(|lane| LaneMark { lane, seq: 9 }).collect();
    let beat = || Beat { lanes: lanes.clone(), ..Beat::new(b.incarnation, Vec::new()) };
    assert_eq!(b.leases.beat(beat()).await.expect("a beat").lanes, [Some(0), Some(0), None]);
    let batch = Batch { lane: lane(&a, 0), seq: 1, digest: 1, rows: vec![owned(&key, 7, 0, &first("1"))] };
    a.backend.commit_batch(Arc::new(batch)).await.expect("commits");
    let answer = b.leases.beat(beat()).await.expect("a beat");
    assert_eq!(answer.lanes, [Some(1), Some(0), None]);
    assert!(answer.timeline > 0, "where there are leases there may be copies");
    b.leases.leave(b.incarnation).await.expect("leaves");
    let answer = b.leases.beat(beat()).await.expect("a beat");
    assert_eq!((answer.alive, &*answer.lanes), (false, &[Some(1), Some(0), None][..]), "to whoever asks");
}

/// Who is alive, with counts that move.
pub async fn beats_tell_of_the_others(shared: Shared) {
    let [a, b] = shared.processes().await;
    let peer = |process: &Process<'_>, beats| Peer { incarnation: process.incarnation, beats };
    let answer = a.beat().await;
    assert_eq!((answer.alive, &*answer.peers, &*answer.wanted), (true, &[peer(&b, 0)][..], &[][..]));
    assert_eq!(b.beat().await.peers, [peer(&a, 1)], "after the last one comes the first");
    let watching = Beat::new(a.incarnation, vec![b.incarnation, Incarnation(77)]);
    assert_eq!(a.leases.beat(watching).await.expect("a beat").peers, [peer(&b, 1)], "each once, and only the living");
    b.leases.leave(b.incarnation).await.expect("leaves");
    assert_eq!(a.beat().await.peers, []);
}

/// Two processes ask for the same keys at the same time, until each knows whose every key is.
pub async fn a_thousand_fresh_keys_have_one_owner_each(shared: Shared) {
    let [a, b] = shared.processes().await;
    let keys: Vec<_> = (0..MANY).map(|n| key(&format!("player_{n}"))).collect();
    let (of_a, of_b) = tokio::join!(settle(&a, &keys, 7), settle(&b, &keys, 8));
    for ((key, of_a), of_b) in keys.iter().zip(&of_a).zip(&of_b) {
        let to_a = *of_a == LeaseAnswer::Granted(Entry::default()) && is_held_by(of_b, &a);
        let to_b = *of_b == LeaseAnswer::Granted(Entry::default()) && is_held_by(of_a, &b);
        assert!(to_a != to_b, "{key}: {of_a:?}, {of_b:?}");
    }
}

/// Asks until no key is busy.
async fn settle(process: &Process<'_>, keys: &[EntryKey], fence: u64) -> Vec<LeaseAnswer> {
    let mut answers = vec![LeaseAnswer::Busy; keys.len()];
    loop {
        let busy: Vec<_> = (0..keys.len()).filter(|&index| answers[index] == LeaseAnswer::Busy).collect();
        if busy.is_empty() {
            return answers;
        }
        let asked: Vec<_> = busy.iter().map(|&index| (&keys[index], fence)).collect();
        let again = process.try_acquire(&asked).await.expect("an acquisition");
        busy.into_iter().zip(again).for_each(|(index, answer)| answers[index] = answer);
    }
}
