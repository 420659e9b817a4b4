//! The server processes of a run.
//!
//! Owns: one process per slot, killing and starting it again, orders to all of them, and the journals of the living and the dead.
//! Does not own: what a process does (`victim`), when it is killed (`strike`).

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum as _;

use super::super::ChaosOptions;
use super::super::mutant::Mutant;
use super::super::process::{Event, Process};
use super::stage::Stage;

/// One place, whose process changes.
struct Slot {
    process: Process,
    /// By which the database knows its connections.
    name: String,
    /// What the numbers of its calls begin with in this round.
    number: u64,
    /// Losses that it had reported before this round.
    losses: u64,
}

/// How often each process has reported in this round that the database lost what was acknowledged, by its number.
pub(super) type LossCounts = Vec<(u64, u64)>;

/// See the module.
pub(super) struct Fleet {
    slots: Vec<Slot>,
    arguments: Vec<OsString>,
    /// Numbers given out.
    numbers: u64,
    /// Processes started.
    started: u64,
    epoch: u64,
    dead_journals: Vec<Vec<u8>>,
    dead_names: Vec<String>,
}

impl Fleet {
    /// Starts all processes, which make no calls yet.
    pub(super) fn start(options: &ChaosOptions, seed: u64, stage: &Stage) -> Result<Self> {
        let mutant = options.mutant.filter(|mutant| mutant.is_in_victim());
        let mutant = mutant.as_ref().and_then(Mutant::to_possible_value);
        let shared = [("--seed", seed), ("--keys", options.keys), ("--hot", options.hot)];
        let slots = [("--slots", stage.lines.len() as u64)];
        let mut arguments: Vec<OsString> = vec!["victim".into()];
        for (name, value) in shared.into_iter().chain(slots) {
            arguments.extend([name.into(), value.to_string().into()]);
        }
        if let Some(mutant) = mutant {
            arguments.extend(["--mutant".into(), mutant.get_name().into()]);
        }
        let (dead_journals, dead_names) = (Vec::new(), Vec::new());
        let mut fleet =
            Self { slots: Vec::new(), arguments, numbers: 0, started: 0, epoch: 0, dead_journals, dead_names };
        for slot in 0..stage.lines.len() {
            let started = fleet.start_process(slot, stage)?;
            fleet.slots.push(started);
        }
        Ok(fleet)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Calls that were made and not answered, of all.
    pub(super) fn in_flight(&self) -> usize {
        self.slots.iter().map(|slot| slot.process.in_flight()).sum()
    }

    /// All make calls from now on.
    pub(super) fn go(&mut self, epoch: u64) -> Result<()> {
        self.epoch = epoch;
        (0..self.len()).try_for_each(|slot| self.go_one(slot))
    }

    fn go_one(&mut self, slot: usize) -> Result<()> {
        let (number, epoch) = (self.next_number(), self.epoch);
        self.slots[slot].number = number;
        self.slots[slot].process.say(&format!("go {number} {epoch}"))
    }

    pub(super) fn wait_until_busy(&self) -> Result<()> {
        self.slots.iter().try_for_each(|slot| slot.process.wait_for(Event::Busy).context(slot.name.clone()))
    }

    /// Until each was answered so many calls more.
    pub(super) fn wait_for_answers(&self, count: u64, patience: Duration) -> Result<()> {
        let start = Instant::now();
        self.slots.iter().try_for_each(|slot| {
            let left = patience.saturating_sub(start.elapsed());
            slot.process.wait_for_answers(count, left).map(drop).with_context(|| slot.name.clone())
        })
    }

    pub(super) fn wait_for_answers_of(&self, slot: usize, count: u64, patience: Duration) -> Result<()> {
        self.slots[slot].process.wait_for_answers(count, patience).map(drop)
    }

    /// Lets time pass. All must outlive it.
    pub(super) fn let_run(&self, duration: Duration) -> Result<()> {
        let until = Instant::now() + duration;
        self.slots.iter().try_for_each(|slot| {
            let left = until.saturating_duration_since(Instant::now());
            slot.process.let_run(left).with_context(|| slot.name.clone())
        })
    }

    /// No more calls; returns when all are answered and settled, with the losses that each has found.
    pub(super) fn pause(&mut self, patience: Duration) -> Result<LossCounts> {
        for slot in &mut self.slots {
            slot.process.say("pause")?;
        }
        self.wait_until_idle(patience)?;
        let losses = self.slots.iter_mut().map(|slot| {
            let before = std::mem::replace(&mut slot.losses, slot.process.losses());
            (slot.number, slot.losses - before)
        });
        Ok(losses.collect())
    }

    /// Each key is written once, by somebody else than the last time.
    pub(super) fn sweep(&mut self, epoch: u64, turn: u64, patience: Duration) -> Result<()> {
        for slot in &mut self.slots {
            let number = slot.number;
            slot.process.say(&format!("sweep {number} {epoch} {turn}"))?;
        }
        self.wait_until_idle(patience)
    }

    fn wait_until_idle(&self, patience: Duration) -> Result<()> {
        let start = Instant::now();
        self.slots.iter().try_for_each(|slot| {
            let left = patience.saturating_sub(start.elapsed());
            slot.process.wait_at_most(Event::Idle, left).with_context(|| slot.name.clone())
        })
    }

    pub(super) fn freeze(&self, slot: usize) -> Result<()> {
        self.slots[slot].process.freeze()
    }

    pub(super) fn thaw(&self, slot: usize) -> Result<()> {
        self.slots[slot].process.thaw()
    }

    /// The number of its calls in this round.
    pub(super) fn number(&self, slot: usize) -> u64 {
        self.slots[slot].number
    }

    /// kill -9 of these processes at once; others take their places after `after`, and go on.
    pub(super) fn replace(&mut self, dying: &[usize], after: Duration, stage: &Stage) -> Result<()> {
        for &slot in dying {
            self.slots[slot].process.kill_now()?;
        }
        let living = (0..self.len()).filter(|slot| !dying.contains(slot));
        let until = Instant::now() + after;
        for slot in living {
            self.slots[slot].process.let_run(until.saturating_duration_since(Instant::now()))?;
        }
        for &slot in dying {
            let new = self.start_process(slot, stage)?;
            let old = std::mem::replace(&mut self.slots[slot], new);
            self.dead_journals.push(old.process.kill()?);
            self.dead_names.push(old.name);
            self.go_one(slot)?;
        }
        Ok(())
    }

    /// Names of those that have died since the last time.
    pub(super) fn take_dead_names(&mut self) -> Vec<String> {
        std::mem::take(&mut self.dead_names)
    }

    pub(super) fn living_numbers(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.number).collect()
    }

    /// What was told since the last time, by the living and the dead.
    pub(super) fn take_journals(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut journals = std::mem::take(&mut self.dead_journals);
        journals.extend(self.slots.iter().map(|slot| slot.process.take_lines()));
        Ok(journals)
    }

    fn start_process(&mut self, slot: usize, stage: &Stage) -> Result<Slot> {
        self.started += 1;
        let name = format!("server-{}", self.started);
        let mut arguments = self.arguments.clone();
        arguments.extend(["--db".into(), stage.url(slot, &name).into()]);
        arguments.extend(["--slot".into(), slot.to_string().into()]);
        let process = Process::start(&arguments)?;
        process.wait_for(Event::Open).with_context(|| format!("the start of {name}"))?;
        Ok(Slot { process, name, number: 0, losses: 0 })
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}
