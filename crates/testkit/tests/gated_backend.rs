//! The gate does as it is told, and its signals come when they should.

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::{
    BackendErrorKind, Batch, BatchRow, CommitBatches, Fence, LaneId, Previous, ReadEntries, RowOutcome,
};
use clawstore_core::clock::Timestamp;
use clawstore_core::{Attributes, Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_testkit::conformance::run;
use clawstore_testkit::{GatedBackend, MemoryBackend};

fn setup() -> (MemoryBackend, GatedBackend) {
    let memory = MemoryBackend::new();
    (memory.clone(), GatedBackend::new(Arc::new(memory)))
}

fn key(name: &str) -> EntryKey {
    let store = StoreId::new(GameId::Number(1), StoreKind::Standard, b"Coins", b"global").expect("legal");
    EntryKey::new(&Arc::new(store), name.as_bytes()).expect("legal")
}

fn batch(seq: u64, name: &str) -> Arc<Batch> {
    let at = Timestamp::from_unix_ms(1);
    let entry = Arc::new(Entry::default().successor(Some(Value::integer(1)), Attributes::default(), at));
    let (fence, previous) = (Fence::default(), Previous::Overwritten);
    let row = BatchRow { key: key(name), fence, base: 0, previous, kept: Vec::new(), entry, onto: None };
    Arc::new(Batch { lane: LaneId::default(), seq, digest: seq, rows: vec![row] })
}

#[test]
fn a_held_commit_is_seen_and_waits() {
    run(async {
        let (memory, gate) = setup();
        gate.hold();
        let watch = async {
            gate.wait_commits_started(1).await;
            assert_eq!((memory.entry(&key("a")).revision, *gate.commits_finished().borrow()), (0, 0));
            gate.release();
        };
        let (answer, ()) = tokio::join!(gate.commit_batch(batch(1, "a")), watch);
        assert_eq!(answer, Ok(vec![RowOutcome::Committed]));
        gate.wait_commits_finished(1).await;
        assert_eq!((memory.entry(&key("a")).revision, gate.batches().len()), (1, 1));
    });
}

#[test]
fn planned_failures_come_in_order_and_end() {
    run(async {
        let (memory, gate) = setup();
        gate.fail_commits(1, BackendErrorKind::Unavailable);
        gate.lose_replies(1);
        let refused = gate.commit_batch(batch(1, "a")).await.expect_err("planned");
        assert_eq!((refused.kind, memory.entry(&key("a")).revision), (BackendErrorKind::Unavailable, 0));
        let lost = gate.commit_batch(batch(1, "a")).await.expect_err("planned");
        assert_eq!((lost.kind, memory.entry(&key("a")).revision), (BackendErrorKind::Unknown, 1));
        assert_eq!(gate.commit_batch(batch(1, "a")).await, Ok(vec![RowOutcome::Committed]), "settled");
    });
}

#[test]
fn poison_fails_the_whole_batch_until_healed() {
    run(async {
        let (memory, gate) = setup();
        gate.poison(|key| &*key.key == "bad");
        let mut mixed = Batch::clone(&batch(1, "good"));
        mixed.rows.extend(batch(1, "bad").rows.iter().cloned());
        let error = gate.commit_batch(Arc::new(mixed)).await.expect_err("poisoned");
        assert_eq!((error.kind, memory.entry(&key("good")).revision), (BackendErrorKind::Invalid, 0));
        assert_eq!(gate.commit_batch(batch(1, "good")).await, Ok(vec![RowOutcome::Committed]));
        gate.heal();
        assert_eq!(gate.commit_batch(batch(2, "bad")).await, Ok(vec![RowOutcome::Committed]));
    });
}

#[test]
fn reads_fail_wait_and_are_counted() {
    run(async {
        let (_, gate) = setup();
        gate.fail_reads(1, BackendErrorKind::Corrupt);
        let error = gate.read_entries(vec![key("a"), key("b")]).await.expect_err("planned");
        assert_eq!((error.kind, gate.keys_read()), (BackendErrorKind::Corrupt, 2));
        gate.hold_reads();
        let mut read = gate.read_entries(vec![key("a")]);
        tokio::select! {
            biased;
            _ = &mut read => panic!("answered while it was held"),
            () = gate.wait_reads_started(2) => {}
        }
        gate.release_reads();
        assert_eq!(read.await, Ok(vec![Entry::default()]));
    });
}

#[test]
fn a_slow_commit_takes_its_time() {
    run(async {
        let (_, gate) = setup();
        // Under any deadline of a test, and still longer than the wait beside it.
        gate.hold_commits(Duration::from_secs(3_600));
        let mut commit = gate.commit_batch(batch(1, "a"));
        tokio::select! {
            biased;
            _ = &mut commit => panic!("answered at once"),
            () = gate.wait_commits_started(1) => {}
        }
        gate.heal();
        assert_eq!(*gate.commits_finished().borrow(), 0);
    });
}
