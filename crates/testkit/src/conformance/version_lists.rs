//! Versions are read and listed, the stored revision among them.

use std::sync::Arc;

use clawstore_core::backend::{Kept, Previous, VersionQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::entry::VersionId;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreKind};

use super::{Subject, first, json, key, key_in, next, row, store_of};

/// Six revisions, one a second: the first kept at once, the next from one batch with a tombstone among them, 5 not kept.
pub(super) async fn six_revisions(subject: &mut Subject, key: &EntryKey) -> [Entry; 6] {
    let attributes = Attributes { user_ids: vec![7], metadata: r#"{"a":1}"#.into() };
    let first = Entry::default().successor(json("1"), attributes, Timestamp::from_unix_ms(1_000));
    let after = |entry: &Entry, value| {
        let at = Timestamp::from_unix_ms(entry.updated.unix_ms() + 1_000);
        entry.successor(value, Attributes::default(), at)
    };
    let second = after(&first, json("2"));
    let third = after(&second, None);
    let fourth = after(&third, json("4"));
    let fifth = after(&fourth, json("5"));
    let sixth = after(&fifth, json("6"));
    subject.commit(vec![row(key, 0, &first)]).await;
    let mut batch = row(key, 1, &fourth);
    batch.previous = Previous::Kept;
    batch.kept = vec![Arc::new(second.clone()), Arc::new(third.clone())];
    subject.commit(vec![batch]).await;
    let mut batch = row(key, 4, &fifth);
    batch.previous = Previous::Kept;
    subject.commit(vec![batch]).await;
    subject.commit(vec![row(key, 5, &sixth)]).await;
    [first, second, third, fourth, fifth, sixth]
}

fn all(key: &EntryKey) -> VersionQuery {
    VersionQuery {
        key: key.clone(),
        descending: false,
        from: None,
        to: None,
        after: None,
        kept: Kept::default(),
        limit: 100,
    }
}

async fn read(subject: &Subject, key: &EntryKey, id: VersionId) -> Option<Entry> {
    subject.backend.read_version(key.clone(), id, Kept::default()).await.expect("a read")
}

async fn revisions(subject: &Subject, query: VersionQuery) -> Vec<u64> {
    let listed = subject.backend.list_versions(query).await.expect("a list");
    listed.iter().map(|version| version.id.revision).collect()
}

/// With everything that belongs to it; one that was superseded and not kept is gone.
pub async fn a_version_is_read_whether_stored_or_kept(mut subject: Subject) {
    let key = key("a");
    let written = six_revisions(&mut subject, &key).await;
    for entry in written {
        assert_eq!(read(&subject, &key, entry.version()).await, (entry.revision != 5).then_some(entry));
    }
}

/// Each part of the id counts, of the stored version and of a kept one.
pub async fn an_id_that_differs_in_one_part_names_no_version(mut subject: Subject) {
    let key = key("a");
    let [first, .., sixth] = six_revisions(&mut subject, &key).await;
    for VersionId { created, revision, updated } in [first.version(), sixth.version()] {
        for created in [Timestamp::default(), created.next()] {
            assert_eq!(read(&subject, &key, VersionId { created, revision, updated }).await, None);
        }
        for updated in [Timestamp::default(), updated.next(), Timestamp::from_ticks(u64::MAX)] {
            assert_eq!(read(&subject, &key, VersionId { created, revision, updated }).await, None);
        }
        for revision in [0, 2, u64::MAX] {
            assert_eq!(read(&subject, &key, VersionId { created, revision, updated }).await, None);
        }
    }
}

/// Of a store that exists and of one that does not; a key that was only acquired has none either.
pub async fn an_unknown_key_has_no_versions(mut subject: Subject) {
    // Where there are leases, building the batch acquires its key.
    let batch = subject.next_batch(vec![row(&key("acquired"), 0, &first("1"))]).await;
    subject.seq -= 1;
    drop(batch);
    let nowhere = key_in(&store_of(GameId::Number(9), StoreKind::Standard, "None", "s"), "a");
    for key in [key("acquired"), nowhere] {
        assert_eq!(revisions(&subject, all(&key)).await, [0; 0]);
        assert_eq!(read(&subject, &key, Entry::default().version()).await, None);
        assert_eq!(read(&subject, &key, first("1").version()).await, None);
    }
}

/// Ids with all times; tombstones are marked.
pub async fn versions_are_listed_in_both_directions(mut subject: Subject) {
    let key = key("a");
    let written = six_revisions(&mut subject, &key).await;
    let mut listed = subject.backend.list_versions(all(&key)).await.expect("a list");
    let expected: Vec<_> = written.iter().filter(|entry| entry.revision != 5).collect();
    let ids: Vec<_> = listed.iter().map(|version| version.id).collect();
    assert_eq!(ids, expected.iter().map(|entry| entry.version()).collect::<Vec<_>>());
    let deleted: Vec<_> = listed.iter().map(|version| version.is_deleted).collect();
    assert_eq!(deleted, [false, false, true, false, false]);
    let descending = subject.backend.list_versions(VersionQuery { descending: true, ..all(&key) }).await;
    listed.reverse();
    assert_eq!(descending.expect("a list"), listed);
}

/// A page starts behind a time, whether or not a version is of that time.
pub async fn versions_are_listed_in_pages(mut subject: Subject) {
    let key = key("a");
    six_revisions(&mut subject, &key).await;
    let page = |descending, after: u64, limit| {
        let after = Some(Timestamp::from_unix_ms(after));
        revisions(&subject, VersionQuery { descending, after, limit, ..all(&key) })
    };
    assert_eq!(revisions(&subject, VersionQuery { limit: 2, ..all(&key) }).await, [1, 2]);
    assert_eq!(page(false, 2_000, 2).await, [3, 4]);
    assert_eq!(page(false, 4_000, usize::MAX).await, [6]);
    assert_eq!(page(false, 6_000, 2).await, [0; 0]);
    assert_eq!(revisions(&subject, VersionQuery { descending: true, limit: 2, ..all(&key) }).await, [6, 4]);
    assert_eq!(page(true, 5_000, 2).await, [4, 3]);
    assert_eq!(page(true, 2_000, 2).await, [1]);
    assert_eq!(page(true, 1_000, 2).await, [0; 0]);
    assert_eq!(page(true, u64::MAX, 0).await, [0; 0]);
}

/// A page that goes on stays within the bounds, in both directions.
pub async fn versions_are_listed_in_pages_within_bounds(mut subject: Subject) {
    let key = key("a");
    six_revisions(&mut subject, &key).await;
    let at = |ms| Some(Timestamp::from_unix_ms(ms));
    let page = |descending, after| {
        revisions(&subject, VersionQuery { descending, after: at(after), from: at(2_000), to: at(4_000), ..all(&key) })
    };
    assert_eq!(page(false, 2_000).await, [3, 4]);
    assert_eq!(page(false, 1_000).await, [2, 3, 4], "a place outside of the bounds widens nothing");
    assert_eq!(page(true, 4_000).await, [3, 2]);
    assert_eq!(page(true, 6_000).await, [4, 3, 2]);
    assert_eq!(page(false, 4_000).await, [0; 0]);
    assert_eq!(page(true, 2_000).await, [0; 0]);
}

/// Both bounds are included.
pub async fn versions_are_listed_by_the_time_of_their_writing(mut subject: Subject) {
    let key = key("a");
    six_revisions(&mut subject, &key).await;
    let between = |from: Option<u64>, to: Option<u64>| {
        let (from, to) = (from.map(Timestamp::from_unix_ms), to.map(Timestamp::from_unix_ms));
        revisions(&subject, VersionQuery { from, to, ..all(&key) })
    };
    assert_eq!(between(Some(2_000), Some(4_000)).await, [2, 3, 4]);
    assert_eq!(between(Some(2_001), None).await, [3, 4, 6]);
    assert_eq!(between(None, Some(5_999)).await, [1, 2, 3, 4]);
    assert_eq!(between(Some(6_000), Some(u64::MAX)).await, [6]);
    assert_eq!(between(Some(u64::MAX), None).await, [0; 0]);
    assert_eq!(between(Some(4_000), Some(2_000)).await, [0; 0]);
    // The last tick of a millisecond still belongs to it.
    let (from, to) = (Some(Timestamp::from_unix_ms(1_000)), Some(Timestamp::end_of_unix_ms(1_000)));
    assert_eq!(revisions(&subject, VersionQuery { from, to, ..all(&key) }).await, [1]);
    let last = VersionQuery { descending: true, to: Some(Timestamp::from_unix_ms(4_500)), limit: 1, ..all(&key) };
    assert_eq!(revisions(&subject, last).await, [4]);
}

/// Neither another key, scope nor kind shows up.
pub async fn versions_of_other_keys_are_not_listed(mut subject: Subject) {
    let game = GameId::Number(1);
    let ours = key("a");
    let theirs = [
        key("ab"),
        key_in(&store_of(game, StoreKind::Standard, "Coins", "other"), "a"),
        key_in(&store_of(game, StoreKind::Ordered, "Coins", "global"), "a"),
    ];
    for other in &theirs {
        let written = subject.write_new(other, "1").await;
        let mut keep = row(other, 1, &next(&written, json("2")));
        keep.previous = Previous::Kept;
        subject.commit(vec![keep]).await;
    }
    let written = subject.write_new(&ours, "1").await;
    assert_eq!(revisions(&subject, all(&ours)).await, [1]);
    let theirs = next(&written, json("2")).version();
    assert_eq!(read(&subject, &ours, theirs).await, None);
}
