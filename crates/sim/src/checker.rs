//! The search: every state that can be reached, nearest first.
//!
//! Owns: which states were seen, the shortest way to a broken one, the counts. Does not own: what a state is, or time.
//!
//! A state and its mirror image count as one. Only a hash of 64 bits is kept of a state that was expanded. With `n` states, two
//! of them share one, so that one is not looked at, with a probability below n² / 2⁶⁵: three in a million for ten million.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use crate::config::Config;
use crate::invariants::{Invariant, broken};
use crate::state::State;
use crate::step::{self, Step};

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Different states.
    pub states: u64,
    /// Steps between them.
    pub transitions: u64,
    /// Steps to the farthest state.
    pub depth: usize,
    /// Every reachable state was looked at.
    pub complete: bool,
    /// The nearest broken state.
    pub violation: Option<Violation>,
}

/// A rule that fell, and the shortest way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub invariant: Invariant,
    /// How.
    pub trace: Vec<Step>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.invariant)?;
        for (at, step) in self.trace.iter().enumerate() {
            writeln!(f, "  {:>2}. {step}", at + 1)?;
        }
        Ok(())
    }
}

/// Hashes are good already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| hash.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

struct Search<'a> {
    config: &'a Config,
    seen: HashSet<u64, BuildHasherDefault<AsIs>>,
    /// How each state was first reached: number of the state before, and which of its steps. In the order of discovery.
    reached: Vec<(u32, u8)>,
    transitions: u64,
}

/// Explores a configuration until it is complete, a rule is broken, or `states_max` states were seen.
pub fn explore(config: &Config, states_max: u32) -> Report {
    let mut search = Search { config, seen: HashSet::default(), reached: vec![(0, 0)], transitions: 0 };
    let mut level = vec![State::new(config.budget)];
    search.seen.insert(level[0].fingerprint());
    let (mut depth, mut violation) = (0, None);
    while violation.is_none() && search.reached.len() < states_max as usize {
        let (next, found) = search.expand(&level);
        if next.is_empty() {
            return search.report(depth, true, None);
        }
        (level, violation, depth) = (next, found, depth + 1);
    }
    search.report(depth, false, violation)
}

impl Search<'_> {
    /// All states one step beyond a level that were not seen before. Stops at a broken one.
    fn expand(&mut self, level: &[State]) -> (Vec<State>, Option<Violation>) {
        let first = self.reached.len() - level.len();
        let (mut next, mut steps) = (Vec::new(), Vec::new());
        for (at, state) in level.iter().enumerate() {
            step::next(self.config, state, &mut steps);
            self.transitions += steps.len() as u64;
            for (number, (_, reached)) in steps.iter().enumerate() {
                if !self.seen.insert(reached.fingerprint()) {
                    continue;
                }
                self.reached.push((small(first + at), u8::try_from(number).unwrap_or(u8::MAX)));
                next.push(*reached);
                if let Some(invariant) = broken(reached) {
                    let trace = self.trace();
                    return (next, Some(Violation { invariant, trace }));
                }
            }
        }
        (next, None)
    }

    /// The way to the last state that was reached.
    fn trace(&self) -> Vec<Step> {
        let (mut way, mut at) = (Vec::new(), self.reached.len() - 1);
        while at > 0 {
            let (before, number) = self.reached[at];
            way.push(number);
            at = before as usize;
        }
        let (mut state, mut steps) = (State::new(self.config.budget), Vec::new());
        let mut trace = Vec::new();
        for number in way.into_iter().rev() {
            step::next(self.config, &state, &mut steps);
            let (step, reached) = steps[usize::from(number)];
            trace.push(step);
            state = reached;
        }
        trace
    }

    fn report(&self, depth: usize, complete: bool, violation: Option<Violation>) -> Report {
        let states = self.reached.len() as u64;
        Report { states, transitions: self.transitions, depth, complete, violation }
    }
}

/// Numbers of states fit into 32 bits: `explore` stops before.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
