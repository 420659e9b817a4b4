//! Games are deleted, restored and purged, each as a whole and by itself.

use clawstore_core::backend::{BEHIND_ANY_NAME, Deletion, Kept, KeyRange, Previous, Restoration, StoresQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Entry, EntryKey, GameId, StoreKind};

use super::version_lists::six_revisions;
use super::{Subject, at, json, key_in, next, row, store_of};

const OURS: GameId = GameId::Number(1);
const THEIRS: GameId = GameId::Uuid(7);

async fn delete(subject: &Subject, game: GameId, at: Timestamp) -> Deletion {
    subject.backend.delete_game(game, at).await.expect("a deletion")
}

async fn restore(subject: &Subject, game: GameId) -> Restoration {
    subject.backend.restore_game(game).await.expect("a restoration")
}

async fn purge(subject: &Subject, game: GameId, rows: usize) -> usize {
    subject.backend.purge_game(game, rows).await.expect("a purge")
}

async fn deleted(subject: &Subject) -> Vec<(GameId, Timestamp)> {
    subject.backend.deleted_games().await.expect("a list")
}

/// Two keys of two standard stores, with four versions each, and a removed number: 11 rows. Nobody owns them.
async fn fill(subject: &mut Subject, game: GameId) -> [EntryKey; 3] {
    let of = |kind, name, scope| key_in(&store_of(game, kind, name, scope), "a");
    let keys = [
        of(StoreKind::Standard, "Coins", "global"),
        of(StoreKind::Standard, "Gems", "s"),
        of(StoreKind::Ordered, "Coins", "global"),
    ];
    six_revisions(subject, &keys[0]).await;
    six_revisions(subject, &keys[1]).await;
    let written = subject.write_new(&keys[2], "1").await;
    subject.write_next(&keys[2], &written, None, Previous::Overwritten).await;
    subject.let_go().await;
    keys
}

async fn revisions(subject: &Subject, keys: &[EntryKey]) -> Vec<u64> {
    let entries = subject.backend.read_entries(keys.to_vec()).await.expect("a read");
    entries.iter().map(|entry| entry.revision).collect()
}

/// The mark says since when; nothing is lost, nor hidden here.
pub async fn a_deleted_game_is_marked_and_restored(mut subject: Subject) {
    let keys = fill(&mut subject, OURS).await;
    fill(&mut subject, THEIRS).await;
    assert_eq!(deleted(&subject).await, []);
    assert_eq!(restore(&subject, OURS).await, Restoration::NotDeleted);
    assert_eq!(delete(&subject, OURS, at(50_000)).await, Deletion::Done);
    assert_eq!(delete(&subject, OURS, at(60_000)).await, Deletion::Already(at(50_000)));
    assert_eq!(deleted(&subject).await, [(OURS, at(50_000))]);
    assert_eq!(revisions(&subject, &keys).await, [6, 6, 2]);
    assert_eq!(subject.kept_revisions(&keys[0]), [1, 2, 3, 4]);

    assert_eq!(delete(&subject, THEIRS, at(70_000)).await, Deletion::Done);
    let mut both = deleted(&subject).await;
    both.sort_unstable();
    assert_eq!(both, [(OURS, at(50_000)), (THEIRS, at(70_000))]);
    assert_eq!(restore(&subject, OURS).await, Restoration::Done);
    assert_eq!(restore(&subject, OURS).await, Restoration::NotDeleted);
    assert_eq!(deleted(&subject).await, [(THEIRS, at(70_000))]);
    let stored = subject.read(&keys[0]).await;
    subject.write_next(&keys[0], &stored, json("7"), Previous::Kept).await;
    subject.let_go().await;
    assert_eq!(subject.kept_revisions(&keys[0]), [1, 2, 3, 4, 6]);
    assert_eq!(delete(&subject, OURS, at(80_000)).await, Deletion::Done, "it can be deleted again");
}

/// A slip of the pen makes no mark.
pub async fn an_unknown_game_is_not_deleted(mut subject: Subject) {
    assert_eq!(delete(&subject, OURS, at(1)).await, Deletion::Unknown);
    fill(&mut subject, OURS).await;
    assert_eq!(delete(&subject, GameId::Number(11), at(1)).await, Deletion::Unknown);
    assert_eq!(restore(&subject, GameId::Number(11)).await, Restoration::NotDeleted);
    assert_eq!(deleted(&subject).await, []);
}

