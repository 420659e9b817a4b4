//! The process that is killed, or that outlives what is done to its database.
//!
//! Owns: opening the store, saying `open`, and rounds of callers: tasks here, scripts in `scripts`. A round ends when the
//! harness says `pause` and every call is answered and settled; then it says `idle`, with how often the database was found to
//! have lost what was acknowledged, and waits for `go <round>`. One of several servers is told `go <number> <epoch>`, its first
//! round too, and `sweep <number> <epoch> <turn>`: write each key of your share once. Does not own: which calls they make (`calls`,
//! `mix`), its end.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clawstore::{Clawstore, DataStore, Database, Game, GameId, Outcome, StoreError};
use clawstore_core::backend::Backend;
use clawstore_postgres::{PgBackend, PgSettings};
use clawstore_sqlite::{SqliteBackend, SqliteOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::calls::{Answer, Call, Caller, Journal, Kind, Load, TASKS, VMS, caller_of};
use super::mix::Mix;
use super::mutant;
use super::scripts;
use crate::unlimited;

/// The game and the store that all calls are about.
pub(crate) const GAME: GameId = GameId::Number(1);
pub(crate) const STORE: &str = "Chaos";

/// Number of the caller that sweeps: beyond scripts and tasks.
const SWEEPER: u64 = 0xffe;
/// Its calls at a time.
const SWEEPS_AT_ONCE: usize = 128;

/// So little that most cold keys have left memory before they are called again.
const CACHE_BYTES: usize = 2 * 1024 * 1024;
/// Between two looks at what is not settled yet: there is no signal for it outside of the store.
const LOOK: Duration = Duration::from_millis(2);

/// How a victim is started by the harness.
#[derive(Debug, clap::Args)]
pub struct VictimOptions {
    /// Directory of the store, or URL of its database.
    #[arg(long)]
    pub db: String,
    /// Seed of the run.
    #[arg(long)]
    pub seed: u64,
    /// Number of its first round: calls of different rounds are told apart by it. None: it waits for `go`.
    #[arg(long)]
    pub round: Option<u64>,
    /// A fault to build in.
    #[arg(long)]
    pub mutant: Option<super::Mutant>,
    /// It is one of several servers, with this share of the load.
    #[command(flatten)]
    pub(crate) mix: Mix,
}

/// What the harness asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// A round, by its number alone.
    Round(u64),
    /// Calls of one of several servers.
    Go { number: u64, epoch: u64 },
    /// One write of each key.
    Sweep { number: u64, epoch: u64, turn: u64 },
}

impl Order {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let word = words.next()?;
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        match (word, &numbers[..]) {
            ("go", &[number]) => Some(Self::Round(number)),
            ("go", &[number, epoch]) => Some(Self::Go { number, epoch }),
            ("sweep", &[number, epoch, turn]) => Some(Self::Sweep { number, epoch, turn }),
            _ => None,
        }
    }
}

/// Is the call of this number one of a sweep?
pub(crate) fn is_sweep(id: u64) -> bool {
    caller_of(id) & 0xfff == SWEEPER
}

/// Opens the store and calls it until the process is killed, or its input ends while it is paused.
///
/// # Errors
/// If the store cannot be opened, or a caller ends.
pub fn run(options: &VictimOptions) -> Result<()> {
    let journal = Arc::new(Journal::stdout()?);
    let config = unlimited().cache_bytes(CACHE_BYTES).idle(Duration::from_secs(1));
    let store = Clawstore::builder().config(config).database(database(options)?).open()?;
    let game = store.game(GAME)?;
    journal.line("open\n");
    let paused = Arc::new(AtomicBool::new(false));
    let orders = listen(options.round, &paused)?;
    let scripts = start_scripts(&game, &journal)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for order in orders {
        match order {
            Order::Round(round) => {
                let load = Load::new(options.seed, round, &paused);
                call(&game, &journal, &load, &scripts, &runtime)?;
            }
            Order::Go { number, epoch } => {
                let load = Load::of(options.seed, number, epoch, Some(options.mix), &paused);
                call(&game, &journal, &load, &scripts, &runtime)?;
            }
            Order::Sweep { number, epoch, turn } => {
                let load = Load::of(options.seed, number, epoch, Some(options.mix), &paused);
                runtime.block_on(sweep(&game, &journal, &load, options.mix.sweep(turn).collect()))?;
            }
        }
        while store.pending_bytes() > 0 {
            thread::sleep(LOOK);
        }
        journal.line(&format!("idle {}\n", store.history_losses()));
    }
    Ok(())
}

/// A round of calls, by tasks and scripts, until it is paused and every call is answered.
fn call(
    game: &Game,
    journal: &Arc<Journal>,
    load: &Arc<Load>,
    scripts: &[(Sender<Caller>, Receiver<()>)],
    runtime: &Runtime,
) -> Result<()> {
    for (number, (callers, _)) in (0..).zip(scripts) {
        callers.send(Caller::new(load, number)).context("a VM has ended")?;
    }
    runtime.block_on(call_until_paused(game, journal, load))?;
    for (_, idle) in scripts {
        idle.recv().context("a VM has ended")?;
    }
    Ok(())
}

