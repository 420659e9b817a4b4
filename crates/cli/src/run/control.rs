//! The conditions of a run: latency, faults, and counting calls.
//!
//! Owns: the chance behind them, from one seed. Does not own: the grammar of faults (`faults`), how a call is delayed or
//! refused (`clawstore-lua`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use clawstore::{CallControl, CallInfo, Verdict};

use crate::args::values::Range;
use crate::run::faults::{FaultRule, loses_message, of_call};
use crate::run::time::GameTime;

/// A call that has not ended is looked at again after this time, should its wake-up be lost.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Counts of calls by method.
pub(crate) type Counts = Rc<RefCell<BTreeMap<String, u64>>>;

/// What all servers of a run share.
#[derive(Debug)]
pub(crate) struct Conditions {
    time: GameTime,
    latency: Option<Range>,
    faults: RefCell<Vec<FaultRule>>,
    random: RefCell<fastrand::Rng>,
    seed: u64,
    /// Faults injected.
    injected: Cell<u64>,
}

impl Conditions {
    pub(crate) fn new(time: &GameTime, latency: Option<Range>, faults: Vec<FaultRule>, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            time: time.clone(),
            latency,
            faults: RefCell::new(faults),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            seed,
            injected: Cell::new(0),
        })
    }

    /// Replaces the rules from now on.
    pub(crate) fn set_faults(&self, faults: Vec<FaultRule>) {
        *self.faults.borrow_mut() = faults;
    }

    pub(crate) fn faults(&self) -> Vec<FaultRule> {
        self.faults.borrow().clone()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn injected(&self) -> u64 {
        self.injected.get()
    }

    fn draw_latency(&self) -> Duration {
        let Some(Range { shortest, longest }) = self.latency else { return Duration::ZERO };
        shortest + (longest - shortest).mul_f64(self.chance())
    }

    fn chance(&self) -> f64 {
        self.random.borrow_mut().f64()
    }
}

/// The conditions as one server meets them.
#[derive(Debug)]
pub(crate) struct ServerControl {
    conditions: Rc<Conditions>,
    counts: Counts,
}

impl ServerControl {
    pub(crate) fn new(conditions: &Rc<Conditions>, counts: &Counts) -> Self {
        Self { conditions: Rc::clone(conditions), counts: Rc::clone(counts) }
    }
}

impl CallControl for ServerControl {
    fn begin(&self, call: &CallInfo<'_>) -> Verdict {
        *self.counts.borrow_mut().entry(format!("{}.{}", call.service, call.method)).or_default() += 1;
        let conditions = &self.conditions;
        let elapsed = conditions.time.elapsed();
        let fault = of_call(&conditions.faults.borrow(), call, elapsed, || conditions.chance());
        if fault.is_some() {
            conditions.injected.set(conditions.injected.get() + 1);
        }
        Verdict { latency: conditions.draw_latency(), fault }
    }

    fn deliver(&self, _topic: &str) -> Option<Duration> {
        let conditions = &self.conditions;
        if loses_message(&conditions.faults.borrow(), conditions.time.elapsed(), || conditions.chance()) {
            conditions.injected.set(conditions.injected.get() + 1);
            return None;
        }
        Some(conditions.draw_latency())
    }

    fn settles_calls(&self) -> bool {
        self.conditions.time.is_simulated()
    }

    fn wait(&self) {
        // An arrival unparks this thread; one that came before makes this return at once.
        std::thread::park_timeout(LOOK_AGAIN);
    }
}
