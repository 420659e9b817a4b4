//! What storage costs a tick: the same game, the same players, with a store and without one, tick by tick in turn.
//!
//! Owns: the loop, its pace and its figures. Does not own: any limit: figures are printed, nobody fails by them.

use std::time::Duration;

use clawstore::clock::Clock;
use clawstore::compat::clawblox::DataStoreService;
use clawstore::{Clawstore, Database, GameId, SystemClock};
use hdrhistogram::Histogram;

use crate::crowd::Crowd;
use crate::instance::Options;
use crate::manager::{GameManager, Limits};
use crate::polling::TICK;
use crate::threads::Mode;

/// What is measured.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// How coroutines are resumed.
    pub mode: Mode,
    /// Players, 25 to an instance.
    pub players: i64,
    /// Ticks that count.
    pub ticks: u64,
    /// How often the game saves each player.
    pub autosave_seconds: f64,
    /// Threads that tick instances.
    pub threads: usize,
}

/// Ticks of one kind, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Half of them took no longer.
    pub p50: u64,
    /// All but one in a hundred.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// Before anything counts: players join, stores open.
const WARM_UP_TICKS: u64 = 240;

/// Each player leaves and comes back once a minute.
const VISIT_TICKS: u64 = 3_600;

/// Measures. Returns the figures without and with a store, and how many saves there were in the time that counts.
pub fn run(options: &BenchOptions, database: Database) -> anyhow::Result<(Figures, Figures, u64)> {
    let store = Clawstore::builder().database(database).open()?;
    let data_stores = DataStoreService::new(GameId::Number(1), &store)?;
    let data_stores = if options.mode == Mode::Scheduler { data_stores.with_scheduler() } else { data_stores };
    let mut off = Side::new(options, None)?;
    let mut on = Side::new(options, Some(data_stores.clone()))?;
    let clock = SystemClock::start();
    let (mut next, mut saves) = (clock.now(), 0);
    for tick in 0..WARM_UP_TICKS + options.ticks {
        if tick == WARM_UP_TICKS {
            saves = data_stores.game().stats().saves;
        }
        // In turn, so that neither always finds the caches warm.
        let sides = if tick % 2 == 0 { [&mut off, &mut on] } else { [&mut on, &mut off] };
        for side in sides {
            side.tick(tick, &clock)?;
        }
        next = next + TICK;
        while !next.since(clock.now()).is_zero() {
            std::thread::park_timeout(next.since(clock.now()));
        }
    }
    let saves = data_stores.game().stats().saves - saves;
    let figures = (off.figures(), on.figures(), saves);
    on.manager.shut_down()?;
    store.shutdown(Duration::from_secs(38));
    Ok(figures)
}

/// The game with or without a store.
struct Side {
    manager: GameManager,
    crowd: Crowd,
    ticks: Histogram<u64>,
}

impl Side {
    fn new(options: &BenchOptions, data_stores: Option<DataStoreService>) -> anyhow::Result<Self> {
        let game = Options {
            mode: options.mode,
            data_stores,
            script: crate::LAVA_CLIMB.into(),
            autosave_seconds: options.autosave_seconds,
            afk_seconds: 60.0,
        };
        let limits = Limits { threads: options.threads, ..Limits::default() };
        Ok(Self {
            manager: GameManager::new(game, limits)?,
            crowd: Crowd::new(options.players, VISIT_TICKS),
            ticks: Histogram::new(3)?,
        })
    }

    fn tick(&mut self, tick: u64, clock: &SystemClock) -> anyhow::Result<()> {
        let begun = clock.now();
        self.crowd.act(&mut self.manager, tick)?;
        self.manager.tick(TICK.as_secs_f64())?;
        let took = clock.now().since(begun);
        if tick >= WARM_UP_TICKS {
            self.ticks.record(u64::try_from(took.as_micros())?)?;
        }
        Ok(())
    }

    fn figures(&self) -> Figures {
        let at = |quantile| self.ticks.value_at_quantile(quantile);
        Figures { p50: at(0.5), p99: at(0.99), max: self.ticks.max() }
    }
}
