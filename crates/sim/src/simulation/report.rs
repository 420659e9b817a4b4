//! What a run showed.
//!
//! Owns: the figures of one run and how to repeat it. Does not own: what is right (`checks`).

use std::fmt;

use super::setup::Options;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Calls that were made.
    pub calls: usize,
    /// OK.
    pub acked: usize,
    /// FAIL, transforms that raised included.
    pub failed: usize,
    /// UNKNOWN.
    pub unknown: usize,
    /// Their process or VM was gone before they ended.
    pub lost: usize,
    /// Faults that began.
    pub faults: usize,
    /// Lines of the log.
    pub lines: u64,
    /// Of the log.
    pub digest: u64,
    /// What should not be.
    pub broken: Vec<String>,
}

impl Report {
    /// The command that runs it again, with its log.
    pub fn replay_command(&self, options: Options) -> String {
        let Options { servers, calls, faults, mutant, .. } = options;
        let (seed, next) = (self.seed, self.seed + 1);
        let mutant = mutant.map_or_else(String::new, |mutant| format!(" --mutant {}", mutant.name()));
        format!(
            "cargo xtask sim --seeds {seed}..{next} --servers {servers} --calls {calls} --faults {faults}{mutant} --trace"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, calls, acked, failed, unknown, lost, faults, lines, digest, broken } = self;
        write!(
            f,
            "seed {seed}: {calls} calls: {acked} OK, {failed} FAIL, {unknown} UNKNOWN, {lost} lost; {faults} faults, \
             {lines} lines, digest {digest:016x}: {} wrong",
            broken.len()
        )
    }
}
