//! How keys come into other hands: given when asked for, taken over, shared; and what operators see of it.

use clawstore_core::backend::{
    Deletion, Fence, GiveBack, Hint, Holder, LeaseAnswer, LeaseAsk, Lock, LockQuery, RowOutcome,
};
use clawstore_core::{Entry, EntryKey};
use tokio::sync::mpsc;

use super::leases::{Process, Shared, back, is_held_by, lease, owned};
use super::{at, first, json, key, key_in, next, store};

/// The fence of all who share a key.
const SHARED: Fence = Fence(90);

impl Process<'_> {
    async fn take_over(&self, key: &EntryKey, fence: u64, instead_of: u64) -> LeaseAnswer {
        let ask = LeaseAsk { key: key.clone(), fence: Fence(fence), instead_of: Some(Fence(instead_of)) };
        let mut answers = self.leases.acquire(self.incarnation, vec![ask]).await.expect("an acquisition");
        answers.remove(0)
    }

    /// Gives a key to all.
    async fn share(&self, key: &EntryKey, fence: u64) {
        let given = GiveBack { key: key.clone(), fence: Fence(fence), share: Some(SHARED) };
        self.leases.release(vec![given]).await.expect("a release");
    }
}

fn shared(entry: &Entry) -> LeaseAnswer {
    LeaseAnswer::Shared { entry: entry.clone(), fence: SHARED }
}

/// So that they can be told.
pub async fn a_release_tells_who_asked(shared: Shared) {
    let [a, b] = shared.processes().await;
    let keys = ["wanted", "wanted too", "not wanted"].map(key);
    for key in &keys {
        a.acquire(key, 7).await;
    }
    for key in &keys[..2] {
        b.acquire(key, 8).await;
    }
    let given = keys.iter().map(|key| back(key, 7)).collect();
    assert_eq!(a.leases.release(given).await.expect("a release"), [b.incarnation], "each once");
    assert_eq!(a.leases.release(vec![back(&keys[0], 7)]).await.expect("a release"), []);
}

/// Between two beats.
pub async fn wanted_keys_are_listed_for_their_owner(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (wanted, other) = (key_in(&store("Gems", "s"), "wanted"), key("other"));
    a.try_acquire(&[(&wanted, 7), (&other, 8)]).await.expect("an acquisition");
    assert_eq!(a.leases.list_wanted(a.incarnation).await.expect("a list"), []);
    b.acquire(&wanted, 9).await;
    assert_eq!(a.leases.list_wanted(a.incarnation).await.expect("a list"), [lease(&wanted, 7)]);
    assert_eq!(b.leases.list_wanted(b.incarnation).await.expect("a list"), []);
}

/// Whoever waited for somebody else's hold does not end this one.
pub async fn a_held_key_is_taken_over_by_its_fence_only(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (k, entry) = (key("k"), first("1"));
    a.acquire(&k, 7).await;
    a.commit(1, vec![owned(&k, 7, 0, &entry)]).await.expect("commits");
    assert!(is_held_by(&b.take_over(&k, 8, 6).await, &a));
    assert_eq!(b.take_over(&k, 8, 7).await, LeaseAnswer::Granted(entry.clone()));
    assert_eq!(b.take_over(&k, 8, 7).await, LeaseAnswer::Granted(entry), "the answer was lost");
    assert!(is_held_by(&a.take_over(&k, 9, 7).await, &b));
}

/// It lives, and what it had on its way is not applied; it may ask again.
pub async fn a_taken_key_fences_its_last_owner(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (k, entry) = (key("k"), first("1"));
    a.acquire(&k, 7).await;
    b.take_over(&k, 8, 7).await;
    assert_eq!(a.commit(1, vec![owned(&k, 7, 0, &entry)]).await, Ok(vec![RowOutcome::Fenced]));
    assert_eq!(a.leases.release(vec![back(&k, 7)]).await.expect("a release"), []);
    assert_eq!(b.commit(1, vec![owned(&k, 8, 0, &entry)]).await, Ok(vec![RowOutcome::Committed]));
    assert!(is_held_by(&a.acquire(&k, 9).await, &b));
}

/// Each write on the revision that it has seen: the first one wins.
pub async fn a_shared_key_is_written_by_all_under_one_fence(on: Shared) {
    let [a, b] = on.processes().await;
    let (k, one) = (key("k"), first("1"));
    a.acquire(&k, 7).await;
    a.commit(1, vec![owned(&k, 7, 0, &one)]).await.expect("commits");
    b.acquire(&k, 8).await;
    a.share(&k, 7).await;
    assert_eq!(a.beat().await.wanted, []);
    assert_eq!((a.acquire(&k, 9).await, b.acquire(&k, 8).await), (shared(&one), shared(&one)));
    let (of_a, of_b) = (next(&one, json("\"a\"")), next(&one, json("\"b\"")));
    assert_eq!(a.commit(2, vec![owned(&k, 7, 1, &of_a)]).await, Ok(vec![RowOutcome::Fenced]), "it is nobody's");
    assert_eq!(b.commit(1, vec![owned(&k, SHARED.0, 1, &of_b)]).await, Ok(vec![RowOutcome::Committed]));
    assert_eq!(a.commit(3, vec![owned(&k, SHARED.0, 1, &of_a)]).await, Ok(vec![RowOutcome::Fenced]));
    assert_eq!(a.acquire(&k, 10).await, shared(&of_b));
    let third = next(&of_b, json("3"));
    assert_eq!(a.commit(4, vec![owned(&k, SHARED.0, 2, &third)]).await, Ok(vec![RowOutcome::Committed]));
}

