//! The process that is killed.
//!
//! Owns: opening the store, saying `open`, and callers that never stop: tasks here, scripts in `scripts`. Does not own:
//! which calls they make (`calls`), its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clawstore::{Clawstore, Config, DataStore, Database, Game, GameId, Outcome, StoreError};
use clawstore_sqlite::{SqliteBackend, SqliteOptions};
use tokio::task::JoinSet;

use super::calls::{Answer, Call, Caller, Journal, Kind, Load, TASKS, VMS};
use super::mutant::AckBeforeCommit;
use super::scripts;

/// The game and the store that all calls are about.
pub(crate) const GAME: GameId = GameId::Number(1);
pub(crate) const STORE: &str = "Chaos";

/// So little that most cold keys have left memory before they are called again.
const CACHE_BYTES: usize = 2 * 1024 * 1024;

/// How a victim is started by the harness.
#[derive(Debug, clap::Args)]
pub struct VictimOptions {
    /// Directory of the store.
    #[arg(long)]
    pub db: PathBuf,
    /// Seed of the run.
    #[arg(long)]
    pub seed: u64,
    /// Number of this victim: calls of different victims are told apart by it.
    #[arg(long)]
    pub round: u64,
    /// A fault to build in.
    #[arg(long)]
    pub mutant: Option<super::Mutant>,
}

/// Opens the store and calls it until the process is killed.
///
/// # Errors
/// If the store cannot be opened, or a caller ends.
pub fn run(options: &VictimOptions) -> Result<()> {
    let journal = Arc::new(Journal::stdout()?);
    let database = match options.mutant {
        None => Database::directory(&options.db),
        Some(super::Mutant::AckBeforeCommit) => {
            let honest = SqliteBackend::open(&options.db, &SqliteOptions::default())?;
            Database::Custom(Arc::new(AckBeforeCommit::new(Arc::new(honest))))
        }
    };
    let config = Config::default().cache_bytes(CACHE_BYTES).idle(Duration::from_secs(1));
    let store = Clawstore::builder().config(config).database(database).open()?;
    let game = store.game(GAME)?;
    journal.line("open\n");
    let load = Load::new(options.seed, options.round);
    for number in 0..VMS {
        let (game, journal, caller) = (game.clone(), Arc::clone(&journal), Caller::new(&load, number));
        let body = move || {
            // The harness sees the end of the process, and this line among its output.
            if let Err(error) = scripts::run(&game, &journal, caller) {
                journal.line(&format!("script: {error}\n"));
                std::process::exit(1);
            }
        };
        thread::Builder::new().name("scripts".into()).spawn(body)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(call_until_killed(&game, &journal, &load))
}

async fn call_until_killed(game: &Game, journal: &Arc<Journal>, load: &Arc<Load>) -> Result<()> {
    let store = game.data_store(STORE)?;
    let mut tasks = JoinSet::new();
    for number in VMS..VMS + TASKS {
        let (store, journal, mut caller) = (store.clone(), Arc::clone(journal), Caller::new(load, number));
        tasks.spawn(async move {
            loop {
                let call = caller.next();
                journal.called(&call);
                let answer = answer_of(make(&store, &call).await);
                journal.answered(call.id, &answer);
            }
        });
    }
    let ended: Option<Result<(), _>> = tasks.join_next().await;
    ended.context("there are no callers")??;
    bail!("a caller has ended")
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
