//! One game floods; another saves as ever.
//!
//! Owns: two games of one process, the latency of the calm one alone and beside the flood, in turns. Does not own: sharing
//! (`core/write_batch`, the lanes).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use clawstore::{Clawstore, DataStore, Database, GameId};
use tokio::task::JoinSet;

use super::ScenarioOptions;
use crate::chaos::target::Server;
use crate::percentiles::{median, p99};

/// Turns alone, and as many beside the flood.
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(5);
/// Saves of the calm game: 200 players, each once a second.
const CALM_PER_SECOND: u64 = 200;
/// Callers of the game that floods, each calling again as soon as it is answered.
const FLOOD: u64 = 1_024;
const FLOOD_KEYS: u64 = 20_000;
const RATIO_MAX: f64 = 2.0;

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let turn = options.seconds.map_or(TURN, Duration::from_secs);
    let callers = options.count.unwrap_or(FLOOD);
    let server = Server::start()?;
    let store = Clawstore::builder().database(Database::parse(&server.url())?).open()?;
    let calm = store.game(GameId::Number(1))?.data_store("Calm")?;
    let flood = store.game(GameId::Number(2))?.data_store("Flood")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Each turn after this finds its keys owned.
    runtime.block_on(save(&calm, Duration::from_secs(2)))?;
    Flood::begin(&flood, callers)?.end()?;
    let (mut alone, mut beside, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        alone.push(p99_ms(runtime.block_on(save(&calm, turn))?));
        let running = Flood::begin(&flood, callers)?;
        beside.push(p99_ms(runtime.block_on(save(&calm, turn))?));
        rates.push(running.end()?);
    }
    let (alone, beside) = (median(alone), median(beside));
    println!(
        "p99 of the calm game: {alone:.2} ms alone, {beside:.2} ms beside {:.0} sets/s of the other; ratio {:.2}",
        median(rates),
        beside / alone
    );
    ensure!(beside <= alone * RATIO_MAX, "more than {RATIO_MAX} times");
    Ok(())
}

/// How long each save took.
async fn save(calm: &DataStore, turn: Duration) -> Result<Vec<Duration>> {
    let (start, mut saves) = (Instant::now(), JoinSet::new());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(CALM_PER_SECOND)?);
    let mut number = 0;
    while start.elapsed() < turn {
        ticks.tick().await;
        number += 1;
        let (calm, key) = (calm.clone(), format!("player_{}", number % CALM_PER_SECOND));
        saves.spawn(async move {
            let start = Instant::now();
            calm.set(&key, &number).await.map(|_| start.elapsed())
        });
    }
    let mut took = Vec::new();
    while let Some(ended) = saves.join_next().await {
        took.push(ended??);
    }
    Ok(took)
}

/// Callers on a thread of their own.
struct Flood {
    stopped: Arc<AtomicBool>,
    sets: Arc<AtomicU64>,
    begun: Instant,
    thread: thread::JoinHandle<Result<()>>,
}

impl Flood {
    fn begin(store: &DataStore, callers: u64) -> Result<Self> {
        let (stopped, sets) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (store, is_stopped, count) = (store.clone(), Arc::clone(&stopped), Arc::clone(&sets));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let body = move || {
            runtime.block_on(async {
                let mut tasks = JoinSet::new();
                for _ in 0..callers {
                    let (store, stopped, count) = (store.clone(), Arc::clone(&is_stopped), Arc::clone(&count));
                    tasks.spawn(async move {
                        while !stopped.load(Ordering::Relaxed) {
                            let number = count.fetch_add(1, Ordering::Relaxed);
                            store.set(&format!("key_{}", number % FLOOD_KEYS), &number).await?;
                        }
                        anyhow::Ok(())
                    });
                }
                while let Some(ended) = tasks.join_next().await {
                    ended??;
                }
                Ok(())
            })
        };
        let thread = thread::Builder::new().name("flood".into()).spawn(body)?;
        Ok(Self { stopped, sets, begun: Instant::now(), thread })
    }

    /// Sets a second.
    fn end(self) -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a few millions")]
        let rate = self.sets.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64();
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the flood has panicked"))??;
        Ok(rate)
    }
}

fn p99_ms(took: Vec<Duration>) -> f64 {
    p99(took).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}
