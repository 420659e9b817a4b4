//! Opening backends, one process's share of writing, and looking past them.

use std::future::Future;
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, Batch, BatchRow, CommitBatches, Fence, Incarnation, LaneId, LeaseAnswer, LeaseAsk, Previous,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_postgres::{PgBackend, PgConnectOptions, PgSettings};
use clawstore_testkit::postgres::Database;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

/// Runs to the end on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn options(database: &Database) -> PgConnectOptions {
    database.url().parse().unwrap()
}

pub(crate) async fn open_here(database: &Database) -> PgBackend {
    PgBackend::open(options(database), PgSettings::default()).await.unwrap()
}

/// A backend that any runtime can use: its connections are opened by its next calls.
pub(crate) fn open(database: &Database) -> PgBackend {
    block_on(async {
        let backend = open_here(database).await;
        backend.close().await;
        backend
    })
}

/// A connection beside those of the backend.
pub(crate) async fn connect(database: &Database) -> PgConnection {
    PgConnection::connect_with(&options(database)).await.unwrap()
}

/// What a query of one value gives.
pub(crate) async fn ask<T>(session: &mut PgConnection, sql: &'static str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(sql).fetch_one(session).await.unwrap()
}

/// Asks until this is the answer. Each question is a round trip to the server, which does something else meanwhile.
pub(crate) async fn until(session: &mut PgConnection, sql: &'static str, answer: i64) {
    while ask::<i64>(session, sql).await != answer {}
}

pub(crate) async fn run(session: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(session).await.unwrap();
}

pub(crate) const ME: Incarnation = Incarnation(1);
pub(crate) const FENCE: Fence = Fence(7);

pub(crate) fn key(name: &str) -> EntryKey {
    let store = StoreId::new(GameId::Number(1), StoreKind::Standard, b"Coins", b"global").unwrap();
    EntryKey::new(&Arc::new(store), name.as_bytes()).unwrap()
}

pub(crate) fn value(json: &str) -> Option<Value> {
    Some(Value::new(json.to_owned()).unwrap())
}

pub(crate) fn first(json: &str) -> Entry {
    Entry::default().successor(value(json), Attributes::default(), Timestamp::from_unix_ms(1_000))
}

pub(crate) fn next(entry: &Entry, value: Option<Value>) -> Entry {
    entry.successor(value, Attributes::default(), Timestamp::from_unix_ms(entry.updated.unix_ms() + 1_000))
}

pub(crate) fn row(key: &EntryKey, base: u64, entry: &Entry) -> BatchRow {
    let (key, entry) = (key.clone(), Arc::new(entry.clone()));
    BatchRow { key, fence: FENCE, base, previous: Previous::Overwritten, kept: Vec::new(), entry, onto: None }
}

pub(crate) fn batch(seq: u64, rows: Vec<BatchRow>) -> Arc<Batch> {
    Arc::new(Batch { lane: LaneId { incarnation: ME, number: 0 }, seq, digest: seq * 1_000, rows })
}

/// Joins, and owns the keys by one fence.
pub(crate) async fn own(backend: &PgBackend, keys: &[EntryKey]) {
    let leases = backend.leases().unwrap();
    leases.join(ME).await.unwrap();
    let requests = keys.iter().map(|key| LeaseAsk::new(key.clone(), FENCE)).collect();
    let answers = leases.acquire(ME, requests).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, LeaseAnswer::Granted(_))));
}

/// Writes the first revision of keys as the batch of number 1.
pub(crate) async fn write_new(backend: &PgBackend, keys: &[EntryKey], entry: &Entry) {
    own(backend, keys).await;
    backend.commit_batch(batch(1, keys.iter().map(|key| row(key, 0, entry)).collect())).await.unwrap();
}
