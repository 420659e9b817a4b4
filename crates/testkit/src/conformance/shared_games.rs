//! What is deleted for good waits until nobody owns it (I6).

use std::sync::Arc;

use clawstore_core::backend::{Deletion, Kept, KeyRange, LeaseAnswer, RowOutcome, Sweep};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Entry, EntryKey, GameId, StoreKind};

use super::leases::{Process, Shared, back, owned};
use super::{at, first, json, key, key_in, next, store_of};

/// Later than anything that is written.
const FAR_MS: u64 = 100 * 86_400_000;
const FENCE: u64 = 7;

async fn expire(process: &Process<'_>, kept_since: Timestamp, rows: usize) -> usize {
    let sweep = Sweep { kept_since, shorter: Vec::new(), rows, is_simulated: true };
    process.backend.expire(Arc::new(sweep)).await.expect("a sweep")
}

/// Acquires, writes and removes keys, under batch numbers from `seq` on. Their tombstones are of revision 2.
async fn write_and_remove(process: &Process<'_>, seq: u64, keys: &[EntryKey]) -> Entry {
    let asked: Vec<_> = keys.iter().map(|key| (key, FENCE)).collect();
    process.try_acquire(&asked).await.expect("an acquisition");
    let tombstone = next(&first("1"), None);
    for (seq, base, entry) in [(seq, 0, &first("1")), (seq + 1, 1, &tombstone)] {
        let rows = keys.iter().map(|key| owned(key, FENCE, base, entry)).collect();
        assert_eq!(process.commit(seq, rows).await, Ok(vec![RowOutcome::Committed; keys.len()]));
    }
    tombstone
}

async fn release(process: &Process<'_>, keys: &[EntryKey]) {
    process.leases.release(keys.iter().map(|key| back(key, FENCE)).collect()).await.expect("a release");
}

async fn read(process: &Process<'_>, key: &EntryKey) -> Entry {
    process.backend.read_entries(vec![key.clone()]).await.expect("a read").remove(0)
}

/// To the tick; the key is as one that never was.
pub async fn free_tombstones_expire(shared: Shared) {
    let [a, b] = shared.processes().await;
    let key = key("k");
    let tombstone = write_and_remove(&a, 1, std::slice::from_ref(&key)).await;
    release(&a, std::slice::from_ref(&key)).await;
    assert_eq!(expire(&b, tombstone.updated, 10).await, 0);
    assert_eq!(read(&b, &key).await, tombstone);
    assert_eq!(expire(&b, tombstone.updated.next(), 10).await, 1);
    assert_eq!(read(&b, &key).await, Entry::default());
    let range = KeyRange::of_scope(key.store.clone(), "", Kept::default(), 10);
    assert_eq!(b.backend.list_keys(range).await.expect("a list"), []);
    assert_eq!(b.acquire(&key, 8).await, LeaseAnswer::Granted(Entry::default()));
    assert_eq!(b.commit(1, vec![owned(&key, 8, 0, &first("2"))]).await, Ok(vec![RowOutcome::Committed]));
}

/// Until their owner gives them back or is dead.
pub async fn owned_tombstones_do_not_expire(shared: Shared) {
    let [a, b] = shared.processes().await;
    let keys = [key("a"), key("b")];
    let tombstone = write_and_remove(&a, 1, &keys).await;
    assert_eq!(expire(&b, at(FAR_MS), 10).await, 0);
    let again = next(&tombstone, json("2"));
    assert_eq!(a.commit(3, vec![owned(&keys[0], FENCE, 2, &again)]).await, Ok(vec![RowOutcome::Committed]));
    b.bury(&a).await;
    assert_eq!(expire(&b, at(FAR_MS), 10).await, 1);
    assert_eq!([read(&b, &keys[0]).await, read(&b, &keys[1]).await], [again, Entry::default()]);
}

/// Together with versions: no step deletes more rows than it was told.
pub async fn tombstones_expire_in_steps(shared: Shared) {
    let [a, b] = shared.processes().await;
    let keys: Vec<_> = (0..7).map(|n| key(&format!("k{n}"))).collect();
    write_and_remove(&a, 1, &keys).await;
    release(&a, &keys).await;
    for expected in [3, 3, 1, 0] {
        assert_eq!(expire(&b, at(FAR_MS), 3).await, expected);
    }
}

/// Ordered stores have no tombstones that anybody could see.
pub async fn removed_numbers_expire_at_once(shared: Shared) {
    let [a, b] = shared.processes().await;
    let key = key_in(&store_of(GameId::Number(1), StoreKind::Ordered, "Scores", "global"), "k");
    write_and_remove(&a, 1, std::slice::from_ref(&key)).await;
    assert_eq!(expire(&b, Timestamp::default(), 10).await, 0, "it is owned");
    release(&a, std::slice::from_ref(&key)).await;
    assert_eq!(expire(&b, Timestamp::default(), 10).await, 1);
    assert_eq!(read(&b, &key).await, Entry::default());
}

/// Not before its last owner has given its keys back, left, or died. Keys of other games do not count.
pub async fn a_game_in_use_is_not_deleted(shared: Shared) {
    let [a, b] = shared.processes().await;
    let (ours, unwritten) = (key("k"), key("unwritten"));
    let theirs = key_in(&store_of(GameId::Number(2), StoreKind::Standard, "Coins", "global"), "k");
    write_and_remove(&a, 1, &[ours.clone(), theirs.clone()]).await;
    let delete = |time| b.backend.delete_game(GameId::Number(1), at(time));
    assert!(matches!(delete(1).await, Ok(Deletion::InUse(_))));
    assert_eq!(b.backend.deleted_games().await, Ok(Vec::new()));
    a.acquire(&unwritten, FENCE).await;
    release(&a, &[ours]).await;
    assert!(matches!(delete(2).await, Ok(Deletion::InUse(_))), "a key that was only acquired will be written");
    b.bury(&a).await;
    assert_eq!(delete(3).await, Ok(Deletion::Done));
    assert_eq!(delete(4).await, Ok(Deletion::Already(at(3))));
}

/// Who would write them would be purged; after the purge they are new.
pub async fn keys_of_a_deleted_game_are_not_granted(shared: Shared) {
    let [a, b] = shared.processes().await;
    let keys = [key("k"), key("fresh")];
    write_and_remove(&a, 1, &keys[..1]).await;
    release(&a, &keys[..1]).await;
    assert_eq!(b.backend.delete_game(GameId::Number(1), at(1)).await, Ok(Deletion::Done));
    for key in &keys {
        assert_eq!(b.acquire(key, 8).await, LeaseAnswer::Busy);
    }
    assert_eq!(b.backend.purge_game(GameId::Number(1), 10).await, Ok(1));
    for key in &keys {
        assert_eq!(b.acquire(key, 8).await, LeaseAnswer::Granted(Entry::default()));
    }
}
