//! A primary with a synchronous standby: what is acknowledged and shown is on both.
//!
//! Every test has two servers of its own.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::future::Future;
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendError, BackendErrorKind, Batch, BatchRow, Beat, CommitBatches, Fence, Incarnation, Kept, KeyRange,
    LaneId, LaneMark, LeaseAnswer, LeaseAsk, Previous, ReadEntries, RowOutcome, ScanEntries,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_postgres::{Durability, OpenError, PgBackend, PgSettings, Standby, parse_url};
use clawstore_testkit::postgres::{Pair, Replication};
use tokio::runtime::Handle;

const ME: Incarnation = Incarnation(1);
const OTHER: Incarnation = Incarnation(2);
const LANE: LaneId = LaneId { incarnation: ME, number: 0 };

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Of both servers, the present standby first.
fn url_of_both(pair: &Pair) -> String {
    let [standby, primary] = [pair.standby().unwrap().port(), pair.primary().port()];
    format!("postgres://postgres@127.0.0.1:{standby},127.0.0.1:{primary}/postgres?application_name=server")
}

async fn open(url: &str) -> Arc<PgBackend> {
    let backend = Arc::new(PgBackend::open(parse_url(url).unwrap(), PgSettings::default()).await.unwrap());
    backend.leases().unwrap().join(ME).await.unwrap();
    backend
}

fn key(key: &str) -> EntryKey {
    let store = StoreId::new(GameId::Number(1), StoreKind::Standard, b"Saves", b"global").unwrap();
    EntryKey::new(&Arc::new(store), key.as_bytes()).unwrap()
}

/// The n-th revision of a key, in the batch of that number.
fn batch(name: &str, n: u64) -> Arc<Batch> {
    let mut entry = Entry::default();
    for revision in 1..=n {
        let at = Timestamp::from_unix_ms(revision * 1_000);
        entry = entry.successor(Some(Value::integer(revision as i64)), Attributes::default(), at);
    }
    let (previous, kept, entry) = (Previous::Overwritten, Vec::new(), Arc::new(entry));
    let row = BatchRow { key: key(name), fence: Fence(7), base: n - 1, previous, kept, entry, onto: None };
    Arc::new(Batch { lane: LANE, seq: n, digest: n, rows: vec![row] })
}

/// Starts a call that will hang, waits until it waits for the standby, and cancels that wait.
async fn cancelled<T: Send + 'static>(pair: &Pair, call: impl Future<Output = T> + Send + 'static) -> T {
    let call = Handle::current().spawn(call);
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                  WHERE wait_event = 'SyncRep' AND application_name = 'server'";
    while pair.primary().psql(cancel).unwrap().is_empty() {
        assert!(!call.is_finished(), "it did not wait");
    }
    call.await.unwrap()
}

async fn ask(backend: Arc<PgBackend>, by: Incarnation, name: &'static str) -> Result<Vec<LeaseAnswer>, BackendError> {
    backend.leases().unwrap().acquire(by, vec![LeaseAsk::new(key(name), Fence(7))]).await
}

/// The server answers such a commit like any other, with a warning beside it. The change is there for everybody to see, and gone if
/// the standby takes over.
#[test]
fn a_cancelled_wait_for_the_standby_is_no_acknowledgement() {
    let pair = Pair::start(Replication::Synchronous).unwrap();
    block_on(async {
        let backend = open(&url_of_both(&pair)).await;
        let expected = Durability::Standby { reached: Standby::Flushed, names: "standby".to_owned() };
        assert_eq!(*backend.durability(), expected);
        ask(Arc::clone(&backend), ME, "k").await.unwrap();
        assert_eq!(backend.commit_batch(batch("k", 1)).await, Ok(vec![RowOutcome::Committed]));
        pair.cut().unwrap();
        let first = Arc::clone(&backend);
        let error = cancelled(&pair, async move { first.commit_batch(batch("k", 2)).await }).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unknown, "{error}");
        assert!(error.message.contains("may have happened: the wait for the standby was cancelled"), "{error}");
        assert_eq!(pair.primary().psql("SELECT revision FROM clawstore.entry").unwrap(), "2", "it is there");
        // Nobody is told that it is there before the standby has it.
        let reader = Arc::clone(&backend);
        let error = cancelled(&pair, async move { reader.read_entries(vec![key("k")]).await }).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        // Nor is its lane: the same batch again waits too.
        let again = Arc::clone(&backend);
        let error = cancelled(&pair, async move { again.commit_batch(batch("k", 2)).await }).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unknown, "{error}");
        pair.connect().unwrap();
        assert_eq!(backend.commit_batch(batch("k", 2)).await, Ok(vec![RowOutcome::Committed]), "settled");
        assert_eq!(backend.read_entries(vec![key("k")]).await.unwrap()[0].revision, 2);
    });
}

