//! The program: a game with players who come and go until it is told to end; and the bench.
//!
//! Owns: the 60 Hz loop, signals, the order of the end. Does not own: instances (`manager`), figures (`bench`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Parser, Subcommand};
use clawblox_host::{BenchOptions, Crowd, Departure, GameManager, LAVA_CLIMB, Limits, Mode, Options, TICK};
use clawstore::clock::Clock;
use clawstore::compat::clawblox::DataStoreService;
use clawstore::{Clawstore, Config, Database, GameId, SystemClock};
use tracing_subscriber::EnvFilter;

/// This engine knows its games by UUID. It must be the same in every start: data belongs to it.
const GAME: GameId = GameId::Uuid(0x51c0_ffee_0000_4000_8000_0000_0000_0004);
const TICKS_PER_SECOND: u64 = 60;
/// From the end of play until everything is saved.
const SHUTDOWN: Duration = Duration::from_secs(38);

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the game.
    Play(Play),
    /// Prints what a tick costs with and without storage, in both modes.
    Bench(Bench),
}

#[derive(Debug, clap::Args)]
struct Play {
    /// Where the data is: postgres://…, a directory or :memory:. Without it, as the environment says, else a directory here.
    #[arg(long)]
    db: Option<String>,
    /// How long to play; ends earlier on SIGINT or SIGTERM.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many players there are.
    #[arg(long, default_value_t = 60)]
    players: i64,
    /// How coroutines are resumed.
    #[arg(long, value_enum, default_value_t = Mode::Polling)]
    mode: Mode,
    /// How often the game saves each player, in seconds.
    #[arg(long, default_value_t = 5.0)]
    autosave: f64,
}

#[derive(Debug, clap::Args)]
struct Bench {
    #[arg(long, default_value_t = 200)]
    players: i64,
    /// How long each mode is measured. Under a minute the worst hundredth is a matter of luck.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How often the game saves each player, in seconds.
    #[arg(long, default_value_t = 30.0)]
    autosave: f64,
    /// Threads that tick instances.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,ractor=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Arguments::parse().command {
        Command::Play(options) => play(&options),
        Command::Bench(options) => {
            [Mode::Polling, Mode::Scheduler].into_iter().try_for_each(|mode| bench(&options, mode))
        }
    }
}

fn play(options: &Play) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let database = match &options.db {
        Some(name) => Database::parse(name)?,
        None => Database::from_env_or("./clawstore-data")?,
    };
    let store = Clawstore::builder().config(Config::load()?).database(database).open()?;
    let mut data_stores = DataStoreService::new(GAME, &store)?;
    if options.mode == Mode::Scheduler {
        data_stores = data_stores.with_scheduler();
    }
    let game = Options {
        mode: options.mode,
        data_stores: Some(data_stores.clone()),
        script: LAVA_CLIMB.into(),
        autosave_seconds: options.autosave,
        afk_seconds: 60.0,
    };
    let mut manager = GameManager::new(game, Limits::default())?;
    run(&mut manager, options, &stop)?;

    // In this order: players and scripts, then the VMs, then the store.
    println!("closing");
    manager.shut_down()?.iter().for_each(show);
    let web = tokio::runtime::Builder::new_current_thread().build()?;
    for line in web.block_on(clawblox_host::leaderboard(data_stores.game(), None, Some(3)))? {
        println!("{}. {} {}", line.rank, line.name.unwrap_or_default(), line.score);
    }
    let report = store.shutdown(SHUTDOWN);
    println!("drained: {} acked, {} failed, {} unknown", report.acked, report.failed, report.unknown);
    Ok(())
}

fn run(manager: &mut GameManager, options: &Play, stop: &AtomicBool) -> anyhow::Result<()> {
    let crowd = Crowd::new(options.players, 20 * TICKS_PER_SECOND);
    let clock = SystemClock::start();
    let mut next = clock.now();
    for tick in 0..options.seconds * TICKS_PER_SECOND {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        crowd.act(manager, tick)?.iter().for_each(show);
        for id in manager.tick(TICK.as_secs_f64())? {
            println!("instance {id} was empty and is gone");
        }
        if tick == TICKS_PER_SECOND {
            println!("playing");
        }
        next = next + TICK;
        while !next.since(clock.now()).is_zero() {
            std::thread::park_timeout(next.since(clock.now()));
        }
    }
    Ok(())
}

fn show(departure: &Departure) {
    match departure.money {
        Some(money) => println!("player {} left with {money}", departure.user_id),
        None => println!("player {} left before they were loaded", departure.user_id),
    }
}

fn bench(options: &Bench, mode: Mode) -> anyhow::Result<()> {
    let measured = BenchOptions {
        mode,
        players: options.players,
        ticks: options.seconds * TICKS_PER_SECOND,
        autosave_seconds: options.autosave,
        threads: options.threads,
    };
    let directory = tempfile::tempdir()?;
    let (off, on, saves) = clawblox_host::bench(&measured, Database::directory(directory.path()))?;
    println!("{mode:?}: {} players, {:.0} saves/s", options.players, saves as f64 / options.seconds as f64);
    println!("  without storage  p50 {:>5} µs  p99 {:>5} µs  max {:>6} µs", off.p50, off.p99, off.max);
    println!("  with storage     p50 {:>5} µs  p99 {:>5} µs  max {:>6} µs", on.p50, on.p99, on.max);
    println!("  p99 with ÷ without: {:.2}", on.p99 as f64 / off.p99 as f64);
    Ok(())
}
