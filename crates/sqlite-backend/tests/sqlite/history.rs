//! History that ends, snapshots, and what is done to whole games, on a file.

use std::path::Path;
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, Batch, BatchRow, Deletion, ExpireHistory, Fence, Kept, LaneId, ManageGames, Previous, Restoration,
    RowOutcome, ScanEntries, StoreInfo, StoresQuery, Sweep, VersionQuery,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_sqlite::{DATABASE_FILE, SqliteBackend};
use rusqlite::Connection;

use crate::support::{commit, key, open, value, wait};

const GAME: GameId = GameId::Number(7);

fn day(number: u64) -> Timestamp {
    Timestamp::from_unix_ms(number * 86_400_000)
}

fn json(number: i64) -> Option<Value> {
    Some(Value::integer(number))
}

/// A key of an ordered store.
fn score(name: &str) -> EntryKey {
    let store = StoreId::new(GAME, StoreKind::Ordered, b"Scores", b"global").expect("legal");
    EntryKey::new(&Arc::new(store), name.as_bytes()).expect("legal")
}

/// A writer of keys, as actors are: it knows what it wrote last, and asks nobody.
struct Keys {
    backend: SqliteBackend,
    seq: u64,
}

impl Keys {
    fn open(dir: &Path) -> Self {
        Self { backend: open(dir), seq: 0 }
    }

    fn write(
        &mut self,
        key: &EntryKey,
        base: &Entry,
        value: Option<Value>,
        at: Timestamp,
        previous: Previous,
    ) -> Entry {
        let entry = base.successor(value, Attributes::default(), at);
        assert_eq!(self.try_write(key, base, &entry, previous), RowOutcome::Committed, "{key}");
        entry
    }

    fn try_write(&mut self, key: &EntryKey, base: &Entry, entry: &Entry, previous: Previous) -> RowOutcome {
        self.seq += 1;
        let (key, fence, entry) = (key.clone(), Fence::default(), Arc::new(entry.clone()));
        let row = BatchRow { key, fence, base: base.revision, previous, kept: Vec::new(), entry, onto: None };
        let batch = Batch { lane: LaneId::default(), seq: self.seq, digest: self.seq, rows: vec![row] };
        commit(&self.backend, &Arc::new(batch)).expect("commits")[0]
    }

    fn sweep(&self, kept_since: Timestamp, rows: usize) -> usize {
        let sweep = Sweep { kept_since, shorter: Vec::new(), rows, is_simulated: true };
        wait(self.backend.expire(Arc::new(sweep))).expect("a sweep")
    }

    fn read(&self, key: &EntryKey) -> Entry {
        use clawstore_core::backend::ReadEntries;
        wait(self.backend.read_entries(vec![key.clone()])).expect("a read").remove(0)
    }

    /// Revisions of the versions that are shown, oldest first.
    fn versions(&self, key: &EntryKey) -> Vec<u64> {
        let (key, kept) = (key.clone(), Kept::default());
        let query = VersionQuery { key, descending: false, from: None, to: None, after: None, kept, limit: 100 };
        let versions = wait(self.backend.list_versions(query)).expect("a list");
        versions.iter().map(|version| version.id.revision).collect()
    }

    fn stores(&self) -> Vec<StoreInfo> {
        let (after, before, kept) = ("".into(), "~".into(), Kept::default());
        let query = StoresQuery { game: GAME, after, before, kept, limit: 10 };
        wait(self.backend.list_game_stores(query)).expect("a list")
    }
}