/// What a process is shown by an acquisition that changes nothing, by a read or by a list may have been committed by somebody whose
/// wait was cancelled.
#[test]
fn what_is_shown_is_on_the_standby() {
    let pair = Pair::start(Replication::Synchronous).unwrap();
    block_on(async {
        let backend = open(&url_of_both(&pair)).await;
        backend.leases().unwrap().join(OTHER).await.unwrap();
        ask(Arc::clone(&backend), ME, "k").await.unwrap();
        backend.commit_batch(batch("k", 1)).await.unwrap();
        pair.cut().unwrap();
        let held = ask(Arc::clone(&backend), OTHER, "k").await.unwrap();
        assert!(matches!(held[0], LeaseAnswer::Held { .. }), "shows nothing, and waits for nobody");
        let beat = Beat { lanes: vec![LaneMark { lane: LANE, seq: 1 }], ..Beat::new(ME, Vec::new()) };
        assert!(backend.leases().unwrap().beat(beat).await.unwrap().alive, "neither does a beat");
        let error = cancelled(&pair, ask(Arc::clone(&backend), ME, "k")).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        let lister = Arc::clone(&backend);
        let range = KeyRange::of_scope(key("k").store, "", Kept::default(), 10);
        let error = cancelled(&pair, async move { lister.list_keys(range).await }).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        // Not even that there is no such store.
        let reader = Arc::clone(&backend);
        let store = StoreId::new(GameId::Number(1), StoreKind::Standard, b"None", b"global").unwrap();
        let nothing = EntryKey::new(&Arc::new(store), b"k").unwrap();
        let error = cancelled(&pair, async move { reader.read_entries(vec![nothing]).await }).await.unwrap_err();
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        pair.connect().unwrap();
        let again = ask(Arc::clone(&backend), ME, "k").await.unwrap();
        assert!(matches!(&again[0], LeaseAnswer::Granted(entry) if entry.revision == 1), "{again:?}");
    });
}

/// What was acknowledged is on the promoted one, under a new timeline; connections find it.
#[test]
fn a_promoted_standby_has_what_was_acknowledged_and_takes_the_connections() {
    let mut pair = Pair::start(Replication::Synchronous).unwrap();
    let url = url_of_both(&pair);
    block_on(async {
        let backend = open(&url).await;
        ask(Arc::clone(&backend), ME, "k").await.unwrap();
        let beat = || Beat { lanes: vec![LaneMark { lane: LANE, seq: 1 }], ..Beat::new(ME, Vec::new()) };
        let leases = backend.leases().unwrap();
        assert_eq!(backend.commit_batch(batch("k", 1)).await, Ok(vec![RowOutcome::Committed]));
        let before = leases.beat(beat()).await.unwrap();
        assert_eq!((before.timeline, &*before.lanes), (1, &[Some(1)][..]));
        pair.primary_mut().kill().unwrap();
        let error = loop {
            match backend.commit_batch(batch("k", 2)).await {
                // The connection is lost; the next one finds one server gone and the other a standby.
                Err(error) if error.kind == BackendErrorKind::Unknown => {}
                answer => break answer.unwrap_err(),
            }
        };
        assert_eq!(error.kind, BackendErrorKind::Unavailable, "{error}");
        drop(pair.promote().unwrap());
        pair.add_standby().unwrap();
        let after = leases.beat(beat()).await.unwrap();
        assert_eq!((after.alive, after.timeline, &*after.lanes), (true, 2, &[Some(1)][..]));
        assert_eq!(backend.commit_batch(batch("k", 2)).await, Ok(vec![RowOutcome::Committed]));
        assert_eq!(backend.read_entries(vec![key("k")]).await.unwrap()[0].revision, 2);
    });
}

/// A network that is split: the old primary is still there. It cannot show anything any more, nor commit.
#[test]
fn an_old_primary_without_its_standby_tells_nothing() {
    let mut pair = Pair::start(Replication::Synchronous).unwrap();
    let url = url_of_both(&pair);
    block_on(async {
        let backend = open(&url).await;
        ask(Arc::clone(&backend), ME, "k").await.unwrap();
        backend.commit_batch(batch("k", 1)).await.unwrap();
        let old = pair.promote().unwrap();
        let reader = Arc::clone(&backend);
        let read = Handle::current().spawn(async move { reader.read_entries(vec![key("k")]).await });
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'server'";
        while old.psql(waits).unwrap() != "1" {
            assert!(!read.is_finished(), "{read:?}");
        }
        drop(old);
        assert_eq!(read.await.unwrap().unwrap_err().kind, BackendErrorKind::Unavailable);
        pair.add_standby().unwrap();
        assert_eq!(backend.read_entries(vec![key("k")]).await.unwrap()[0].revision, 1);
    });
}

/// An asynchronous one loses what it has not got yet: the numbers of the lanes tell.
#[test]
fn an_asynchronous_standby_that_is_promoted_lacks_what_it_had_not_got() {
    let mut pair = Pair::start(Replication::Asynchronous).unwrap();
    let url = url_of_both(&pair);
    block_on(async {
        let backend = open(&url).await;
        assert_eq!(*backend.durability(), Durability::Disk);
        ask(Arc::clone(&backend), ME, "k").await.unwrap();
        backend.commit_batch(batch("k", 1)).await.unwrap();
        pair.cut().unwrap();
        assert_eq!(backend.commit_batch(batch("k", 2)).await, Ok(vec![RowOutcome::Committed]), "acknowledged");
        pair.primary_mut().kill().unwrap();
        let standby_alone = PgBackend::open(parse_url(&url).unwrap(), PgSettings::default()).await.unwrap_err();
        assert!(matches!(standby_alone, OpenError::Unreachable { .. }), "{standby_alone}");
        drop(pair.promote().unwrap());
        let beat = Beat { lanes: vec![LaneMark { lane: LANE, seq: 2 }], ..Beat::new(ME, Vec::new()) };
        let answer = backend.leases().unwrap().beat(beat).await.unwrap();
        assert_eq!((answer.timeline, &*answer.lanes), (2, &[Some(1)][..]));
        let error = loop {
            match backend.commit_batch(batch("k", 3)).await {
                Err(error) if error.kind == BackendErrorKind::Unknown => {}
                answer => break answer.unwrap_err(),
            }
        };
        assert_eq!(error.kind, BackendErrorKind::Over, "{error}");
    });
}
