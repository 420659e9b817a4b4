//! A snapshot of a game keeps what its next writes supersede.

use std::sync::Arc;

use clawstore_core::backend::{BatchRow, Kept, Previous, RowOutcome, Snapshot};
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::SNAPSHOT_SKEW;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind};

use super::{Subject, at, json, key, key_in, next, row, store, store_of};

const DAY_MS: u64 = 86_400_000;
const GAME: GameId = GameId::Number(1);

async fn snapshot(subject: &Subject, game: GameId, at: Timestamp) -> Snapshot {
    subject.backend.take_snapshot(game, at, true).await.expect("a snapshot")
}

fn written_at(time: Timestamp) -> Entry {
    Entry::default().successor(json("1"), Attributes::default(), time)
}

/// Once, and what a first write after it supersedes not at all: that write is of after the snapshot.
pub async fn a_snapshot_keeps_what_the_next_write_supersedes(mut subject: Subject) {
    let (value, removed) = (key("value"), key("removed"));
    let written = subject.write_new(&value, "1").await;
    let also_written = subject.write_new(&removed, "1").await;
    let tombstone = subject.write_next(&removed, &also_written, None, Previous::Overwritten).await;
    assert_eq!(snapshot(&subject, GAME, at(3_000)).await, Snapshot { is_new: true, at: at(3_000) });

    for (key, before) in [(&value, &written), (&removed, &tombstone)] {
        let entry = before.successor(json("2"), Attributes::default(), at(60_000));
        subject.commit(vec![row(key, before.revision, &entry)]).await;
        assert_eq!(subject.inspect.versions(key), std::slice::from_ref(before), "with everything that belongs to it");
        let entry = subject.write_next(key, &entry, json("3"), Previous::Overwritten).await;
        subject.write_next(key, &entry, None, Previous::Overwritten).await;
        assert_eq!(subject.kept_revisions(key), [before.revision]);
    }
    let young = key("young");
    subject.commit(vec![row(&young, 0, &written_at(at(60_000)))]).await;
    subject.write_next(&young, &written_at(at(60_000)), json("2"), Previous::Overwritten).await;
    assert_eq!(subject.kept_revisions(&young), [0; 0]);
}

/// A day ends with midnight UTC; a clock that went back takes none for a day that had one.
pub async fn a_snapshot_is_taken_once_a_day(mut subject: Subject) {
    subject.write_new(&key("a"), "1").await;
    let first = at(5 * DAY_MS + 7);
    let again = Snapshot { is_new: false, at: first };
    assert_eq!(snapshot(&subject, GAME, first).await, Snapshot { is_new: true, at: first });
    for later in [first, first.next(), at(6 * DAY_MS - 1), at(5 * DAY_MS), at(4 * DAY_MS)] {
        assert_eq!(snapshot(&subject, GAME, later).await, again);
    }
    assert_eq!(snapshot(&subject, GAME, at(6 * DAY_MS)).await, Snapshot { is_new: true, at: at(6 * DAY_MS) });
    let other = GameId::Number(2);
    subject.write_new(&key_in(&store_of(other, StoreKind::Standard, "Coins", "global"), "a"), "1").await;
    assert_eq!(snapshot(&subject, other, first).await, Snapshot { is_new: true, at: first }, "each game for itself");
}

/// A second one of the same day does not: it would keep what was written since.
pub async fn the_next_snapshot_keeps_again(mut subject: Subject) {
    let key = key("a");
    let first = subject.write_new(&key, "1").await;
    snapshot(&subject, GAME, at(2_000)).await;
    let second = first.successor(json("2"), Attributes::default(), at(60_000));
    subject.commit(vec![row(&key, 1, &second)]).await;
    snapshot(&subject, GAME, at(70_000)).await;
    let third = subject.write_next(&key, &second, json("3"), Previous::Overwritten).await;
    assert_eq!(subject.kept_revisions(&key), [1]);
    snapshot(&subject, GAME, at(DAY_MS)).await;
    let fourth = third.successor(json("4"), Attributes::default(), at(DAY_MS + 60_000));
    subject.commit(vec![row(&key, 3, &fourth)]).await;
    subject.write_next(&key, &fourth, json("5"), Previous::Overwritten).await;
    assert_eq!(subject.kept_revisions(&key), [1, 3]);
}

/// To the tick: clocks of servers differ.
pub async fn writes_of_the_moment_count_as_before(mut subject: Subject) {
    let taken = at(100_000);
    subject.write_new(&key("first"), "1").await;
    snapshot(&subject, GAME, taken).await;
    let last = taken.later(SNAPSHOT_SKEW);
    for (name, time, expected) in [("in", last, vec![1]), ("out", last.next(), vec![])] {
        let (key, entry) = (key(name), written_at(time));
        subject.commit(vec![row(&key, 0, &entry)]).await;
        subject.write_next(&key, &entry, json("2"), Previous::Overwritten).await;
        assert_eq!(subject.kept_revisions(&key), expected);
    }
}