/// By one of them, when it is quiet. The others find out.
pub async fn a_shared_key_is_owned_again_by_its_fence_only(on: Shared) {
    let [a, b] = on.processes().await;
    let (k, one) = (key("k"), first("1"));
    a.acquire(&k, 7).await;
    a.commit(1, vec![owned(&k, 7, 0, &one)]).await.expect("commits");
    a.share(&k, 7).await;
    assert_eq!(b.take_over(&k, 8, 7).await, shared(&one), "that was its fence before");
    assert_eq!(b.take_over(&k, 8, SHARED.0).await, LeaseAnswer::Granted(one.clone()));
    let second = next(&one, json("2"));
    assert_eq!(a.commit(2, vec![owned(&k, SHARED.0, 1, &second)]).await, Ok(vec![RowOutcome::Fenced]));
    assert_eq!(b.commit(1, vec![owned(&k, 8, 1, &second)]).await, Ok(vec![RowOutcome::Committed]));
    assert!(is_held_by(&a.take_over(&k, 9, SHARED.0).await, &b));
}

/// The key is another's by then.
pub async fn a_late_release_does_not_share(on: Shared) {
    let [a, b] = on.processes().await;
    let k = key("k");
    a.acquire(&k, 7).await;
    b.take_over(&k, 8, 7).await;
    a.share(&k, 7).await;
    assert!(is_held_by(&a.acquire(&k, 9).await, &b));
}

/// Several have asked for it, and none of them has written it.
pub async fn a_key_that_was_never_written_is_shared_too(on: Shared) {
    let [a, b] = on.processes().await;
    let k = key("k");
    a.acquire(&k, 7).await;
    a.share(&k, 7).await;
    assert_eq!(b.acquire(&k, 8).await, shared(&Entry::default()));
    assert_eq!(b.commit(1, vec![owned(&k, SHARED.0, 0, &first("1"))]).await, Ok(vec![RowOutcome::Committed]));
}

/// Nobody owns them, so nothing else ends their writing.
pub async fn a_deleted_game_has_no_shared_keys(on: Shared) {
    let [a, b] = on.processes().await;
    let (k, one) = (key("k"), first("1"));
    a.acquire(&k, 7).await;
    a.commit(1, vec![owned(&k, 7, 0, &one)]).await.expect("commits");
    a.share(&k, 7).await;
    assert_eq!(b.acquire(&k, 8).await, shared(&one));
    assert_eq!(a.backend.delete_game(k.store.game, at(5_000)).await.expect("a deletion"), Deletion::Done);
    let second = next(&one, json("2"));
    assert_eq!(b.commit(1, vec![owned(&k, SHARED.0, 1, &second)]).await, Ok(vec![RowOutcome::Fenced]));
}

/// A process that has its connection and does not beat may be slow.
pub async fn the_connected_do_not_die_fast(shared: Shared) {
    let [a, b] = shared.processes().await;
    let seen = a.beat().await.peers;
    assert_eq!(a.leases.declare_dead(a.incarnation, seen.clone(), true).await.expect("a declaration"), []);
    b.leases.leave(b.incarnation).await.expect("leaves");
    let dead = a.leases.declare_dead(a.incarnation, seen, true).await.expect("a declaration");
    assert_eq!(dead, [b.incarnation], "who has left is not alive either");
}

/// With their owner, and who waits.
pub async fn locks_are_listed(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (coins, gems) = (store("Coins", "s"), store("Gems", "s"));
    let (held, wanted, given) = (key_in(&coins, "held"), key_in(&gems, "wanted"), key_in(&gems, "w"));
    a.try_acquire(&[(&held, 7), (&wanted, 8), (&given, 9)]).await.expect("an acquisition");
    b.acquire(&wanted, 10).await;
    a.share(&given, 9).await;
    let list = async |store: Option<&str>, prefix: &str, limit| {
        let query = LockQuery { game: coins.game, store: store.map(Into::into), prefix: prefix.into(), limit };
        a.leases.list_locks(query).await.expect("a list")
    };
    let locks = list(None, "", 10).await;
    assert_eq!(locks.iter().map(|lock| &lock.key).collect::<Vec<_>>(), [&held, &given, &wanted]);
    let is_of_a = |lock: &Lock| matches!(lock.holder, Holder::Server { incarnation, is_alive: true, .. } if incarnation == a.incarnation);
    assert!(is_of_a(&locks[0]) && is_of_a(&locks[2]), "{locks:?}");
    assert_eq!((&locks[1].holder, locks[1].fence), (&Holder::All, SHARED));
    assert_eq!(locks.iter().map(|lock| lock.wanted_by.is_some()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(list(Some("Gems"), "wa", 10).await, locks[2..]);
    assert_eq!(list(None, "", 1).await, locks[..1]);
    a.leases.leave(a.incarnation).await.expect("leaves");
    let locks = list(Some("Coins"), "", 10).await;
    assert!(matches!(locks[0].holder, Holder::Server { is_alive: false, .. }), "{locks:?}");
}

/// Those for others do not.
pub async fn hints_reach_those_who_hear_them(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (sink, mut heard) = mpsc::unbounded_channel();
    let sink = Box::new(move |hint| {
        let _ = sink.send(hint);
    });
    let hearing = b.leases.hear_hints(b.incarnation, sink);
    let asking = async {
        // What is sent before it hears is lost, and nobody says when that is.
        loop {
            a.leases.hint(vec![(a.incarnation, Hint::Freed), (b.incarnation, Hint::Wanted)]).await.expect("hints");
            tokio::task::yield_now().await;
            if let Ok(hint) = heard.try_recv() {
                break hint;
            }
        }
    };
    let hint = tokio::select! {
        hint = asking => hint,
        () = hearing => unreachable!("it hears for ever"),
    };
    assert_eq!(hint, Hint::Wanted);
}
