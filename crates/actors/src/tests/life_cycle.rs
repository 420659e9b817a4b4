//! Whole games: what is swept and when, what deletion refuses, who notices it.

use clawstore_core::backend::{BackendError, Kept, Snapshot, VersionQuery};
use clawstore_core::clock::{Clock, Timestamp};
use clawstore_core::limits::SWEEP_ROWS;
use clawstore_core::ops::Look;
use clawstore_core::versioning::{History, Retention, Versioning};
use clawstore_testkit::conformance::InspectVersions;

use super::ownership::pair;
use super::*;
use crate::life_cycle::{LifeCycleError, Purge};
use crate::server::ServerIdentity;
use crate::sweeper::StepSize;

const ID: GameId = GameId::Number(1);
const DAY: Duration = Duration::from_secs(86_400);

fn every_write() -> Config {
    Config { versioning: Versioning::all(Retention::EveryWrite), ..Config::default() }
}

fn score(key: &str) -> EntryKey {
    let store = StoreId::new(ID, StoreKind::Ordered, b"Scores", b"global").unwrap();
    EntryKey::new(&Arc::new(store), key.as_bytes()).unwrap()
}

fn listed() -> Look {
    let (from, to, after) = (None, None, None);
    Look::Versions(VersionQuery {
        key: key_of("k"),
        descending: false,
        from,
        to,
        after,
        kept: Kept::default(),
        limit: 10,
    })
}

async fn revisions(game: &Arc<Game>) -> Vec<u64> {
    match game.look(listed()).await {
        Ok(Reply::Versions(versions)) => versions.iter().map(|version| version.id.revision).collect(),
        other => panic!("no list: {other:?}"),
    }
}

fn refused(result: CallResult) -> String {
    result.expect_err("it is refused").text.into_string()
}

impl World {
    async fn sweep(&self) -> Result<usize, BackendError> {
        self.process.sweep_history(&mut StepSize::default()).await
    }