/// What scripts have asked to be gone for good.
pub async fn erased_is_erased_in_a_snapshot_too(mut subject: Subject) {
    let key = key("a");
    let written = subject.write_new(&key, "1").await;
    snapshot(&subject, GAME, at(2_000)).await;
    subject.write_next(&key, &written, None, Previous::Erased).await;
    assert_eq!(subject.kept_revisions(&key), [0; 0]);
}

fn strangers() -> [Arc<StoreId>; 2] {
    [
        store_of(GAME, StoreKind::Ordered, "Coins", "global"),
        store_of(GameId::Number(2), StoreKind::Standard, "Coins", "global"),
    ]
}

/// Ordered stores have no versions.
pub async fn other_games_and_ordered_stores_are_not_in_a_snapshot(mut subject: Subject) {
    let ours = key_in(&store("Coins", "other"), "a");
    let keys: Vec<_> = strangers().iter().map(|store| key_in(store, "a")).chain([ours.clone()]).collect();
    for key in &keys {
        subject.write_new(key, "1").await;
    }
    snapshot(&subject, GAME, at(2_000)).await;
    let second = next(&super::first("1"), json("2"));
    subject.commit(keys.iter().map(|key| row(key, 1, &second)).collect()).await;
    for key in &keys {
        assert_eq!(subject.kept_revisions(key), if *key == ours { vec![1] } else { vec![] }, "{key}");
    }
}

/// Rows are asked for their own: one that is older than another game's is not kept for that.
pub async fn each_game_of_a_batch_has_its_own_snapshot(mut subject: Subject) {
    let keys = [1, 2, 3].map(|game| {
        let store = store_of(GameId::Number(game), StoreKind::Standard, "Coins", "global");
        ["old", "young"].map(|name| key_in(&store, name))
    });
    let times = [at(1_000), at(500_000)];
    let rows = keys.iter().flat_map(|keys| keys.iter().zip(times).map(|(key, time)| row(key, 0, &written_at(time))));
    subject.commit(rows.collect()).await;
    snapshot(&subject, GAME, at(100_000)).await;
    snapshot(&subject, GameId::Number(2), at(600_000)).await;
    let overwrite = |key: &EntryKey, time| {
        let entry = written_at(time).successor(json("2"), Attributes::default(), at(900_000));
        row(key, 1, &entry)
    };
    let rows: Vec<_> =
        keys.iter().flat_map(|keys| keys.iter().zip(times).map(|(key, time)| overwrite(key, time))).collect();
    assert_eq!(subject.commit(rows).await, [RowOutcome::Committed; 6]);
    let kept = keys.each_ref().map(|keys| keys.each_ref().map(|key| subject.kept_revisions(key).len()));
    assert_eq!(kept, [[1, 0], [1, 1], [0, 0]]);
}

/// Also where the row asks for it, and where others between are kept: it ends where the first of them begins.
pub async fn a_kept_revision_is_kept_once_in_a_snapshot(mut subject: Subject) {
    let (asked, between) = (key("asked"), key("between"));
    let first = subject.write_new(&asked, "1").await;
    subject.write_new(&between, "1").await;
    snapshot(&subject, GAME, at(1_500)).await;
    let second = next(&first, json("2"));
    let third = next(&second, json("3"));
    subject.write_next(&asked, &first, json("2"), Previous::Kept).await;
    assert_eq!(subject.kept_revisions(&asked), [1]);

    let rows = vec![BatchRow { kept: vec![Arc::new(second.clone())], ..row(&between, 1, &third) }];
    subject.commit(rows).await;
    assert_eq!(subject.inspect.versions(&between), [first.clone(), second.clone()]);
    for (time, expected) in [(first.updated, &first), (second.updated, &second), (third.updated, &third)] {
        let read = subject.backend.read_version_at(between.clone(), time, Kept::default()).await;
        assert_eq!(read.expect("a read").as_ref(), Some(expected));
    }
}

/// It was not written.
pub async fn a_fenced_row_of_a_snapshot_keeps_nothing(mut subject: Subject) {
    let (good, stale) = (key("good"), key("stale"));
    let written = subject.write_new(&good, "1").await;
    subject.write_new(&stale, "1").await;
    snapshot(&subject, GAME, at(2_000)).await;
    let late = next(&next(&written, json("2")), json("3"));
    let rows = vec![row(&good, 1, &next(&written, json("2"))), row(&stale, 2, &late)];
    assert_eq!(subject.commit(rows).await, [RowOutcome::Committed, RowOutcome::Fenced]);
    assert_eq!((subject.kept_revisions(&good), subject.kept_revisions(&stale)), (vec![1], vec![]));
}
