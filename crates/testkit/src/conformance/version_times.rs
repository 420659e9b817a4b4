//! A version is found by a time; what is not kept any more is not shown, to the tick.

use clawstore_core::backend::{Kept, Previous, VersionQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Entry, EntryKey, GameId, StoreKind};

use super::version_lists::six_revisions;
use super::{Subject, at, json, key, key_in, store_of};

async fn read_at(subject: &Subject, key: &EntryKey, at: Timestamp, kept: Kept) -> Option<Entry> {
    subject.backend.read_version_at(key.clone(), at, kept).await.expect("a read")
}

async fn revision_at(subject: &Subject, key: &EntryKey, at: Timestamp, kept: Kept) -> Option<u64> {
    read_at(subject, key, at, kept).await.map(|entry| entry.revision)
}

fn before(time: Timestamp) -> Timestamp {
    Timestamp::from_ticks(time.ticks() - 1)
}

/// From the tick of its writing to the one before it was superseded, with everything that belongs to it; tombstones too.
pub async fn the_version_of_a_time_is_read(mut subject: Subject) {
    let key = key("a");
    let written = six_revisions(&mut subject, &key).await;
    for time in [Timestamp::default(), before(written[0].updated)] {
        assert_eq!(read_at(&subject, &key, time, Kept::default()).await, None);
    }
    for pair in written.windows(2).filter(|pair| pair[0].revision != 5) {
        for time in [pair[0].updated, pair[0].updated.next(), before(pair[1].updated)] {
            assert_eq!(read_at(&subject, &key, time, Kept::default()).await.as_ref(), Some(&pair[0]));
        }
    }
    for time in [written[5].updated, at(1_000_000_000), Timestamp::from_ticks(u64::MAX)] {
        assert_eq!(read_at(&subject, &key, time, Kept::default()).await.as_ref(), Some(&written[5]));
    }
}

/// The version before it is not the answer.
pub async fn a_time_whose_version_was_not_kept_has_none(mut subject: Subject) {
    let key = key("a");
    let [.., fifth, sixth] = six_revisions(&mut subject, &key).await;
    for time in [fifth.updated, fifth.updated.next(), before(sixth.updated)] {
        assert_eq!(read_at(&subject, &key, time, Kept::default()).await, None);
    }
}

/// Of a key that never was, and beside keys that were.
pub async fn times_of_other_keys_are_theirs(mut subject: Subject) {
    let theirs = [
        key("b"),
        key_in(&store_of(GameId::Number(1), StoreKind::Standard, "Coins", "other"), "a"),
        key_in(&store_of(GameId::Number(2), StoreKind::Standard, "Coins", "global"), "a"),
    ];
    for key in &theirs {
        six_revisions(&mut subject, key).await;
    }
    let late = Entry { updated: at(10_000), created: at(10_000), ..super::first("1") };
    subject.commit(vec![super::row(&key("a"), 0, &late)]).await;
    assert_eq!(read_at(&subject, &key("a"), at(3_500), Kept::default()).await, None);
    assert_eq!(read_at(&subject, &key("a"), at(10_000), Kept::default()).await, Some(late));
    assert_eq!(revision_at(&subject, &theirs[1], at(4_500), Kept::default()).await, Some(4));
    let nowhere = key_in(&store_of(GameId::Number(9), StoreKind::Standard, "None", "s"), "a");
    assert_eq!(read_at(&subject, &nowhere, at(3_500), Kept::default()).await, None);
}

/// One that was superseded at the bound is shown; the stored one always is. In every read alike.
pub async fn versions_are_kept_to_the_tick(mut subject: Subject) {
    let key = key("a");
    let written = six_revisions(&mut subject, &key).await;
    let superseded = written[2].updated;
    for (versions_since, is_shown) in [(superseded, true), (superseded.next(), false)] {
        let kept = Kept { versions_since, ..Kept::default() };
        let second = is_shown.then(|| written[1].clone());
        assert_eq!(read_at(&subject, &key, written[1].updated, kept).await, second);
        let read = subject.backend.read_version(key.clone(), written[1].version(), kept).await;
        assert_eq!(read.expect("a read"), second);
        for descending in [false, true] {
            let query =
                VersionQuery { key: key.clone(), descending, from: None, to: None, after: None, kept, limit: 10 };
            let mut listed: Vec<_> = subject.backend.list_versions(query.clone()).await.expect("a list");
            if descending {
                listed.reverse();
            }
            let revisions: Vec<_> = listed.iter().map(|version| version.id.revision).collect();
            assert_eq!(revisions, if is_shown { vec![2, 3, 4, 6] } else { vec![3, 4, 6] });
            // What is not shown takes no place of what is.
            let first = subject.backend.list_versions(VersionQuery { limit: 1, descending: false, ..query }).await;
            assert_eq!(first.expect("a list")[0].id.revision, if is_shown { 2 } else { 3 });
        }
    }
    let none = Kept { versions_since: Timestamp::from_ticks(i64::MAX as u64), ..Kept::default() };
    assert_eq!(revision_at(&subject, &key, at(4_500), none).await, None);
    assert_eq!(revision_at(&subject, &key, at(6_500), none).await, Some(6), "live entries have no age");
}

/// A stored tombstone from the bound is shown, as a version too; what it removed has its own bound.
pub async fn tombstones_are_kept_to_the_tick(mut subject: Subject) {
    let key = key("a");
    let written = subject.write_new(&key, "1").await;
    let tombstone = subject.write_next(&key, &written, None, Previous::Kept).await;
    for (tombstones_since, is_shown) in [(tombstone.updated, true), (tombstone.updated.next(), false)] {
        let kept = Kept { tombstones_since, ..Kept::default() };
        let shown = is_shown.then(|| tombstone.clone());
        assert_eq!(read_at(&subject, &key, tombstone.updated, kept).await, shown);
        let read = subject.backend.read_version(key.clone(), tombstone.version(), kept).await;
        assert_eq!(read.expect("a read"), shown);
        let query =
            VersionQuery { key: key.clone(), descending: true, from: None, to: None, after: None, kept, limit: 10 };
        let listed = subject.backend.list_versions(query).await.expect("a list");
        let listed: Vec<_> = listed.iter().map(|version| (version.id.revision, version.is_deleted)).collect();
        assert_eq!(listed, if is_shown { vec![(2, true), (1, false)] } else { vec![(1, false)] });
        assert_eq!(revision_at(&subject, &key, written.updated, kept).await, Some(1));
    }
    // A superseded one is a version like any other.
    let again = subject.write_next(&key, &tombstone, json("2"), Previous::Kept).await;
    let kept = Kept { tombstones_since: again.updated.next(), ..Kept::default() };
    assert_eq!(read_at(&subject, &key, tombstone.updated, kept).await, Some(tombstone));
}
