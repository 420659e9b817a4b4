//! Looks at versions and lists show what is durable, and end as calls do.

use clawstore_core::backend::{BackendErrorKind, Kept, SortedQuery, VersionQuery};
use clawstore_core::entry::VersionId;
use clawstore_core::ops::Look;
use clawstore_core::versioning::{Retention, Versioning};

use super::*;
use crate::inbox::VmEvent;
use crate::server::ServerIdentity;

fn every_write() -> Config {
    Config { versioning: Versioning::all(Retention::EveryWrite), ..Config::default() }
}

fn versions_of(key: &str) -> Look {
    let key = key_of(key);
    Look::Versions(VersionQuery {
        key,
        descending: true,
        from: None,
        to: None,
        after: None,
        kept: Kept::default(),
        limit: 10,
    })
}

fn entry(result: CallResult) -> Arc<Entry> {
    match result.expect("the call succeeds") {
        Reply::Entry(entry) => entry,
        other => panic!("no entry: {other:?}"),
    }
}

fn score(key: &str) -> EntryKey {
    let store = StoreId::new(GameId::Number(1), StoreKind::Ordered, b"Scores", b"global").unwrap();
    EntryKey::new(&Arc::new(store), key.as_bytes()).unwrap()
}

fn scores() -> Look {
    let store = score("k").store;
    Look::Sorted(SortedQuery { store, ascending: true, min: i64::MIN, max: i64::MAX, after: None, limit: 10 })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_found_by_the_id_that_its_write_returned() {
    let world = World::with(every_write()).await;
    let first = entry(world.call("k", set(1)).await).version();
    let second = entry(world.call("k", set(2)).await).version();
    entry(world.call("k", Request::Remove).await);
    let look = |id| world.game.look(Look::Version(key_of("k"), id));
    assert_eq!(number(look(first).await), Some(1));
    assert_eq!(number(look(second).await), Some(2));
    // A tombstone is a version; an id whose times are another's is none.
    assert_eq!(entry(look(VersionId { revision: 3, updated: second.updated.next(), ..second }).await).revision, 3);
    let other = VersionId { revision: 2, ..first };
    assert_eq!(entry(look(other).await).revision, 0);
    assert_eq!(entry(look(VersionId { revision: 9, ..first }).await).revision, 0);
    let Ok(Reply::Versions(listed)) = world.game.look(versions_of("k")).await else { panic!("a list") };
    let listed: Vec<_> = listed.iter().map(|version| (version.id.revision, version.is_deleted)).collect();
    assert_eq!(listed, [(3, true), (2, false), (1, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ordered_stores_are_exact_sorted_and_without_history() {
    let world = World::with(every_write()).await;
    for (key, number) in [("a", 5), ("b", i64::MAX - 1), ("c", -5)] {
        world.game.call(&score(key), set(number)).await.unwrap();
    }
    world.game.call(&score("b"), increment(1)).await.unwrap();
    world.game.call(&score("c"), Request::Remove).await.unwrap();
    let Ok(Reply::Sorted(items)) = world.game.look(scores()).await else { panic!("a list") };
    let items: Vec<_> = items.iter().map(|item| (&*item.key, item.number)).collect();
    assert_eq!(items, [("a", 5), ("b", i64::MAX)]);
    let beyond = world.game.call(&score("b"), increment(1)).await.expect_err("leaves int64");
    assert!(beyond.text.ends_with("(not applied)"), "{beyond}");
    let text = Request::Set(Set { value: Value::new("\"5\"").unwrap(), attributes: Attributes::default() });
    let refused = world.game.call(&score("a"), text).await.expect_err("no number");
    assert_eq!(&*refused.text, "103: string is not allowed in data stores.");
    let query = VersionQuery {
        key: score("b"),
        descending: false,
        from: None,
        to: None,
        after: None,
        kept: Kept::default(),
        limit: 10,
    };
    let Ok(Reply::Versions(kept)) = world.game.look(Look::Versions(query)).await else { panic!("a list") };
    assert_eq!(kept.iter().map(|version| version.id.revision).collect::<Vec<_>>(), [2], "only the stored one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_is_answered_in_its_inbox() {
    let world = World::new().await;
    world.game.call(&score("a"), set(5)).await.unwrap();
    let server = world.game.server(ServerIdentity::default());
    let (wake, mut woken) = tokio::sync::mpsc::unbounded_channel();
    server.inbox().set_wake(move || {
        let _ = wake.send(());
    });
    let writer = server.next_writer();
    server.look(writer, scores());
    soon(woken.recv()).await.unwrap();
    let mut events = Vec::new();
    server.inbox().take(&mut events);
    let [VmEvent::Done { op: answered, result: Ok(Reply::Sorted(items)) }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*answered, items.len()), (writer.op, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_fails_as_calls_do_and_leaves_nothing_open() {
    let deadline = Duration::from_millis(50);
    let world = World::with(Config { call_deadline: deadline, ..Config::default() }).await;
    let refused = |result: CallResult| result.expect_err("it fails").text.into_string();
    world.gate.fail_reads(1, BackendErrorKind::Unavailable);
    assert!(refused(soon(world.game.look(scores())).await).ends_with("(not applied)"));
    world.gate.hold_reads();
    let late = refused(soon(world.game.look(scores())).await);
    assert!(late.contains("The store did not answer in time. (not applied)"), "{late}");
    world.gate.release_reads();
    world.game.close_admission();
    assert!(refused(world.game.look(scores()).await).starts_with("401: "));
    let until = tokio::time::Instant::now() + SOON;
    assert!(world.game.none_open_by(until).await, "permits and counts come back");
    assert_eq!(world.game.admission.game.in_use(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_take_permits() {
    let config =
        Config { pending_bytes_per_game: 2 * clawstore_core::limits::CALL_OVERHEAD_BYTES, ..Config::default() };
    let world = World::with(config).await;
    world.gate.hold_reads();
    let start = || {
        let (reply, answer) = oneshot::channel();
        world.game.start_look(scores(), ReplyTo::Task(reply));
        answer
    };
    let (first, second, third) = (start(), start(), start());
    let full = soon(third).await.unwrap().expect_err("two fit at once");
    assert!(full.text.contains("Too much data is waiting"), "{full}");
    world.gate.release_reads();
    assert!(soon(first).await.unwrap().is_ok() && soon(second).await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_write_of_an_hour_keeps_what_it_supersedes() {
    let world = World::new().await;
    let write = async |number| entry(world.call("k", set(number)).await).version();
    let look = async |id| number(world.game.look(Look::Version(key_of("k"), id)).await);
    let first = write(1).await;
    let second = write(2).await;
    assert_eq!((look(first).await, look(second).await), (None, Some(2)), "superseded in its own hour");
    world.clock.advance(Duration::from_secs(3_600));
    let third = write(3).await;
    let fourth = write(4).await;
    assert_eq!([look(second).await, look(third).await, look(fourth).await], [Some(2), None, Some(4)]);
    let Ok(Reply::Versions(listed)) = world.game.look(versions_of("k")).await else { panic!("a list") };
    assert_eq!(listed.iter().map(|version| version.id).collect::<Vec<_>>(), [fourth, second]);
}
