//! A manager that is ticked as fast as answers arrive, and looks into what it has saved.
//!
//! Owns: no expectation.

use std::future::Future;
use std::time::Duration;

use clawblox_host::{Departure, GameManager, LAVA_CLIMB, Limits, Mode, Options, TICK};
use clawstore::compat::clawblox::DataStoreService;
use clawstore::{Clawstore, Config, Database, Game, GameId};
use serde::Deserialize;

pub(crate) const GAME: GameId = GameId::Uuid(0x51c0_ffee_0000_4000_8000_0000_0000_0005);
pub(crate) const MODES: [Mode; 2] = [Mode::Polling, Mode::Scheduler];

/// Nothing takes this long: a test that waits so long has failed.
const PATIENCE_TICKS: u32 = 3_000;
const PATIENCE: Duration = Duration::from_secs(38);

/// What the game stores of a player, as far as tests look at it.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Save {
    pub(crate) money: f64,
}

/// A process of the engine.
pub(crate) struct Engine {
    pub(crate) manager: GameManager,
    pub(crate) data_stores: DataStoreService,
    pub(crate) store: Clawstore,
}

impl Engine {
    pub(crate) fn start(database: Database, mode: Mode) -> Self {
        Self::start_with(Config::default(), database, mode)
    }

    pub(crate) fn start_with(config: Config, database: Database, mode: Mode) -> Self {
        let store = Clawstore::builder().config(config).database(database).open().unwrap();
        let mut data_stores = DataStoreService::new(GAME, &store).unwrap();
        if mode == Mode::Scheduler {
            data_stores = data_stores.with_scheduler();
        }
        let manager = manager(&data_stores, mode);
        Self { manager, data_stores, store }
    }

    pub(crate) fn game(&self) -> &Game {
        self.data_stores.game()
    }

    pub(crate) fn join(&mut self, user_id: i64) -> u64 {
        join(&mut self.manager, user_id)
    }

    /// Lets a player in, and time pass until their script has loaded them.
    pub(crate) fn join_and_load(&mut self, user_id: i64) {
        self.join(user_id);
        tick_until(&mut self.manager, |manager| is_loaded(manager, user_id));
    }

    /// Lets a player leave who was loaded. Returns their money.
    pub(crate) fn leave(&mut self, user_id: i64) -> f64 {
        let departure: Departure = self.manager.leave(user_id).unwrap().unwrap();
        departure.money.unwrap()
    }

    /// So many ticks of play, without waiting for anything.
    pub(crate) fn play(&mut self, ticks: u32) {
        for _ in 0..ticks {
            assert_eq!(self.manager.tick(TICK.as_secs_f64()).unwrap(), Vec::<u64>::new());
        }
    }

    /// Lets time pass until every call has returned to its script.
    pub(crate) fn finish_calls(&mut self) {
        tick_until(&mut self.manager, |manager| manager.instances().all(|instance| instance.open_calls() == 0));
    }

    /// What is stored of a player.
    pub(crate) fn saved(&self, user_id: i64) -> Option<f64> {
        saved(self.game(), user_id)
    }

    /// All errors of scripts.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.manager.instances().flat_map(|instance| instance.problems().all()).collect()
    }

    /// The process ends in order.
    pub(crate) fn end(self) {
        self.manager.shut_down().unwrap();
        self.store.shutdown(PATIENCE);
    }
}

/// More instances of the same game in the same process.
pub(crate) fn manager(data_stores: &DataStoreService, mode: Mode) -> GameManager {
    let options = Options {
        mode,
        data_stores: Some(data_stores.clone()),
        script: LAVA_CLIMB.into(),
        autosave_seconds: 30.0,
        afk_seconds: 60.0,
    };
    GameManager::new(options, Limits { threads: 2, ..Limits::default() }).unwrap()
}

pub(crate) fn join(manager: &mut GameManager, user_id: i64) -> u64 {
    let id = manager.join(user_id, &format!("Climber{user_id}")).unwrap();
    let test = std::thread::current();
    manager.instance(id).unwrap().set_wake(move || test.unpark()).unwrap();
    id
}

pub(crate) fn is_loaded(manager: &GameManager, user_id: i64) -> bool {
    manager.instances().any(|instance| instance.observe::<bool>(user_id, "Loaded").unwrap() == Some(true))
}

/// Ticks; in between waits for an answer to arrive, a tick's time at most.
#[track_caller]
pub(crate) fn tick_until(manager: &mut GameManager, is_done: impl Fn(&GameManager) -> bool) {
    for _ in 0..PATIENCE_TICKS {
        if is_done(manager) {
            return;
        }
        manager.tick(TICK.as_secs_f64()).unwrap();
        std::thread::park_timeout(TICK);
    }
    panic!("it never happened");
}

pub(crate) fn saved(game: &Game, user_id: i64) -> Option<f64> {
    let store = game.data_store("PlayerData").unwrap();
    wait(store.get_uncached::<Save>(&format!("player_{user_id}"))).unwrap().map(|stored| stored.value.money)
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}
