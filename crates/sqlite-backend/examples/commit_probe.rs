//! Commits one row at a time and writes one line to standard output after each answer: `Committed`, or the kind of the
//! error.
//!
//! `tests/sqlite/durability.rs` runs it under strace, once built as usual and once with `unsafe-no-sync`.
//! Arguments: database directory, number of commits.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clawstore_core::backend::{Batch, BatchRow, CommitBatches, Fence, LaneId, Previous};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_sqlite::{SqliteBackend, SqliteOptions};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(commits)) = (arguments.next(), arguments.next()) else {
        return Err("usage: commit_probe DIR COMMITS".into());
    };
    let backend = SqliteBackend::open(Path::new(&dir), &SqliteOptions::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let store = Arc::new(StoreId::new(GameId::Number(1), StoreKind::Standard, b"Probe", b"global")?);
    let key = EntryKey::new(&store, b"key")?;
    let mut stored = Entry::default();
    for seq in 1..=commits.parse()? {
        let value = Some(Value::integer(seq as i64));
        let entry = stored.successor(value, Attributes::default(), Timestamp::from_unix_ms(seq));
        let row = BatchRow {
            key: key.clone(),
            fence: Fence::default(),
            base: stored.revision,
            previous: Previous::Overwritten,
            kept: Vec::new(),
            entry: Arc::new(entry.clone()),
            onto: None,
        };
        let batch = Arc::new(Batch { lane: LaneId::default(), seq, digest: seq, rows: vec![row] });
        let answer = match runtime.block_on(backend.commit_batch(batch)) {
            Ok(outcomes) => {
                stored = entry;
                format!("{:?}\n", outcomes[0])
            }
            Err(error) => format!("{:?}\n", error.kind),
        };
        // One call, so that the trace shows it as one line.
        std::io::stdout().write_all(answer.as_bytes())?;
    }
    Ok(())
}
