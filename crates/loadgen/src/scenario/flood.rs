//! One game floods; another saves as ever. Then the flood doubles.
//!
//! Owns: two games of one process, the latency of the calm one alone, beside each flood and beside twice that flood, in turns.
//! Does not own: the floods (`source`), sharing (`core/turns`, `actors/shares`).

mod source;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clawstore::limits::Limits;
use clawstore::{Clawstore, Config, DataStore, Database, Game, GameId};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::ScenarioOptions;
use crate::chaos::Db;
use crate::chaos::target::Server;
use crate::percentiles::{median, p99};
use source::{Flood, Source};

/// Turns alone, as many beside each flood, as many beside twice that flood.
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(5);
/// Saves of the calm game: 200 players, each once a second.
const CALM_PER_SECOND: u64 = 200;
/// Callers of the game that floods, each calling again as soon as it is answered.
const FLOOD: u64 = 1_024;
/// Beside the flood, to alone.
const RATIO_MAX: f64 = 2.0;
/// Beside twice the flood, to beside the flood.
const DOUBLED_MAX: f64 = 1.5;
/// Bytes of a large save: a thousand of them are more than half of what a game may have on its way, two thousand more than all.
const LARGE: usize = 40 * 1024;

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    match options.db {
        Db::Sqlite => {
            let dir = tempfile::Builder::new().prefix("clawstore-flood-").tempdir()?;
            flood(Database::directory(dir.path()), options)
        }
        Db::Postgres => {
            let server = Server::start()?;
            flood(Database::parse(&server.url())?, options)
        }
    }
}

/// The game that floods and the store of the one that does not.
struct Games {
    calm: DataStore,
    flooding: Game,
    runtime: Runtime,
}

fn flood(database: Database, options: &ScenarioOptions) -> Result<()> {
    let turn = options.seconds.map_or(TURN, Duration::from_secs);
    let callers = options.count.unwrap_or(FLOOD);
    let config = Config::default().limits(Limits::Fair);
    let store = Clawstore::builder().config(config).database(database).open()?;
    let calm = store.game(GameId::Number(1))?.data_store("Calm")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let games = Games { calm, flooding: store.game(GameId::Number(2))?, runtime };
    let mut missed = Vec::new();
    for (name, source, ratio_max) in [
        ("Rust callers", Source::Callers, Some(RATIO_MAX)),
        ("one script", Source::Script { padding: 0 }, None),
        ("one script, saves of 40 KB", Source::Script { padding: LARGE }, None),
    ] {
        missed.extend(games.beside(name, source, callers, turn, ratio_max)?);
    }
    if !missed.is_empty() {
        bail!("{}", missed.join("; "));
    }
    Ok(())
}

impl Games {
    /// Prints one line; returns which goals it missed.
    fn beside(
        &self,
        name: &str,
        source: Source,
        callers: u64,
        turn: Duration,
        ratio_max: Option<f64>,
    ) -> Result<Vec<String>> {
        // Each turn after this finds its keys owned.
        self.saves(Duration::from_secs(2))?;
        Flood::begin(source, &self.flooding, 2 * callers)?.end_after(turn)?;
        let (mut alone, mut once, mut twice) = (Vec::new(), (Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for _ in 0..TURNS {
            alone.push(self.saves(turn)?);
            for (callers, (latencies, rates)) in [(callers, &mut once), (2 * callers, &mut twice)] {
                let running = Flood::begin(source, &self.flooding, callers)?;
                latencies.push(self.saves(turn)?);
                rates.push(running.end()?);
            }
        }
        let (alone, beside, doubled) = (median(alone), median(once.0), median(twice.0));
        println!(
            "{name}: p99 of the calm game {alone:.2} ms alone, {beside:.2} ms beside {:.0} sets/s of the other ({:.2}), \
             {doubled:.2} ms beside {:.0} sets/s of twice as many callers ({:.2})",
            median(once.1),
            beside / alone,
            median(twice.1),
            doubled / beside
        );
        let goals = [("beside it", beside / alone, ratio_max), ("doubled", doubled / beside, Some(DOUBLED_MAX))];
        let misses = goals.into_iter().filter_map(|(what, ratio, most)| {
            let most = most.filter(|most| ratio > *most)?;
            Some(format!("{name}, {what}: more than {most} times"))
        });
        Ok(misses.collect())
    }

    /// The 99th percentile of the calm game's saves in a turn, in milliseconds.
    fn saves(&self, turn: Duration) -> Result<f64> {
        let took = self.runtime.block_on(save(&self.calm, turn))?;
        ensure!(!took.is_empty(), "nothing was saved in the turn");
        Ok(p99(took).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3))
    }
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
