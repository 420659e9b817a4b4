//! The demo: two games, four instances, players who come and go, a web handler, and an orderly end.
//!
//! Owns: the 60 Hz loop, the timetable of players, signals. Does not own: instances (`manager`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use clawstore::clock::Clock;
use clawstore::{Database, Game, GameId, SystemClock};
use embed_in_engine::{GameManager, Score, give_coins, leaderboard};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

const SCRIPT: &str = include_str!("../games/coins.luau");
/// This engine knows its games by UUID.
const GAMES: [GameId; 2] =
    [GameId::Uuid(0x51c0_ffee_0000_4000_8000_0000_0000_0001), GameId::Uuid(0x51c0_ffee_0000_4000_8000_0000_0000_0002)];
const INSTANCES_PER_GAME: usize = 2;
const NAMES: [&str; 4] = ["Ada", "Ben", "Cleo", "Dan"];
const TICK: Duration = Duration::from_nanos(1_000_000_000 / 60);
const TICKS_PER_SECOND: u64 = 60;
/// From the end of play until everything is saved.
const SHUTDOWN: Duration = Duration::from_secs(38);

#[derive(Debug, Parser)]
struct Arguments {
    /// Where the data is.
    #[arg(long, default_value = "./clawstore-data")]
    db: String,
    /// How long to play; ends earlier on SIGINT or SIGTERM.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Threads that tick instances.
    #[arg(long, default_value_t = 4)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,ractor=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    // The engine's web server would run here. The store does not need it: it has a runtime of its own.
    let web = Runtime::new()?;

    let mut manager = GameManager::open(Database::parse(&arguments.db)?, arguments.threads)?;
    let instances = start_instances(&mut manager)?;
    play(&mut manager, &instances, &web, arguments.seconds * TICKS_PER_SECOND, &stop)?;

    println!("closing with {} players", manager.instances().map(|instance| instance.players().len()).sum::<usize>());
    let report = manager.shut_down(SHUTDOWN);
    println!("drained: {} acked, {} failed, {} unknown", report.acked, report.failed, report.unknown);
    Ok(())
}

fn start_instances(manager: &mut GameManager) -> anyhow::Result<Vec<u64>> {
    GAMES.iter().flat_map(|game| [game; INSTANCES_PER_GAME]).map(|game| manager.start(*game, SCRIPT)).collect()
}

fn play(
    manager: &mut GameManager,
    instances: &[u64],
    web: &Runtime,
    ticks: u64,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let clock = SystemClock::start();
    let mut next = clock.now();
    for tick in 0..ticks {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if tick.is_multiple_of(TICKS_PER_SECOND) {
            move_players(manager, instances, tick / TICKS_PER_SECOND)?;
        }
        if tick % (3 * TICKS_PER_SECOND) == 2 * TICKS_PER_SECOND {
            visit_web(web, manager.game(GAMES[0])?);
        }
        for id in manager.tick() {
            println!("instance {id} was empty and is gone");
        }
        next = next + TICK;
        while !next.since(clock.now()).is_zero() {
            std::thread::park_timeout(next.since(clock.now()));
        }
    }
    Ok(())
}

/// Each second one player joins each instance, until all are there; after five seconds the first instance empties.
fn move_players(manager: &mut GameManager, instances: &[u64], second: u64) -> anyhow::Result<()> {
    for (index, id) in instances.iter().enumerate() {
        let Some(instance) = manager.instance(*id) else { continue };
        let user_id = |player: usize| 1000 + (index * NAMES.len() + player) as i64;
        let player = usize::try_from(second)?;
        if let Some(name) = NAMES.get(player) {
            instance.join(user_id(player), &format!("{name}{}", index + 1))?;
        } else if index == 0 && player < 2 * NAMES.len() {
            instance.leave(user_id(player - NAMES.len()))?;
        }
    }
    Ok(())
}

/// A request from outside: it neither waits for the game thread, nor the game thread for it.
fn visit_web(web: &Runtime, game: Game) {
    web.spawn(async move {
        let gift = give_coins(&game, 1000, 100.0).await;
        match (gift, leaderboard(&game).await) {
            (Ok(profile), Ok(top)) => {
                println!("web: 100 coins for player 1000, now {}; {}", profile.coins, shown(&top))
            }
            (Err(error), _) | (_, Err(error)) => println!("web: {error}"),
        }
    });
}

fn shown(top: &[Score]) -> String {
    let lines: Vec<_> = top.iter().map(|score| format!("{} {}", score.name, score.coins)).collect();
    if lines.is_empty() {
        "nobody on the leaderboard yet".to_owned()
    } else {
        format!("leaderboard: {}", lines.join(", "))
    }
}
