//! Messages between processes: NOTIFY and LISTEN beside beats.

use std::sync::Arc;

use clawstore_core::backend::{Backend, Batch, Beat, CarryMessages, CommitBatches, LaneId, RowOutcome};
use clawstore_postgres::PgBackend;
use clawstore_testkit::postgres::Database;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet};

use crate::support::{ME, ask, batch, block_on, connect, first, key, next, open_here, row, run, until, write_new};

/// A process that listens: what it hears, in order.
struct Ear {
    backend: Arc<PgBackend>,
    heard: mpsc::UnboundedReceiver<String>,
    listening: AbortHandle,
}

impl Ear {
    async fn open(database: &Database) -> Self {
        let backend = Arc::new(open_here(database).await);
        let (sender, heard) = mpsc::unbounded_channel();
        let listener = Arc::clone(&backend);
        let sink = move |payload: &str| drop(sender.send(payload.to_owned()));
        let listening = async move { listener.messages().unwrap().listen(Box::new(sink)).await };
        let listening = tokio::task::spawn_local(listening).abort_handle();
        let mut ear = Self { backend, heard, listening };
        ear.wait().await;
        ear
    }

    fn carrier(&self) -> &dyn CarryMessages {
        self.backend.messages().unwrap()
    }

    /// Until it listens: it hears itself.
    async fn wait(&mut self) {
        for attempt in 0.. {
            let probe = format!("probe {attempt}");
            // One that fails is not heard either.
            let _ = self.carrier().publish(vec![probe.clone()]).await;
            tokio::task::yield_now().await;
            while let Ok(heard) = self.heard.try_recv() {
                if heard == probe {
                    return;
                }
            }
        }
    }

    async fn say(&self, texts: &[String]) {
        self.carrier().publish(texts.to_vec()).await.unwrap();
    }

    /// The next that it hears which is no probe.
    async fn next(&mut self) -> String {
        loop {
            let heard = self.heard.recv().await.unwrap();
            if !heard.starts_with("probe ") {
                return heard;
            }
        }
    }

    async fn beat(&self) -> bool {
        let beat = Beat::new(ME, Vec::new());
        self.backend.leases().unwrap().beat(beat).await.unwrap().alive
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}

fn in_one_thread(test: impl Future<Output = ()>) {
    block_on(LocalSet::new().run_until(test));
}

#[test]
fn what_one_process_says_all_hear_in_order() {
    let database = Database::create();
    in_one_thread(async {
        let (mut a, mut b) = (Ear::open(&database).await, Ear::open(&database).await);
        for from in (0..1_000).step_by(10) {
            a.say(&numbered(from, from + 10)).await;
        }
        for expected in numbered(0, 1_000) {
            assert_eq!(b.next().await, expected);
            assert_eq!(a.next().await, expected, "the publisher hears itself: `Arrivals` tells it apart");
        }
        b.say(&["ü".repeat(3_999)]).await;
        assert_eq!(a.next().await.len(), 7_998);
    });
}

/// However it listens and sends (`decisions.md` 16).
#[test]
fn listening_needs_no_fifth_connection() {
    let database = Database::create();
    in_one_thread(async {
        let mut other = connect(&database).await;
        let ear = Ear::open(&database).await;
        write_new(&ear.backend, &[key("k")], &first("1")).await;
        let lane = LaneId { incarnation: ME, number: 1 };
        let second = Arc::new(Batch { lane, seq: 1, digest: 1, rows: Vec::new() });
        ear.backend.commit_batch(second).await.unwrap();
        ear.say(&numbered(0, 10)).await;
        assert!(ear.beat().await);
        let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name = 'clawstore'";
        assert_eq!(ask::<i64>(&mut other, count).await, 4);
        ear.listening.abort();
        ear.backend.close().await;
        until(&mut other, count, 0).await;
    });
}

/// Each connection ends, again and again: it listens again, and says what was lost to nobody twice.
#[test]
fn a_connection_that_was_ended_listens_again() {
    let database = Database::create();
    in_one_thread(async {
        let mut other = connect(&database).await;
        let (a, mut b) = (Ear::open(&database).await, Ear::open(&database).await);
        a.backend.leases().unwrap().join(ME).await.unwrap();
        for round in 0..5 {
            run(
                &mut other,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() \
                 AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            )
            .await;
            assert!(a.beat().await, "it is not held up");
            b.wait().await;
            a.say(&[round.to_string()]).await;
            assert_eq!(b.next().await, round.to_string());
        }
    });
}

/// A call that is given up on costs the session, and whoever listens has the next.
#[test]
fn a_call_that_is_dropped_costs_messages_no_more_than_a_moment() {
    let database = Database::create();
    in_one_thread(async {
        let mut other = connect(&database).await;
        let mut ear = Ear::open(&database).await;
        ear.backend.leases().unwrap().join(ME).await.unwrap();
        run(&mut other, "BEGIN; LOCK TABLE clawstore.incarnation IN ACCESS EXCLUSIVE MODE").await;
        const HANGING: &str =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'clawstore.incarnation'::regclass";
        tokio::select! {
            alive = ear.beat() => panic!("it must hang: {alive}"),
            () = until(&mut other, HANGING, 1) => {}
        }
        ear.wait().await;
        run(&mut other, "COMMIT").await;
        assert!(ear.beat().await);
        ear.say(&numbered(0, 1)).await;
        assert_eq!(ear.next().await, "0");
    });
}

/// Messages as fast as they go, both ways: each beat and each batch is in time all the same, and nothing is lost.
#[test]
fn a_flood_of_messages_delays_no_beat_and_no_batch() {
    let database = Database::create();
    in_one_thread(async {
        let (mut a, mut b) = (Ear::open(&database).await, Ear::open(&database).await);
        write_new(&a.backend, &[key("k")], &first("1")).await;
        let flood = |ear: &Ear| {
            let backend = Arc::clone(&ear.backend);
            tokio::task::spawn_local(async move {
                for from in (0..).step_by(32) {
                    let texts = (from..from + 32).map(|number| format!("{number:07500}")).collect();
                    backend.messages().unwrap().publish(texts).await.unwrap();
                }
            })
        };
        let floods = [flood(&a), flood(&b)];
        let mut entry = first("1");
        for seq in 2..=40 {
            // Late, it would be an error.
            assert!(a.beat().await);
            let after = next(&entry, None);
            let rows = vec![row(&key("k"), seq - 1, &after)];
            assert_eq!(a.backend.commit_batch(batch(seq, rows)).await, Ok(vec![RowOutcome::Committed]));
            entry = after;
        }
        for (ear, other) in [(&mut a, 1), (&mut b, 0)] {
            // Each payload comes from both: they are told apart by their order.
            let mut expected = [0, 0];
            while expected[0] < 64 || expected[1] < 64 {
                let number: usize = ear.next().await.parse().unwrap();
                let from = expected.iter().position(|next| *next == number);
                expected[from.unwrap_or_else(|| panic!("{number} in place of {expected:?}, {other}"))] += 1;
            }
        }
        floods.iter().for_each(tokio::task::JoinHandle::abort);
    });
}
