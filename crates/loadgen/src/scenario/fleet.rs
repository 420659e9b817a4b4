//! Victims side by side on the same keys.
//!
//! Owns: starting and pausing them, and checking their journals, merged, against what is stored. Does not own: what is
//! done to them meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::chaos::check::{self, State};
use crate::chaos::history::{Counts, History};
use crate::chaos::process::{Event, Process};
use crate::chaos::target::Server;
use crate::chaos::{keep_evidence, tell_complaints, told};

/// Every call is answered within its deadline, and everything settled, once all faults are over.
const IDLE_MAX: Duration = Duration::from_secs(31);

pub(super) struct Fleet {
    pub(super) server: Server,
    /// Those that live.
    pub(super) victims: Vec<Process>,
    /// Journals of those that were killed. Their open calls may have been applied.
    killed: Vec<Vec<u8>>,
    seed: u64,
}

impl Fleet {
    pub(super) fn start(seed: u64, size: usize) -> Result<Self> {
        let mut fleet = Self { server: Server::start()?, victims: Vec::new(), killed: Vec::new(), seed };
        for _ in 0..size {
            fleet.join()?;
        }
        Ok(fleet)
    }

    /// Starts one more victim and waits until it is busy.
    pub(super) fn join(&mut self) -> Result<()> {
        let number = self.victims.len() + self.killed.len();
        let (seed, round) = (self.seed.to_string(), number.to_string());
        let arguments = ["victim", "--db", &self.server.url(), "--seed", &seed, "--round", &round];
        let victim = Process::start(&arguments.map(Into::into))?;
        victim.wait_for(Event::Open)?;
        victim.wait_for(Event::Busy)?;
        self.victims.push(victim);
        Ok(())
    }

    /// kill -9 of one of them. Returns how many calls it had in flight.
    pub(super) fn kill(&mut self, index: usize) -> Result<usize> {
        let victim = self.victims.swap_remove(index);
        let in_flight = victim.in_flight();
        self.killed.push(victim.kill()?);
        Ok(in_flight)
    }

    /// Lets the load go on. All must outlive it.
    pub(super) fn let_run(&self, duration: Duration) -> Result<()> {
        let until = Instant::now() + duration;
        for victim in &self.victims {
            victim.let_run(until.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Pauses all victims and checks what they were answered against what is stored.
    pub(super) fn judge(mut self) -> Result<Counts> {
        for victim in &mut self.victims {
            victim.say("pause")?;
        }
        let paused = Instant::now();
        for victim in &self.victims {
            let left = IDLE_MAX.saturating_sub(paused.elapsed());
            victim.wait_at_most(Event::Idle, left).context("a call has no answer")?;
        }
        let mut journals: Vec<Vec<u8>> = self.victims.iter().map(Process::take_lines).collect();
        let mut sum = Counts::default();
        for (number, journal) in journals.iter().enumerate() {
            let history = History::parse(journal)?;
            println!("process {number}: {}", told(history.counts()));
            if let Some(text) = history.first_failure() {
                println!("    a call failed: {text}");
            }
            sum.add(history.counts());
        }
        journals.append(&mut self.killed);
        // Those who live answer all; what the killed had sent is over with their connections.
        drop(self.victims);
        self.server.wait_until_alone()?;
        let after = self.server.look()?;
        let found = check::check(&State::new(), &History::merge(&journals)?, &after);
        println!(
            "{} keys; all answered {:.1} s after the pause; {} wrong",
            after.len(),
            paused.elapsed().as_secs_f64(),
            found.len()
        );
        tell_complaints(&found);
        ensure!(sum.open == 0, "{} calls have no answer", sum.open);
        if !found.is_empty() {
            keep_evidence(&journals, [&State::new(), &after])?;
            bail!("{} things are wrong", found.len());
        }
        Ok(sum)
    }
}
