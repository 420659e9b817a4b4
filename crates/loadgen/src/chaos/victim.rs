//! The process that is killed, or that outlives what is done to its database.
//!
//! Owns: opening the store, saying `open`, and rounds of callers: tasks here, scripts in `scripts`. A round ends when the
//! harness says `pause` and every call is answered and settled; then it says `idle`, and waits for `go <round>`. Does not
//! own: which calls they make (`calls`), its end.

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
use tokio::task::JoinSet;

use super::calls::{Answer, Call, Caller, Journal, Kind, Load, TASKS, VMS};
use super::mutant::AckBeforeCommit;
use super::scripts;
use crate::unlimited;

/// The game and the store that all calls are about.
pub(crate) const GAME: GameId = GameId::Number(1);
pub(crate) const STORE: &str = "Chaos";

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
    /// Number of its first round: calls of different rounds are told apart by it.
    #[arg(long)]
    pub round: u64,
    /// A fault to build in.
    #[arg(long)]
    pub mutant: Option<super::Mutant>,
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
    let rounds = listen(options.round, &paused)?;
    let scripts = start_scripts(&game, &journal)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for round in rounds {
        let load = Load::new(options.seed, round, &paused);
        for (number, (callers, _)) in (0..).zip(&scripts) {
            callers.send(Caller::new(&load, number)).context("a VM has ended")?;
        }
        runtime.block_on(call_until_paused(&game, &journal, &load))?;
        for (_, idle) in &scripts {
            idle.recv().context("a VM has ended")?;
        }
        while store.pending_bytes() > 0 {
            thread::sleep(LOOK);
        }
        journal.line("idle\n");
    }
    Ok(())
}

fn database(options: &VictimOptions) -> Result<Database> {
    if options.mutant.is_none() {
        return Ok(Database::parse(&options.db)?);
    }
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
    Ok(Database::Custom(Arc::new(AckBeforeCommit::new(honest))))
}

/// Hears `pause`, which takes effect at once, and `go <round>`. The first round goes by itself.
fn listen(first: u64, paused: &Arc<AtomicBool>) -> Result<Receiver<u64>> {
    let (go, rounds) = channel();
    go.send(first)?;
    let paused = Arc::clone(paused);
    thread::Builder::new().name("commands".into()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let round = line.strip_prefix("go ").and_then(|round| round.parse().ok());
            paused.store(round.is_none(), Ordering::Release);
            if round.is_some_and(|round| go.send(round).is_err()) {
                return;
            }
        }
    })?;
    Ok(rounds)
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
                journal.called(&call);
                let answer = answer_of(make(&store, &call).await);
                journal.answered(call.id, &answer);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
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
    }
}

fn answer_of(result: Result<i64, StoreError>) -> Answer {
    match result {
        Ok(value) => Answer::Ok(value),
        Err(StoreError::Call(error)) if error.outcome == Outcome::Unknown => Answer::Unknown,
        Err(error) => Answer::Fail(error.to_string()),
    }
}
