//! History ends: versions expire, or are removed one by one.

use std::sync::Arc;

use clawstore_core::backend::{BatchRow, Kept, Previous, RowOutcome, StoreCutoff, Sweep};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{EntryKey, GameId, StoreKind};

use super::version_lists::six_revisions;
use super::{Subject, at, json, key, key_in, next, row, store, store_of};

/// Later than anything that is written.
const FAR_MS: u64 = 100 * 86_400_000;

async fn expire(subject: &Subject, kept_since: Timestamp, shorter: Vec<StoreCutoff>, rows: usize) -> usize {
    subject.backend.expire(Arc::new(Sweep { kept_since, shorter, rows, is_simulated: true })).await.expect("a sweep")
}

async fn remove(subject: &Subject, key: &EntryKey, id: VersionId) {
    subject.backend.remove_version(key.clone(), id).await.expect("a removal");
}

/// What was superseded at the bound stays.
pub async fn versions_expire_to_the_tick(mut subject: Subject) {
    let key = key("a");
    assert_eq!(expire(&subject, at(FAR_MS), Vec::new(), 100).await, 0, "of nothing");
    six_revisions(&mut subject, &key).await;
    for (since, expected) in [
        (Timestamp::default(), vec![1, 2, 3, 4]),
        (at(2_000), vec![1, 2, 3, 4]),
        (at(2_000).next(), vec![2, 3, 4]),
        (at(4_000), vec![3, 4]),
        (at(FAR_MS), vec![]),
    ] {
        let before = subject.kept_revisions(&key).len();
        assert_eq!(expire(&subject, since, Vec::new(), 100).await, before - expected.len());
        assert_eq!(subject.kept_revisions(&key), expected);
    }
    assert_eq!(subject.read(&key).await.revision, 6);
}

/// No step deletes more than it was told, and they come to an end.
pub async fn versions_expire_in_steps(mut subject: Subject) {
    let keys = [key("a"), key("b"), key_in(&store("Other", "s"), "c")];
    for key in &keys {
        six_revisions(&mut subject, key).await;
    }
    let mut left = 12;
    for expected in [5, 5, 2, 0] {
        assert_eq!(expire(&subject, at(FAR_MS), Vec::new(), 5).await, expected);
        left -= expected;
        assert_eq!(keys.iter().map(|key| subject.kept_revisions(key).len()).sum::<usize>(), left);
    }
    assert_eq!(expire(&subject, at(FAR_MS), Vec::new(), 0).await, 0);
}

/// In all their scopes; stores of the same name in other games and stores beside them keep theirs.
pub async fn some_stores_keep_versions_for_shorter(mut subject: Subject) {
    let (short, also_short) = (key("a"), key_in(&store("Coins", "other"), "a"));
    let others = [
        key_in(&store("Coinz", "global"), "a"),
        key_in(&store_of(GameId::Number(2), StoreKind::Standard, "Coins", "global"), "a"),
    ];
    for key in [&short, &also_short].into_iter().chain(&others) {
        six_revisions(&mut subject, key).await;
    }
    let shorter = |kept_since| vec![StoreCutoff { game: GameId::Number(1), store: "Coins".into(), kept_since }];
    assert_eq!(expire(&subject, at(2_000), shorter(at(4_000)), 3).await, 3, "steps count these too");
    assert_eq!(expire(&subject, at(2_000), shorter(at(4_000)), 3).await, 1);
    for key in [&short, &also_short] {
        assert_eq!(subject.kept_revisions(key), [3, 4]);
    }
    for key in &others {
        assert_eq!(subject.kept_revisions(key), [1, 2, 3, 4]);
    }
    // A store that was never written to has nothing to lose.
    let nowhere = StoreCutoff { game: GameId::Number(9), store: "None".into(), kept_since: at(FAR_MS) };
    assert_eq!(expire(&subject, at(2_000), vec![nowhere], 100).await, 0);
    assert_eq!(expire(&subject, at(3_000), shorter(at(4_000)), 100).await, 2, "the others, by the bound of all");
}