/// An actor that lives on a tombstone never hears that the row was deleted.
#[test]
fn a_key_that_is_in_use_outlives_its_deleted_tombstone() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut keys = Keys::open(dir.path());
    for (key, at) in [(key("a"), day(31)), (score("a"), day(1))] {
        let first = keys.write(&key, &Entry::default(), json(1), day(1), Previous::Overwritten);
        let tombstone = keys.write(&key, &first, None, day(1), Previous::Kept);
        // To the millisecond 30 days later it is still kept; in an ordered store it never is.
        let is_standard = key.store.kind == StoreKind::Standard;
        assert_eq!(keys.sweep(day(1), 10), usize::from(!is_standard));
        keys.sweep(at.next(), 10);
        assert_eq!(keys.read(&key), Entry::default(), "{key}: the row is gone");

        let stale = first.successor(json(5), Attributes::default(), day(40));
        assert_eq!(keys.try_write(&key, &first, &stale, Previous::Overwritten), RowOutcome::Fenced);
        let again = keys.write(&key, &tombstone, json(2), day(40), Previous::Kept);
        assert_eq!((keys.read(&key), again.revision), (again.clone(), 3));
        // Only once: now there is a row again.
        let late = tombstone.successor(json(6), Attributes::default(), day(41));
        assert_eq!(keys.try_write(&key, &tombstone, &late, Previous::Overwritten), RowOutcome::Fenced);
        keys.write(&key, &again, json(3), day(41), Previous::Overwritten);
    }
    // A restart forgets it, and no actor is left that could build on it.
    let removed = key("b");
    let tombstone = keys.write(&removed, &Entry::default(), None, day(1), Previous::Overwritten);
    assert_eq!(keys.sweep(day(50), 10), 2, "the tombstone and the version of `a`");
    drop(keys);
    let mut keys = Keys::open(dir.path());
    let next = tombstone.successor(json(1), Attributes::default(), day(50));
    assert_eq!(keys.try_write(&removed, &tombstone, &next, Previous::Overwritten), RowOutcome::Fenced);
    keys.write(&removed, &Entry::default(), json(1), day(50), Previous::Overwritten);
}

/// A key that is gone may be begun anew by somebody who has read it since.
#[test]
fn a_deleted_tombstone_makes_room_for_a_new_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut keys = Keys::open(dir.path());
    let first = keys.write(&key("a"), &Entry::default(), json(1), day(1), Previous::Overwritten);
    let tombstone = keys.write(&key("a"), &first, None, day(1), Previous::Kept);
    assert_eq!((keys.sweep(day(40), 1), keys.sweep(day(40), 1), keys.sweep(day(40), 1)), (1, 1, 0));
    let anew = keys.write(&key("a"), &Entry::default(), json(2), day(40), Previous::Overwritten);
    let late = tombstone.successor(json(3), Attributes::default(), day(41));
    assert_eq!(keys.try_write(&key("a"), &tombstone, &late, Previous::Overwritten), RowOutcome::Fenced);
    assert_eq!(keys.read(&key("a")), anew);
}

/// Also one that was taken before a restart.
#[test]
fn a_snapshot_outlives_a_restart_and_counts_once_per_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut keys = Keys::open(dir.path());
    let (a, ordered) = (key("a"), score("a"));
    let first = keys.write(&a, &Entry::default(), json(1), day(1), Previous::Overwritten);
    let number = keys.write(&ordered, &Entry::default(), json(1), day(1), Previous::Overwritten);
    let taken = wait(keys.backend.take_snapshot(GAME, day(2), true)).expect("a snapshot");
    assert!(taken.is_new);
    drop(keys);

    let mut keys = Keys::open(dir.path());
    let again = wait(keys.backend.take_snapshot(GAME, day(2).next(), true)).expect("a snapshot");
    assert_eq!((again.is_new, again.at), (false, day(2)), "one a day");
    let second = keys.write(&a, &first, json(2), day(3), Previous::Overwritten);
    assert_eq!(keys.versions(&a), [1, 2]);
    let third = keys.write(&a, &second, json(3), day(3), Previous::Overwritten);
    assert_eq!(keys.versions(&a), [1, 3], "the second was written after the snapshot");
    keys.write(&ordered, &number, json(2), day(3), Previous::Overwritten);
    assert_eq!(keys.versions(&ordered), [2], "ordered stores have no versions");
    // What is asked to be gone is gone.
    assert!(wait(keys.backend.take_snapshot(GAME, day(4), true)).expect("a snapshot").is_new);
    keys.write(&a, &third, None, day(4), Previous::Erased);
    assert_eq!(keys.versions(&a), [1, 4]);
}

#[test]
fn a_store_shows_when_it_was_written_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut keys = Keys::open(dir.path());
    let second = |number: u64| Timestamp::from_unix_ms(number * 1_000);
    let mut last = keys.write(&key("a"), &Entry::default(), json(1), second(10), Previous::Overwritten);
    let mut write = |keys: &mut Keys, at| last = keys.write(&key("a"), &last, json(1), at, Previous::Overwritten);
    let times = |keys: &Keys| keys.stores().iter().map(|store| (store.created, store.updated)).collect::<Vec<_>>();
    write(&mut keys, second(70));
    assert_eq!(times(&keys), [(second(10), second(10))], "a minute behind at most");
    write(&mut keys, second(71));
    assert_eq!(times(&keys), [(second(10), second(71))]);
    drop(keys);
    let mut keys = Keys::open(dir.path());
    write(&mut keys, second(72));
    assert_eq!(times(&keys), [(second(10), second(72))]);
}