/// Not even if it was deleted once.
pub async fn a_game_that_is_not_deleted_is_not_purged(mut subject: Subject) {
    let keys = fill(&mut subject, OURS).await;
    assert_eq!(purge(&subject, OURS, 100).await, 0);
    assert_eq!(purge(&subject, GameId::Number(11), 100).await, 0);
    delete(&subject, OURS, at(1)).await;
    restore(&subject, OURS).await;
    assert_eq!(purge(&subject, OURS, 100).await, 0);
    assert_eq!(revisions(&subject, &keys).await, [6, 6, 2]);
    assert_eq!(subject.kept_revisions(&keys[1]), [1, 2, 3, 4]);
}

/// Neither entries, versions, tombstones nor names, nor the mark.
pub async fn a_purge_leaves_nothing(mut subject: Subject) {
    let keys = fill(&mut subject, OURS).await;
    delete(&subject, OURS, at(50_000)).await;
    assert_eq!(purge(&subject, OURS, 100).await, 11);
    assert_eq!(purge(&subject, OURS, 100).await, 0);
    assert_eq!(deleted(&subject).await, []);
    assert_eq!(restore(&subject, OURS).await, Restoration::NotDeleted);
    assert_eq!(revisions(&subject, &keys).await, [0; 3]);
    for key in &keys {
        assert_eq!(subject.kept_revisions(key), [0; 0]);
        let range = KeyRange::of_scope(key.store.clone(), "", Kept::default(), 10);
        assert_eq!(subject.backend.list_keys(range).await.expect("a list"), []);
    }
    assert_eq!(subject.backend.list_stores().await.expect("a list"), []);
    assert_eq!(delete(&subject, OURS, at(60_000)).await, Deletion::Unknown);
}

/// Each of at most so many rows; the mark goes with the last, and until then a restart goes on with it.
pub async fn a_purge_goes_in_steps(mut subject: Subject) {
    let keys = fill(&mut subject, OURS).await;
    delete(&subject, OURS, at(50_000)).await;
    let mut left = 11;
    for expected in [4, 4, 3] {
        assert_eq!(deleted(&subject).await, [(OURS, at(50_000))]);
        assert_eq!(purge(&subject, OURS, 4).await, expected);
        left -= expected;
        let entries = revisions(&subject, &keys).await.iter().filter(|revision| **revision > 0).count();
        let versions: usize = keys.iter().map(|key| subject.kept_revisions(key).len()).sum();
        assert_eq!(entries + versions, left);
    }
    assert_eq!(deleted(&subject).await, []);
}

/// Also those that are deleted and not purged.
pub async fn a_purge_leaves_other_games_alone(mut subject: Subject) {
    fill(&mut subject, OURS).await;
    let theirs = fill(&mut subject, THEIRS).await;
    delete(&subject, OURS, at(50_000)).await;
    delete(&subject, THEIRS, at(60_000)).await;
    assert_eq!(purge(&subject, OURS, 100).await, 11);
    assert_eq!(deleted(&subject).await, [(THEIRS, at(60_000))]);
    assert_eq!(restore(&subject, THEIRS).await, Restoration::Done);
    assert_eq!(revisions(&subject, &theirs).await, [6, 6, 2]);
    assert_eq!(subject.kept_revisions(&theirs[0]), [1, 2, 3, 4]);
}

/// As if it had never been: its keys begin at the first revision, its stores with their first write, without a snapshot.
pub async fn a_purged_game_is_used_anew(mut subject: Subject) {
    let keys = fill(&mut subject, OURS).await;
    subject.backend.take_snapshot(OURS, at(40_000), true).await.expect("a snapshot");
    delete(&subject, OURS, at(50_000)).await;
    purge(&subject, OURS, 100).await;

    let new = Entry { created: at(60_000), updated: at(60_000), ..super::first("1") };
    subject.commit(keys.iter().map(|key| row(key, 0, &new)).collect()).await;
    assert_eq!(revisions(&subject, &keys).await, [1; 3]);
    let query =
        StoresQuery { game: OURS, after: "".into(), before: BEHIND_ANY_NAME.into(), kept: Kept::default(), limit: 10 };
    let stores = subject.backend.list_game_stores(query).await.expect("a list");
    let times: Vec<_> = stores.iter().map(|store| (&*store.name, store.created, store.updated)).collect();
    assert_eq!(times, [("Coins", at(60_000), at(60_000)), ("Gems", at(60_000), at(60_000))]);
    // An old snapshot keeps nothing of it, and a new one may be taken on the same day.
    subject.commit(vec![row(&keys[0], 1, &next(&new, json("2")))]).await;
    assert_eq!(subject.kept_revisions(&keys[0]), [0; 0]);
    assert!(subject.backend.take_snapshot(OURS, at(70_000), true).await.expect("a snapshot").is_new);
}