fn database(options: &VictimOptions) -> Result<Database> {
    let Some(mutant) = options.mutant else { return Ok(Database::parse(&options.db)?) };
    let honest: Arc<dyn Backend> = if options.db.contains("://") {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let opened = PgBackend::open(options.db.parse()?, PgSettings::default());
        let backend = runtime.block_on(opened)?;
        // Its connections live on it, to the end of the process.
        std::mem::forget(runtime);
        Arc::new(backend)
    } else {
        Arc::new(SqliteBackend::open(options.db.as_ref(), &SqliteOptions::default())?)
    };
    Ok(Database::Custom(mutant::break_backend(mutant, honest)))
}

/// Hears `pause`, which takes effect at once, and orders. A first round goes by itself.
fn listen(first: Option<u64>, paused: &Arc<AtomicBool>) -> Result<Receiver<Order>> {
    let (tell, orders) = channel();
    if let Some(round) = first {
        tell.send(Order::Round(round))?;
    }
    let paused = Arc::clone(paused);
    thread::Builder::new().name("commands".into()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let order = Order::parse(&line);
            paused.store(order.is_none(), Ordering::Release);
            if order.is_some_and(|order| tell.send(order).is_err()) {
                return;
            }
        }
    })?;
    Ok(orders)
}

/// For each VM: where its callers go, and where it tells that a round's last call is answered.
fn start_scripts(game: &Game, journal: &Arc<Journal>) -> Result<Vec<(Sender<Caller>, Receiver<()>)>> {
    let mut scripts = Vec::new();
    for _ in 0..VMS {
        let ((callers, next), (ended, idle)) = (channel(), channel());
        let (game, journal) = (game.clone(), Arc::clone(journal));
        let body = move || {
            // The harness sees the end of the process, and this line among its output.
            if let Err(error) = scripts::run(&game, &journal, next, &ended) {
                journal.line(&format!("script: {error}\n"));
                std::process::exit(1);
            }
        };
        thread::Builder::new().name("scripts".into()).spawn(body)?;
        scripts.push((callers, idle));
    }
    Ok(scripts)
}

async fn call_until_paused(game: &Game, journal: &Arc<Journal>, load: &Arc<Load>) -> Result<()> {
    let store = game.data_store(STORE)?;
    let mut tasks = JoinSet::new();
    for number in VMS..VMS + TASKS {
        let (store, journal, mut caller) = (store.clone(), Arc::clone(journal), Caller::new(load, number));
        tasks.spawn(async move {
            while let Some(call) = caller.next() {
                told(&store, &journal, &call).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// Writes these keys once each, many at a time.
async fn sweep(game: &Game, journal: &Arc<Journal>, load: &Arc<Load>, keys: Vec<u64>) -> Result<()> {
    let store = game.data_store(STORE)?;
    let mut caller = Caller::new(load, SWEEPER);
    let (mut tasks, mut calls) = (JoinSet::new(), keys.into_iter().map(|key| caller.write_of(key)));
    loop {
        while tasks.len() < SWEEPS_AT_ONCE
            && let Some(call) = calls.next()
        {
            let (store, journal) = (store.clone(), Arc::clone(journal));
            tasks.spawn(async move { told(&store, &journal, &call).await });
        }
        let Some(ended) = tasks.join_next().await else { return Ok(()) };
        ended?;
    }
}

/// Makes a call, told before it and after it.
async fn told(store: &DataStore, journal: &Journal, call: &Call) {
    journal.called(call);
    let answer = answer_of(make(store, call).await);
    journal.answered(call.id, &answer);
}

async fn make(store: &DataStore, call: &Call) -> Result<i64, StoreError> {
    let key = call.key.as_str();
    match call.kind {
        Kind::Increment => store.increment(key, 1).await,
        Kind::Bump => {
            let stored = store.update::<i64>(key, |value| Some(value.unwrap_or(0) + 1)).await?;
            Ok(stored.map_or(0, |stored| stored.value))
        }
        Kind::Append => {
            let append = |list: Option<Vec<u64>>| {
                let mut list = list.unwrap_or_default();
                list.push(call.id);
                Some(list)
            };
            store.update(key, append).await.map(|_| 0)
        }
        Kind::Set => store.set(key, &call.id).await.map(|_| 0),
        Kind::Get => Ok(store.get::<i64>(key).await?.map_or(0, |stored| stored.value)),
        Kind::Read => Ok(store.get_uncached::<i64>(key).await?.map_or(0, |stored| stored.value)),
        Kind::Last => {
            let stored = store.get_uncached::<Vec<i64>>(key).await?;
            Ok(stored.and_then(|stored| stored.value.last().copied()).unwrap_or(0))
        }
    }
}

fn answer_of(result: Result<i64, StoreError>) -> Answer {
    match result {
        Ok(value) => Answer::Ok(value),
        Err(StoreError::Call(error)) if error.outcome == Outcome::Unknown => Answer::Unknown,
        Err(error) => Answer::Fail(error.to_string()),
    }
}
