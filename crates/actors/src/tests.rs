//! The actors on real threads, with a backend that can be held, broken and inspected. Nothing sleeps: tests wait for
//! answers, or for the backend's signals.

mod answers;
mod deletions;
mod faults;
mod hand_over;
mod life_cycle;
mod looks;
mod lost_history;
mod messaging;
mod ownership;
mod passivation;
mod rates;
mod reads;
mod regressions;
mod shared_keys;
mod shares;
mod supervision;

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::Backend;
use clawstore_core::entry::Attributes;
use clawstore_core::ops::{CallResult, Increment, Reply, Request, Set};
use clawstore_core::{Entry, EntryKey, GameId, StoreId, StoreKind, Value};
use clawstore_testkit::{GatedBackend, ManualClock, MemoryBackend, SeededEntropy};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::call_port::ReplyTo;
use crate::game::Game;
use crate::process::{Config, Process};

/// One game on a memory backend behind a gate, with a clock that stands still.
struct World {
    memory: Arc<MemoryBackend>,
    gate: Arc<GatedBackend>,
    clock: Arc<ManualClock>,
    process: Arc<Process>,
    game: Arc<Game>,
}

impl World {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let memory = Arc::new(MemoryBackend::new());
        Self::over(Arc::clone(&memory), memory, config).await
    }

    /// On a backend that keeps its entries in `memory`.
    async fn over(memory: Arc<MemoryBackend>, backend: Arc<dyn Backend>, config: Config) -> Self {
        let gate = Arc::new(GatedBackend::new(backend));
        let clock = Arc::new(ManualClock::new(clawstore_core::clock::Timestamp::from_unix_ms(1_700_000_000_000)));
        let backend = Arc::clone(&gate) as Arc<dyn Backend>;
        let entropy = Arc::new(SeededEntropy::new(1));
        let process =
            Process::start(backend, Arc::clone(&clock) as _, entropy, Handle::current(), config).await.unwrap();
        let game = process.game(GameId::Number(1)).unwrap();
        Self { memory, gate, clock, process, game }
    }

    async fn call(&self, key: &str, request: Request) -> CallResult {
        self.game.call(&key_of(key), request).await
    }

    /// Submits without waiting, in order; all from one VM.
    fn submit(&self, vm: u64, op: u64, key: &str, request: Request) -> oneshot::Receiver<CallResult> {
        use clawstore_core::clock::Clock;
        use clawstore_core::key_machine::{VmId, Writer};
        let (reply, answer) = oneshot::channel();
        let writer = Writer { vm: VmId(vm), op };
        self.game.submit(&key_of(key), writer, self.clock.wall(), request, ReplyTo::Task(reply));
        answer
    }

    fn stored(&self, key: &str) -> Entry {
        self.memory.entry(&key_of(key))
    }
}

fn key_of(key: &str) -> EntryKey {
    let store = StoreId::new(GameId::Number(1), StoreKind::Standard, b"Store", b"global").unwrap();
    EntryKey::new(&Arc::new(store), key.as_bytes()).unwrap()
}

fn set(number: i64) -> Request {
    Request::Set(Set { value: Value::integer(number), attributes: Attributes::default() })
}

fn increment(delta: i64) -> Request {
    Request::Increment(Increment { delta, attributes: Attributes::default() })
}

fn number(result: CallResult) -> Option<i64> {
    match result.expect("the call succeeds") {
        Reply::Entry(entry) => entry.value.as_ref().and_then(Value::as_integer),
        _ => None,
    }
}

/// A bound for what must happen soon; only a hang meets it.
const SOON: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    let until = tokio::time::Instant::now() + SOON;
    crate::client::timeout_at(until, future).await.expect("it never happened")
}
