//! What one run looks like: how many servers and keys, how fast everything is, how long calls may take.
//!
//! Owns: options of the command line, and what the seed draws around them. Does not own: faults (`faults`), single calls
//! (`workload`).

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::mutant::Mutant;
use clawstore_core::{EntryKey, GameId, StoreId, StoreKind};

use super::rng::Rng;
use super::workload::Kind;

/// What the caller decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Servers, from 1 to 16.
    pub servers: usize,
    /// Calls that are made at least, those of the last phase not counted.
    pub calls: usize,
    /// Faults that happen at least.
    pub faults: usize,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
    /// Keep the log.
    pub keeps_lines: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { servers: 3, calls: 500, faults: 5, mutant: None, keeps_lines: false }
    }
}

/// A key and what it is used for.
#[derive(Debug, Clone)]
pub struct SimKey {
    /// Its name; its number is in it.
    pub key: EntryKey,
    /// What calls do with it.
    pub kind: Kind,
}

/// One run.
#[derive(Debug)]
pub struct Setup {
    /// What the caller decided.
    pub options: Options,
    /// Keys, by number.
    pub keys: Vec<SimKey>,
    /// VMs of each server.
    pub vms: usize,
    /// Calls that a VM has open at most.
    pub open_calls: usize,
    /// Lanes of each server.
    pub lanes: u16,
    /// A call is answered within this time.
    pub call_deadline: Duration,
    /// Time for which calls are made and faults happen.
    pub active: Duration,
    /// The primary has a synchronous standby.
    pub has_standby: bool,
    /// One way through the network, in microseconds, at most.
    pub latency: u64,
    /// What a commit takes on the disk, in microseconds, at most.
    pub disk: u64,
    /// Times in 100 that a call is on the first key.
    pub hot: u64,
    /// By how much the clocks of two servers differ.
    pub skew: Duration,
    /// Servers send hints, and so many in 100 of them are lost.
    pub hints: bool,
    /// See `hints`.
    pub lost_hints: u64,
    /// Keys that change hands too often are shared.
    pub sharing: bool,
    /// A key without calls for this long leaves memory.
    pub idle: Duration,
}

impl Setup {
    /// As the seed draws it.
    pub fn draw(options: Options, rng: &mut Rng) -> Self {
        let count = 3 + rng.below(6);
        let store = Arc::new(StoreId {
            game: GameId::Number(1),
            kind: StoreKind::Standard,
            name: "Saves".into(),
            scope: "global".into(),
        });
        let keys = (0..count).map(|number| {
            let key = EntryKey { store: Arc::clone(&store), key: format!("k{number}").into() };
            SimKey { key, kind: if number == 0 { Kind::List } else { *rng.pick(&Kind::ALL) } }
        });
        Self {
            options,
            keys: keys.collect(),
            vms: 1 + rng.below(3),
            open_calls: 1 + rng.below(4),
            lanes: *rng.pick(&[1, 2, 2, 4]),
            call_deadline: Duration::from_secs(*rng.pick(&[3, 4, 6, 12])),
            active: rng.millis(9_000..18_000),
            has_standby: rng.chance(80),
            latency: *rng.pick(&[200, 1_000, 5_000]),
            disk: *rng.pick(&[500, 2_000, 10_000]),
            hot: *rng.pick(&[10, 30, 60]),
            skew: Duration::from_secs(*rng.pick(&[0, 0, 1, 10_000])),
            hints: rng.chance(70),
            lost_hints: *rng.pick(&[0, 10, 60]),
            sharing: rng.chance(60),
            idle: rng.millis(800..6_000),
        }
    }
}

/// The number of a key.
pub fn number_of(key: &EntryKey) -> usize {
    key.key.get(1..).and_then(|digits| digits.parse().ok()).expect("all keys are named by `Setup::draw`")
}