/// Whoever has a key in use goes on from its tombstone, and must not be fenced for that.
pub async fn a_tombstone_in_use_outlives_its_expiry(mut subject: Subject) {
    let keys = [key("a"), key_in(&store_of(GameId::Number(1), StoreKind::Ordered, "Scores", "global"), "a")];
    for key in keys {
        let written = subject.write_new(&key, "1").await;
        let tombstone = subject.write_next(&key, &written, None, Previous::Overwritten).await;
        expire(&subject, at(FAR_MS), Vec::new(), 100).await;
        let again = subject.write_next(&key, &tombstone, json("2"), Previous::Overwritten).await;
        assert_eq!(subject.read(&key).await, again);
        assert_eq!(subject.write_next(&key, &again, json("3"), Previous::Overwritten).await.revision, 4);
    }
}

/// However old, in use or not.
pub async fn live_entries_do_not_expire(mut subject: Subject) {
    let keys = [key("a"), key_in(&store_of(GameId::Number(1), StoreKind::Ordered, "Scores", "global"), "a")];
    for key in &keys {
        subject.write_new(key, "1").await;
    }
    subject.let_go().await;
    assert_eq!(expire(&subject, at(FAR_MS), Vec::new(), 100).await, 0);
    for key in &keys {
        assert_eq!(subject.read(key).await, super::first("1"));
    }
}

/// And no other; as often as one likes. The stored one is not one of those that are kept.
pub async fn a_version_is_removed_for_good(mut subject: Subject) {
    let keys = [key("a"), key_in(&store("Coins", "other"), "a")];
    let [_, second, ..] = six_revisions(&mut subject, &keys[0]).await;
    six_revisions(&mut subject, &keys[1]).await;
    for _ in 0..2 {
        remove(&subject, &keys[0], second.version()).await;
        assert_eq!(subject.kept_revisions(&keys[0]), [1, 3, 4]);
    }
    let stored = subject.read(&keys[0]).await;
    remove(&subject, &keys[0], stored.version()).await;
    assert_eq!(subject.read(&keys[0]).await, stored);
    let read = subject.backend.read_version_at(keys[0].clone(), at(2_500), Kept::default()).await;
    assert_eq!(read.expect("a read"), None, "the one before does not take its place");
    assert_eq!(subject.kept_revisions(&keys[1]), [1, 2, 3, 4]);
}

/// Each part of the id counts; of a key that never was nothing is removed either.
pub async fn an_id_that_names_no_version_removes_none(mut subject: Subject) {
    let key = key("a");
    let [first, second, ..] = six_revisions(&mut subject, &key).await.map(|entry| entry.version());
    for id in [
        VersionId { revision: 9, ..first },
        VersionId { revision: second.revision, ..first },
        VersionId { created: first.created.next(), ..first },
        VersionId { updated: first.updated.next(), ..first },
        VersionId { updated: second.updated, ..first },
        VersionId { created: Timestamp::default(), revision: 0, updated: Timestamp::default() },
    ] {
        remove(&subject, &key, id).await;
    }
    remove(&subject, &super::key("unknown"), first).await;
    remove(&subject, &key_in(&store("None", "s"), "a"), first).await;
    assert_eq!(subject.kept_revisions(&key), [1, 2, 3, 4]);
}

/// What lies between it and the new one may be kept all the same.
pub async fn an_erased_revision_is_not_kept(mut subject: Subject) {
    let key = key("a");
    let written = subject.write_new(&key, "1").await;
    let tombstone = subject.write_next(&key, &written, None, Previous::Erased).await;
    assert_eq!(subject.kept_revisions(&key), [0; 0]);
    let third = next(&tombstone, json("3"));
    let fourth = next(&third, json("4"));
    let kept = vec![Arc::new(third)];
    let batch = vec![BatchRow { previous: Previous::Erased, kept, ..row(&key, 2, &fourth) }];
    assert_eq!(subject.commit(batch).await, [RowOutcome::Committed]);
    assert_eq!(subject.kept_revisions(&key), [3]);
}
