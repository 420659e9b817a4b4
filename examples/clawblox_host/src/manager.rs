//! All instances of a process.
//!
//! Owns: finding an instance for a player, ticking instances in parallel, destroying empty ones, an orderly end. Does not own:
//! what happens in an instance; the store.

use std::time::Duration;

use clawstore::SystemClock;
use clawstore::clock::Clock;
use clawstore::mlua;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::instance::{Instance, Options};
use crate::polling::TICK;

/// How long scripts may take to finish what players' leaving has begun, before their VMs go.
const LAST_SAVES: Duration = Duration::from_secs(5);

/// Limits of a manager.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Threads that tick instances.
    pub threads: usize,
    /// Players of one instance.
    pub players: usize,
    /// An instance without players is destroyed after so many seconds.
    pub empty_seconds: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { threads: 4, players: 25, empty_seconds: 60.0 }
    }
}

#[derive(Debug)]
struct Slot {
    id: u64,
    instance: Instance,
    empty_seconds: f64,
}

/// A player who has left, and what the engine last showed of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Departure {
    /// Who.
    pub user_id: i64,
    /// Their money, if their script had loaded them.
    pub money: Option<f64>,
}

/// Runs the instances of one game.
#[derive(Debug)]
pub struct GameManager {
    options: Options,
    limits: Limits,
    pool: ThreadPool,
    slots: Vec<Slot>,
    last_id: u64,
}

impl GameManager {
    /// Without instances: the first player brings one.
    pub fn new(options: Options, limits: Limits) -> anyhow::Result<Self> {
        let pool = ThreadPoolBuilder::new().num_threads(limits.threads).build()?;
        Ok(Self { options, limits, pool, slots: Vec::new(), last_id: 0 })
    }

    /// Instances that run.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.slots.iter().map(|slot| &slot.instance)
    }

    /// The instance of this id, if it still runs.
    pub fn instance(&mut self, id: u64) -> Option<&mut Instance> {
        self.slots.iter_mut().find(|slot| slot.id == id).map(|slot| &mut slot.instance)
    }

    /// Starts an instance.
    pub fn start(&mut self) -> anyhow::Result<u64> {
        let instance = Instance::start(self.options.clone())?;
        self.last_id += 1;
        self.slots.push(Slot { id: self.last_id, instance, empty_seconds: 0.0 });
        Ok(self.last_id)
    }

    /// A player joins: the instance where they are already, else the first with room, else a new one. Returns which.
    pub fn join(&mut self, user_id: i64, name: &str) -> anyhow::Result<u64> {
        let limit = self.limits.players;
        let here = self.slots.iter().find(|slot| slot.instance.has(user_id));
        let room = || self.slots.iter().find(|slot| slot.instance.players().count() < limit);
        let id = match here.or_else(room) {
            Some(slot) => slot.id,
            None => self.start()?,
        };
        if let Some(instance) = self.instance(id) {
            instance.join(user_id, name)?;
        }
        Ok(id)
    }

    /// A player has done something.
    pub fn input(&mut self, user_id: i64) {
        self.slots.iter_mut().for_each(|slot| slot.instance.input(user_id));
    }

    /// A player leaves, wherever they are.
    pub fn leave(&mut self, user_id: i64) -> mlua::Result<Option<Departure>> {
        match self.slots.iter_mut().find(|slot| slot.instance.has(user_id)) {
            Some(slot) => depart(&mut slot.instance, user_id).map(Some),
            None => Ok(None),
        }
    }

    /// One tick of every instance, in parallel: a VM runs on another thread each time. Then instances that have been empty for
    /// too long are destroyed; returns their ids.
    pub fn tick(&mut self, dt: f64) -> mlua::Result<Vec<u64>> {
        let slots = &mut self.slots;
        self.pool.install(|| slots.par_iter_mut().try_for_each(|slot| slot.instance.tick(dt)))?;
        for slot in &mut self.slots {
            let is_empty = slot.instance.players().next().is_none();
            slot.empty_seconds = if is_empty { slot.empty_seconds + dt } else { 0.0 };
        }
        let limit = self.limits.empty_seconds;
        Ok(self.slots.extract_if(.., |slot| slot.empty_seconds > limit).map(|slot| slot.id).collect())
    }

    /// Ends an instance at once, whatever it waits for. Never waits: what its scripts have saved becomes durable without it.
    pub fn destroy(&mut self, id: u64) {
        self.slots.retain(|slot| slot.id != id);
    }

    /// The orderly end: everyone leaves, scripts finish what that has begun, then the VMs go. The store is shut down after it.
    pub fn shut_down(mut self) -> mlua::Result<Vec<Departure>> {
        let mut departures = Vec::new();
        for slot in &mut self.slots {
            let players: Vec<_> = slot.instance.players().collect();
            for user_id in players {
                departures.push(depart(&mut slot.instance, user_id)?);
            }
        }
        let clock = SystemClock::start();
        let begun = clock.now();
        while self.open_calls() > 0 && clock.now().since(begun) < LAST_SAVES {
            let slots = &mut self.slots;
            self.pool.install(|| slots.par_iter_mut().try_for_each(|slot| slot.instance.tick(TICK.as_secs_f64())))?;
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(departures)
    }

    fn open_calls(&self) -> usize {
        self.instances().map(Instance::open_calls).sum()
    }
}

fn depart(instance: &mut Instance, user_id: i64) -> mlua::Result<Departure> {
    let loaded = instance.observe::<bool>(user_id, "Loaded")?;
    let money = if loaded == Some(true) { instance.observe(user_id, "Money")? } else { None };
    instance.leave(user_id)?;
    Ok(Departure { user_id, money })
}