    fn versions_stored(&self) -> usize {
        self.memory.versions(&key_of("k")).len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_kept_any_more_is_swept_and_nothing_else() {
    let world = World::with(every_write()).await;
    for number in [1, 2] {
        world.call("k", set(number)).await.unwrap();
    }
    world.call("gone", set(1)).await.unwrap();
    world.call("gone", Request::Remove).await.unwrap();
    world.game.call(&score("a"), set(1)).await.unwrap();
    world.game.call(&score("a"), Request::Remove).await.unwrap();
    world.clock.advance(30 * DAY);
    assert_eq!((revisions(&world.game).await, world.sweep().await), (vec![1, 2], Ok(0)));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(revisions(&world.game).await, [2], "shown no more, swept or not");
    assert_eq!((world.versions_stored(), world.sweep().await), (1, Ok(2)), "one of each key");
    assert_eq!(world.versions_stored(), 0);
    assert_eq!(number(world.call("k", Request::Get).await), Some(2));
    // Keys that are active here are written on as if nothing had been swept.
    assert_eq!(number(world.call("gone", set(5)).await), Some(5));
    assert_eq!(number(world.game.call(&score("a"), set(6)).await), Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_keeps_history_for_a_day_is_swept_after_it() {
    let mut config = every_write();
    let history = History { retention: Retention::EveryWrite, days: 1 };
    config.versioning.stores.insert("Store".into(), history);
    let world = World::with(config).await;
    for number in [1, 2, 3] {
        world.call("k", set(number)).await.unwrap();
    }
    world.clock.advance(DAY + Duration::from_millis(1));
    assert_eq!(revisions(&world.game).await, [3]);
    assert_eq!(world.sweep().await, Ok(2));
    assert_eq!(world.versions_stored(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_goes_on_until_nothing_is_left() {
    let memory = Arc::new(MemoryBackend::shared());
    let world = World::over(Arc::clone(&memory), memory, Config::default()).await;
    let most = 2 * SWEEP_ROWS + 7;
    for n in 0..most {
        let tombstone = Entry { revision: 1, ..Entry::default() };
        world.memory.overwrite(&key_of(&format!("k{n}")), tombstone);
    }
    assert_eq!(world.sweep().await, Ok(most));
    assert_eq!(world.sweep().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_sweeps_by_itself_until_it_is_drained() {
    let world = World::with(every_write()).await;
    for number in [1, 2] {
        soon(world.call("k", set(number))).await.unwrap();
    }
    world.clock.advance(31 * DAY);
    let often = crate::sweeper::sweep_for_ever(Arc::downgrade(&world.process), Duration::from_millis(1));
    let often = Handle::current().spawn(often);
    soon(async {
        while world.versions_stored() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!often.is_finished(), "for ever");
    often.abort();
    let sweeper = world.process.sweeper.get().unwrap();
    assert!(!sweeper.has_ended());
    world.process.drain(SOON).await;
    soon(async {
        while !sweeper.has_ended() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_game_refuses_every_call_and_comes_back_as_it_was() {
    let world = World::with(every_write()).await;
    world.call("k", set(1)).await.unwrap();
    world.call("k", set(2)).await.unwrap();
    assert!(world.game.read_at_hand(&key_of("k"), true).is_some(), "it would be answered from memory");
    let deleted = world.process.delete_game(ID).await.unwrap();
    assert_eq!((deleted.game, deleted.at), (ID, world.clock.wall()));
    assert_eq!(world.game.read_at_hand(&key_of("k"), true), None);
    for request in [Request::Get, set(3), Request::Remove, increment(1)] {
        let text = refused(world.call("k", request).await);
        assert!(text.starts_with("502: ") && text.contains("DatastoreDeleted"), "{text}");
    }
    assert!(refused(world.game.look(listed()).await).contains("DatastoreDeleted"));
    assert!(refused(world.game.call_uncached(&key_of("k")).await).contains("DatastoreDeleted"));
    let update = world.game.update::<clawstore_core::CallError>(&key_of("k"), |_| Ok(None)).await;
    assert!(refused(update).contains("DatastoreDeleted"));
    let version = world.stored("k").version();
    assert!(refused(world.game.remove_version(&key_of("k"), version).await).contains("DatastoreDeleted"));
    let again = world.process.delete_game(ID).await.expect_err("once");
    assert_eq!(again, LifeCycleError::AlreadyDeleted(deleted));
    assert_eq!(world.process.deleted_games().await, Ok(vec![deleted]));

    world.process.restore_game(ID).await.unwrap();
    assert_eq!(world.process.restore_game(ID).await, Err(LifeCycleError::NotDeleted(ID)));
    assert_eq!(number(world.call("k", Request::Get).await), Some(2));
    assert_eq!(revisions(&world.game).await, [1, 2]);
    assert_eq!(number(world.call("k", increment(1)).await), Some(3));
    assert_eq!(world.stored("k").revision, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_waits_for_its_days_and_leaves_room_for_a_new_game() {
    let world = World::with(every_write()).await;
    world.call("k", set(1)).await.unwrap();
    world.call("k", set(2)).await.unwrap();
    assert_eq!(world.process.purge_game(ID, Purge::Now).await, Err(LifeCycleError::NotDeleted(ID)));
    let deleted = world.process.delete_game(ID).await.unwrap();
    world.clock.advance(30 * DAY - Duration::from_millis(1));
    assert_eq!(world.process.purge_game(ID, Purge::WhenDue).await, Err(LifeCycleError::StillKept(deleted)));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.process.purge_game(ID, Purge::WhenDue).await, Ok(2));
    assert_eq!(world.process.deleted_games().await, Ok(vec![]));
    assert_eq!(number(world.call("k", Request::Get).await), None);
    assert_eq!(number(world.call("k", set(9)).await), Some(9));
    assert_eq!(world.stored("k").revision, 1, "nothing of it is left");
    world.process.delete_game(ID).await.unwrap();
    assert_eq!(world.process.purge_game(ID, Purge::Now).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_that_is_used_or_is_not_there() {
    let world = World::new().await;
    let nobody = GameId::Number(2);
    assert_eq!(world.process.delete_game(nobody).await, Err(LifeCycleError::NoData(nobody)));
    world.call("k", set(1)).await.unwrap();
    let server = world.game.server(ServerIdentity::default());
    let used = world.process.delete_game(ID).await.expect_err("a server is open").to_string();
    assert!(used.contains("1 server of this process") && used.contains("nothing was deleted"), "{used}");
    assert_eq!(number(world.call("k", increment(1)).await), Some(2), "it goes on");
    drop(server);
    world.process.delete_game(ID).await.unwrap();
    let game = world.process.game(ID).unwrap();
    let server = game.server(ServerIdentity::default());
    assert!(
        matches!(server.read(&key_of("k"), server.next_writer(), true), Some(Err(_))),
        "one that is opened later is refused"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_calls_that_are_on_their_way() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    world.gate.hold();
    let write = world.submit(1, 1, "k", set(2));
    let process = Arc::clone(&world.process);
    let deletion = Handle::current().spawn(async move { process.delete_game(ID).await });
    soon(async {
        while !world.game.is_deleted() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!deletion.is_finished() && refused(world.call("k", set(3)).await).contains("DatastoreDeleted"));
    world.gate.release();
    assert_eq!(number(soon(write).await.unwrap()), Some(2), "what was accepted is saved");
    soon(deletion).await.unwrap().unwrap();
    assert_eq!(world.stored("k").revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_game_is_known_after_a_restart() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    world.process.delete_game(ID).await.unwrap();
    world.process.drain(SOON).await;
    let memory = Arc::new(world.memory.reopened());
    let world = World::over(Arc::clone(&memory), memory, Config::default()).await;
    assert!(refused(world.call("k", Request::Get).await).contains("DatastoreDeleted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_deletes_is_noticed() {
    let (_, a, b) = pair().await;
    soon(a.call("k", set(1))).await.unwrap();
    let used = b.process.delete_game(ID);
    let used = soon(used).await.expect_err("a has a lease").to_string();
    assert!(used.contains("incarnation"), "{used}");
    assert_eq!(number(soon(b.call("k", Request::Get)).await), Some(1), "not deleted, so not refused");
    // The keys of the process that deletes are given back first.
    soon(a.process.delete_game(ID)).await.unwrap();
    soon(async {
        while !b.game.is_deleted() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(b.game.read_at_hand(&key_of("k"), true), None, "though it was read less than 4 s ago");
    assert!(refused(soon(b.call("k", Request::Get)).await).contains("DatastoreDeleted"));
    soon(b.process.restore_game(ID)).await.unwrap();
    assert_eq!(number(soon(b.call("k", increment(1))).await), Some(2), "at once where it was restored");
    soon(async {
        while a.call("k", Request::Get).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_keeps_what_the_next_write_supersedes_in_the_same_hour() {
    let world = World::new().await;
    world.call("k", set(1)).await.unwrap();
    let at = world.clock.wall();
    assert_eq!(world.process.take_snapshot(ID).await, Ok(Snapshot { is_new: true, at }));
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.process.take_snapshot(ID).await, Ok(Snapshot { is_new: false, at }), "once a day");
    for number in [2, 3] {
        world.call("k", set(number)).await.unwrap();
    }
    assert_eq!(revisions(&world.game).await, [1, 3]);
    assert_eq!(at, Timestamp::from_unix_ms(1_700_000_000_000));
}