/// Deleted, restored, deleted again, purged in steps, and used anew: by the file as well as by the open backend.
#[test]
fn a_game_is_deleted_restored_and_purged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut keys = Keys::open(dir.path());
    assert_eq!(wait(keys.backend.delete_game(GAME, day(1))), Ok(Deletion::Unknown));
    let first = keys.write(&key("a"), &Entry::default(), json(1), day(1), Previous::Overwritten);
    let second = keys.write(&key("a"), &first, json(2), day(1), Previous::Kept);
    wait(keys.backend.take_snapshot(GAME, day(2), true)).expect("a snapshot");
    assert_eq!(wait(keys.backend.purge_game(GAME, 10)), Ok(0), "it is not marked");
    assert_eq!(wait(keys.backend.delete_game(GAME, day(2))), Ok(Deletion::Done));
    assert_eq!(wait(keys.backend.delete_game(GAME, day(3))), Ok(Deletion::Already(day(2))));
    drop(keys);

    let mut keys = Keys::open(dir.path());
    assert_eq!(wait(keys.backend.deleted_games()), Ok(vec![(GAME, day(2))]));
    assert_eq!(wait(keys.backend.restore_game(GAME)), Ok(Restoration::Done));
    assert_eq!(wait(keys.backend.restore_game(GAME)), Ok(Restoration::NotDeleted));
    assert_eq!(value(&keys.backend, "a").as_deref(), Some("2"));
    assert_eq!(wait(keys.backend.delete_game(GAME, day(3))), Ok(Deletion::Done));
    let steps: Vec<_> = (0..4).map(|_| wait(keys.backend.purge_game(GAME, 1)).expect("a step")).collect();
    assert_eq!(steps, [1, 1, 0, 0], "a version, the entry, the end; then it is not marked any more");
    assert_eq!(wait(keys.backend.deleted_games()), Ok(Vec::new()));
    assert_eq!(keys.stores(), []);
    // Whoever still knew it must read it again.
    let late = second.successor(json(3), Attributes::default(), day(4));
    assert_eq!(keys.try_write(&key("a"), &second, &late, Previous::Overwritten), RowOutcome::Fenced);
    let anew = keys.write(&key("a"), &Entry::default(), json(1), day(4), Previous::Overwritten);
    assert_eq!(keys.stores(), [StoreInfo { name: "Coins".into(), created: day(4), updated: day(4) }]);
    keys.write(&key("a"), &anew, json(2), day(5), Previous::Overwritten);
    assert_eq!(keys.versions(&key("a")), [2], "its snapshot is gone with it");
}

/// Large values are deleted in smaller steps, which nobody sees who asks for rows.
#[test]
fn large_values_are_swept_and_purged_as_others_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut keys = Keys::open(dir.path());
    let large = || Some(Value::new(format!("\"{}\"", "x".repeat(3 * 1024 * 1024))).expect("legal"));
    let mut last = Entry::default();
    for _ in 0..8 {
        last = keys.write(&key("a"), &last, large(), day(1), Previous::Kept);
    }
    assert_eq!((keys.sweep(day(40), 4), keys.versions(&key("a"))), (4, vec![5, 6, 7, 8]));
    assert_eq!(wait(keys.backend.delete_game(GAME, day(40))), Ok(Deletion::Done));
    assert_eq!((keys.sweep(day(40), 0), wait(keys.backend.purge_game(GAME, 10))), (0, Ok(4)));
    assert_eq!(keys.read(&key("a")), Entry::default());
}

/// A sweep that fails leaves the backend as it was: the next one does it.
#[test]
fn a_sweep_that_cannot_write_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut keys = Keys::open(dir.path());
    let tombstone = keys.write(&key("a"), &Entry::default(), None, day(1), Previous::Overwritten);
    let operator = Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    operator.execute_batch("BEGIN IMMEDIATE").expect("takes the write lock");
    let sweep = Arc::new(Sweep { kept_since: day(40), shorter: Vec::new(), rows: 10, is_simulated: true });
    let backend: &dyn Backend = &keys.backend;
    wait(backend.expire(Arc::clone(&sweep))).expect_err("the lock is taken");
    operator.execute_batch("ROLLBACK").expect("gives it back");
    assert_eq!(keys.read(&key("a")), tombstone);
    assert_eq!(keys.sweep(day(40), 10), 1);
}
