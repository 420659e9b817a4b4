//! What several of these tests need: rows, waiting for answers, and child processes.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use clawstore_core::backend::{
    Backend, BackendError, Batch, BatchRow, CommitBatches, Fence, LaneId, Previous, ReadEntries, RowOutcome,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_sqlite::{SqliteBackend, SqliteOptions};

/// Tells a child process which directory its parent has prepared.
const CHILD_DIR: &str = "CLAWSTORE_TEST_CHILD_DIR";

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

pub(crate) fn open(dir: &Path) -> SqliteBackend {
    SqliteBackend::open(dir, &SqliteOptions::default()).expect("a database that opens")
}

pub(crate) fn key(name: &str) -> EntryKey {
    let store = StoreId::new(GameId::Number(7), StoreKind::Standard, b"Coins", b"global").expect("legal");
    EntryKey::new(&Arc::new(store), name.as_bytes()).expect("legal")
}

/// A batch of one row: the first revision of a key.
pub(crate) fn first_write(seq: u64, name: &str, json: &str) -> Arc<Batch> {
    let value = Some(Value::new(json.to_owned()).expect("a legal value"));
    let entry = Entry::default().successor(value, Attributes::default(), Timestamp::from_unix_ms(seq));
    let row = BatchRow {
        key: key(name),
        fence: Fence::default(),
        base: 0,
        previous: Previous::Overwritten,
        kept: Vec::new(),
        entry: Arc::new(entry),
        onto: None,
    };
    Arc::new(Batch { lane: LaneId::default(), seq, digest: seq, rows: vec![row] })
}

pub(crate) fn commit(backend: &impl CommitBatches, batch: &Arc<Batch>) -> Result<Vec<RowOutcome>, BackendError> {
    wait(backend.commit_batch(Arc::clone(batch)))
}

/// What is stored under a key, as text; `None` for nothing.
pub(crate) fn value(backend: &impl ReadEntries, name: &str) -> Option<String> {
    let entries = wait(backend.read_entries(vec![key(name)])).expect("a read");
    entries[0].value.as_ref().map(|value| String::from_utf8(value.json().to_vec()).expect("UTF-8"))
}

/// Writes values until the backend refuses one; returns how many were taken, the batch that was not, and why.
pub(crate) fn fill(backend: &impl Backend, json: &str, most: u64) -> (u64, Arc<Batch>, BackendError) {
    for seq in 1..=most {
        let batch = first_write(seq, &format!("k{seq}"), json);
        if let Err(error) = commit(backend, &batch) {
            return (seq - 1, batch, error);
        }
    }
    panic!("{most} values fitted where they must not");
}

/// This test binary, told to run one test of it: append it to a command that prepares its world.
pub(crate) fn child_arguments(command: &mut Command, binary: &Path, test: &str, dir: &Path) {
    command.arg(binary).args(["--ignored", "--exact", test, "--nocapture"]).env(CHILD_DIR, dir);
}

pub(crate) fn this_binary() -> PathBuf {
    std::env::current_exe().expect("the path of this test")
}

/// Where a child test works; `None` when it was not started by its parent.
pub(crate) fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}

/// Runs a command to its end; whatever keeps it from succeeding fails the test, a missing program included.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{:?} did not start: {error}", command.get_program()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    output
}

/// A child test must have run, not been filtered out.
pub(crate) fn succeed_as_test(command: &mut Command) {
    let output = succeed(command);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "the child test did not run: {text}");
}
