//! Servers beside the model, fed with the same operations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clawstore_core::clock::{Clock, Timestamp};
use clawstore_core::versioning::{History, Retention, Versioning};
use clawstore_testkit::ManualClock;

use crate::model::{self, Model, SLOTS};
use crate::op::{HOSTS, Op};
use crate::place::Place;
use crate::server::Server;
use crate::tokens::Ids;

/// How the store that most of a sequence is about keeps versions, and how all others do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// Those of each hour, for 30 days; all others keep every one for a week.
    Hourly,
    /// Every one, for a week; all others keep those of each hour for 30 days.
    Every,
}

impl Kept {
    const fn history(self) -> model::History {
        match self {
            Self::Hourly => model::History { hourly: true, days: 30 },
            Self::Every => model::History { hourly: false, days: 7 },
        }
    }

    fn as_configured(self) -> History {
        let (model::History { hourly, .. }, days) = (self.history(), self.history().days.try_into().unwrap());
        History { retention: if hourly { Retention::Hourly } else { Retention::EveryWrite }, days }
    }
}

/// See [`Kept`].
const MOST: &str = "A";

pub(crate) struct World<'a> {
    place: &'a Place,
    game: u64,
    versioning: Versioning,
    clock: Arc<ManualClock>,
    model: Model,
    ids: Ids,
    /// What has run.
    lines: Vec<String>,
    server: Option<Server>,
}

impl<'a> World<'a> {
    pub(crate) fn new(place: &'a Place, game: u64, kept: Kept) -> Self {
        let others = if let Kept::Hourly = kept { Kept::Every } else { Kept::Hourly };
        let stores = BTreeMap::from([(MOST.into(), kept.as_configured())]);
        let versioning = Versioning { default: others.as_configured(), stores };
        let clock = Arc::new(ManualClock::default());
        let own = BTreeMap::from([(MOST.to_owned(), kept.history())]);
        let model = Model::new(clock.wall().ticks(), others.history(), own);
        let (ids, lines) = (Ids::default(), Vec::new());
        let mut world = Self { place, game, versioning, clock, model, ids, lines, server: None };
        world.start();
        world
    }

    fn start(&mut self) {
        let clock = Arc::clone(&self.clock) as _;
        self.server = Some(Server::start(self.place, self.game, clock, &self.versioning, &self.ids));
        self.model.pages = [const { None }; SLOTS];
    }

    pub(crate) fn close(&mut self) {
        self.server.take().into_iter().for_each(Server::close);
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// # Errors
    /// The lines so far, if the last one was answered otherwise than by the model.
    pub(crate) fn step(&mut self, op: &Op) -> Result<(), String> {
        if let Some(asked) = op.ask(&mut self.model) {
            let expected = asked.answer.unwrap_or_else(|error| format!("raised {error}"));
            return self.call(asked.host, &asked.source, &expected);
        }
        self.lines.push(format!("{op:?}"));
        match op {
            Op::Pass(ticks) => self.pass(*ticks),
            Op::Snapshot => {
                let is_new = self.model.take_snapshot();
                return if self.server().snapshot() == is_new { Ok(()) } else { Err(self.told(&format!("{is_new}"))) };
            }
            Op::Sweep => self.server().sweep(&self.versioning, &*self.clock),
            Op::Restart => {
                self.close();
                self.start();
            }
            Op::Delete { purge } => return self.delete(*purge),
            // Pages that are not there are not turned.
            Op::Call { .. } | Op::Turn(_) | Op::Wrong(..) => {}
        }
        Ok(())
    }

    /// Runs a line in one of the hosts.
    fn call(&mut self, host: usize, source: &str, expected: &str) -> Result<(), String> {
        let actual = self.server().call(host, source);
        self.lines.push(format!("[{host}] {source} --> {actual}"));
        let agrees = self.ids.agree(&self.model.keys, expected, &actual);
        self.server().know(&self.ids);
        self.model.seen.extend(self.ids.known().map(|(number, _)| number));
        if agrees { Ok(()) } else { Err(self.told(expected)) }
    }

    fn told(&self, expected: &str) -> String {
        format!("\n    {}\nexpected:\n    {expected}\n", self.lines.join("\n    "))
    }

    fn pass(&mut self, ticks: i64) {
        match u64::try_from(ticks) {
            Ok(ticks) => self.clock.advance(Duration::from_nanos(ticks * 100)),
            Err(_) => {
                let wall = self.clock.wall().ticks() - ticks.unsigned_abs();
                self.clock.set_wall(Timestamp::from_ticks(wall));
            }
        }
        self.model.now = self.clock.wall().ticks();
    }

    /// The game is deleted, says so, and comes back or is gone for good.
    fn delete(&mut self, purge: bool) -> Result<(), String> {
        let deleted = self.server.as_mut().unwrap().delete(&self.ids);
        self.model.pages = [const { None }; SLOTS];
        // What is left of removed keys is data for as long as it is not swept.
        if deleted != self.model.holds_any() && (!deleted || self.model.is_empty()) {
            return Err(self.told("deleted, if there is anything"));
        }
        if !deleted {
            return Ok(());
        }
        let text = "502: API Services rejected request with error. DatastoreDeleted: The data of this game is deleted. It \
                    can be restored until it is purged. (not applied)";
        for host in 0..HOSTS {
            let calls = [
                r#"ds("A", "global"):GetAsync("k")"#,
                r#"ds("A", "global"):SetAsync("k", 1)"#,
                r#"ds("A", "global"):ListKeysAsync()"#,
                r#"ods("A", "global"):GetSortedAsync(true, 10)"#,
            ];
            calls.iter().try_for_each(|source| self.call(host, source, &format!("raised {text}")))?;
        }
        if purge {
            self.server().purge();
            self.model.forget();
            self.ids = Ids::default();
        } else {
            self.server().restore();
        }
        Ok(())
    }
}
