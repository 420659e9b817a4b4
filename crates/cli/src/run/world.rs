//! All servers of a run, ticked together.
//!
//! Owns: the loop, in real and in simulated time, when it ends (`decisions.md` 30), and closing. Does not own: one server
//! (`server`), the store's life (`run`).
//!
//! In real time the loop never waits for the store: between two ticks it sleeps; a call that has ended wakes it and its thread
//! is resumed at once. In simulated time frames in which nothing is due are skipped.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clawstore::clock::{Clock, Moment};
use clawstore::{Game, GameStats};
use clawstore_luau::{CloseReason, RuntimeError};
use parking_lot::Mutex;

use crate::args::run::TimeArguments;
use crate::args::values::What;
use crate::console::Console;
use crate::run::figures::Figures;
use crate::run::output::Output;
use crate::run::pacer::Pacer;
use crate::run::plan::{Plan, ServerPlan};
use crate::run::players::Timetable;
use crate::run::report::ServerReport;
use crate::run::server::{GameServer, Surroundings};
use crate::run::time::GameTime;

const STATUS_PERIOD: Duration = Duration::from_secs(1);

/// Why a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Until,
    Signal,
    MaxReal,
    MaxSim,
    LastPlayerLeft,
    NothingLeft,
    StoreFailed,
    CannotStart,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Until => "the line of --until was seen",
            Self::Signal => "told to by a signal",
            Self::MaxReal => "the time of --max-real is over",
            Self::MaxSim => "the time of --max-sim is over",
            Self::LastPlayerLeft => "the last player has left",
            Self::NothingLeft => "nothing is left to run",
            Self::StoreFailed => "the store has failed",
            Self::CannotStart => "a server could not start",
        })
    }
}

impl End {
    fn reason(self) -> CloseReason {
        match self {
            Self::Signal | Self::Until | Self::MaxReal | Self::MaxSim => CloseReason::DeveloperShutdown,
            Self::LastPlayerLeft | Self::NothingLeft => CloseReason::ServerEmpty,
            Self::StoreFailed | Self::CannotStart => CloseReason::Unknown,
        }
    }
}

/// How long a run may take, and how fast its frames are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_real: Option<Duration>,
    pub(crate) max_sim: Option<Duration>,
    pub(crate) tick_hz: u32,
    pub(crate) shows_status: bool,
}

impl Limits {
    pub(super) fn of(time: &TimeArguments, shows_status: bool) -> Self {
        Self { max_real: time.max_real, max_sim: time.max_sim, tick_hz: time.tick_hz, shows_status }
    }
}

/// Something that is to be done before the next frame; beside the timetable.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// This server starts.
    Add(ServerPlan),
    /// This happens to the server of this name; nothing if there is none.
    Do(String, What),
}

/// Orders that wait, from whoever holds it.
pub(crate) type Orders = Rc<RefCell<VecDeque<Order>>>;

/// See the module.
pub(crate) struct World {
    servers: Vec<GameServer>,
    timetable: Timetable,
    time: GameTime,
    around: Surroundings,
    limits: Limits,
    orders: Orders,
    output: Rc<Output>,
    console: Arc<Mutex<Console>>,
    /// One, or one per server; for figures and their health.
    games: Vec<Game>,
    real: Arc<dyn Clock>,
    started: Moment,
    pacer: Pacer,
    /// Frames of simulated time so far.
    frame: u64,
    figures: Figures,
    /// `None`: no status line.
    next_status: Option<Moment>,
    stop: Arc<AtomicBool>,
}

impl World {
    pub(crate) fn new(
        plan: Plan,
        games: Vec<Game>,
        around: &Surroundings,
        limits: Limits,
        console: &Arc<Mutex<Console>>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let game = |number: usize| games[number.min(games.len() - 1)].clone();
        let servers = plan.servers.into_iter().enumerate();
        let servers = servers.map(|(n, server)| GameServer::new(n, server, game(n), around)).collect();
        let real = around.time.clock();
        let started = real.now();
        Self {
            servers,
            timetable: plan.timetable,
            time: around.time.clone(),
            around: around.clone(),
            limits,
            orders: Orders::default(),
            output: Rc::clone(&around.output),
            console: Arc::clone(console),
            games,
            pacer: Pacer::new(Arc::clone(&real), limits.tick_hz),
            real,
            started,
            frame: 0,
            figures: Figures::default(),
            next_status: limits.shows_status.then(|| started + STATUS_PERIOD),
            stop,
        }
    }

    /// Starts every server that no event starts.
    ///
    /// # Errors
    /// If a VM has no memory or a script does not compile.
    pub(crate) fn start(&mut self) -> Result<(), RuntimeError> {
        for server in self.servers.iter_mut().filter(|server| !server.starts_later()) {
            server.start()?;
        }
        Ok(())
    }

    /// Plays until something ends it.
    ///
    /// # Errors
    /// If a server that is to start cannot.
    pub(crate) fn play(&mut self) -> Result<End, RuntimeError> {
        loop {
            if let Some(end) = self.end() {
                return Ok(end);
            }
            self.tick()?;
        }
    }

    fn end(&self) -> Option<End> {
        if self.games.iter().any(|game| game.halted().is_some()) {
            Some(End::StoreFailed)
        } else if self.output.until_is_seen() {
            Some(End::Until)
        } else if self.stop.load(Ordering::Relaxed) {
            Some(End::Signal)
        } else if self.limits.max_real.is_some_and(|max| self.real.now().since(self.started) >= max) {
            Some(End::MaxReal)
        } else if self.limits.max_sim.is_some_and(|max| self.time.elapsed() >= max) {
            Some(End::MaxSim)
        } else if !self.timetable.is_over() {
            None
        } else if self.timetable.has_players() {
            let anyone = self.servers.iter().any(|server| server.players() > 0);
            match anyone {
                false => Some(End::LastPlayerLeft),
                // Nobody will make them leave: simulated time would go on for ever.
                true if self.time.is_simulated() && self.limits.max_sim.is_none() => self.nothing_left(),
                true => None,
            }
        } else {
            self.nothing_left()
        }
    }

    fn nothing_left(&self) -> Option<End> {
        let anything = self.servers.iter().any(GameServer::has_work);
        (!anything).then_some(End::NothingLeft)
    }

    /// Goes to the next frame, and does it.
    fn tick(&mut self) -> Result<(), RuntimeError> {
        let (dt, busy) = if self.time.is_simulated() { (self.skip(), Duration::ZERO) } else { self.sleep() };
        let begun = self.real.now();
        let elapsed = self.time.elapsed();
        while let Some(event) = self.timetable.next_due(elapsed) {
            self.servers[event.server].handle(&event.what)?;
        }
        self.follow_orders()?;
        for server in &mut self.servers {
            server.step(dt.as_secs_f64());
        }
        let now = self.real.now();
        self.figures.tick(busy + now.since(begun));
        if self.next_status.is_some_and(|due| now.since(due) > Duration::ZERO) {
            self.print_status(now);
        }
        self.console.lock().flush();
        Ok(())
    }

    /// Where orders are left.
    pub(crate) fn orders(&self) -> Orders {
        Rc::clone(&self.orders)
    }

    fn follow_orders(&mut self) -> Result<(), RuntimeError> {
        // Not in the loop's condition: a server that starts may give orders.
        while let Some(order) = self.next_order() {
            match order {
                Order::Add(plan) => {
                    let mut server = GameServer::new(self.servers.len(), plan, self.games[0].clone(), &self.around);
                    server.start()?;
                    self.servers.push(server);
                }
                Order::Do(name, what) => {
                    // The newest of that name: one that was killed may have a successor.
                    if let Some(server) = self.servers.iter_mut().rfind(|server| server.name() == name) {
                        server.handle(&what)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn next_order(&self) -> Option<Order> {
        self.orders.borrow_mut().pop_front()
    }

    /// Waits for the next tick, resuming threads whose call has ended meanwhile. Returns the time since the last tick, and how
    /// much of it scripts took.
    fn sleep(&mut self) -> (Duration, Duration) {
        let (servers, clock, console) = (&mut self.servers, &self.real, &self.console);
        let mut busy = Duration::ZERO;
        let dt = self.pacer.next_tick(|| {
            let begun = clock.now();
            let resumed: usize = servers.iter_mut().map(GameServer::resume_completed).sum();
            busy += clock.now().since(begun);
            console.lock().flush();
            // One that was resumed may have found the answer of another. A tick that is due comes first: there may be scripts
            // that make calls without end.
            resumed > 0
        });
        (dt, busy)
    }

    /// Lets simulated time go on to the next frame in which something is due. Returns the length of a frame: scripts that
    /// watch frames are shown each.
    fn skip(&mut self) -> Duration {
        let hz = u64::from(self.limits.tick_hz);
        let next = self.frame + 1;
        self.frame = if self.servers.iter().any(GameServer::needs_every_frame) {
            next
        } else {
            let due = self.servers.iter().filter_map(GameServer::next_due).chain(self.timetable.next_time());
            let due = due.chain(self.limits.max_sim).min();
            due.map_or(next, |due| next.max(frame_at(due, hz)))
        };
        self.time.advance_to(time_of(self.frame, hz));
        Duration::from_secs(1) / self.limits.tick_hz
    }

    fn print_status(&mut self, now: Moment) {
        let due = self.next_status.unwrap_or(now);
        let players = self.servers.iter().map(GameServer::players).sum();
        let stats = sum(self.games.iter().map(Game::stats));
        let mut line = self.figures.line(players, &stats, STATUS_PERIOD + now.since(due));
        if self.time.is_simulated() {
            line = format!("{} | {line}", clock_face(self.time.elapsed()));
        }
        self.console.lock().status(&line);
        self.next_status = Some(now + STATUS_PERIOD);
    }

    /// Players leave, `BindToClose` functions run. Ends with the VMs gone: what was accepted goes on.
    ///
    /// # Errors
    /// None that can come up: nothing starts any more.
    pub(crate) fn close(&mut self, end: End) -> Result<(), RuntimeError> {
        for server in &mut self.servers {
            server.begin_close(end.reason());
        }
        self.timetable = Timetable::empty();
        while self.servers.iter().any(GameServer::is_live) {
            self.tick()?;
        }
        Ok(())
    }

    pub(super) fn main_raised(&self) -> bool {
        self.servers.iter().any(GameServer::main_raised)
    }

    pub(crate) fn took_too_long(&self) -> bool {
        self.servers.iter().any(GameServer::took_too_long)
    }

    pub(super) fn reports(&self) -> Vec<ServerReport> {
        self.servers.iter().map(GameServer::report).collect()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.time.elapsed()
    }
}

/// The first frame at or after this time.
fn frame_at(time: Duration, hz: u64) -> u64 {
    let frames = (time.as_nanos() * u128::from(hz)).div_ceil(1_000_000_000);
    let frame = u64::try_from(frames).unwrap_or(u64::MAX);
    // `time_of` rounds down: the frame's own time may be just before.
    if time_of(frame, hz) < time { frame.saturating_add(1) } else { frame }
}

fn time_of(frame: u64, hz: u64) -> Duration {
    let nanos = u128::from(frame) * 1_000_000_000 / u128::from(hz);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn sum(all: impl Iterator<Item = GameStats>) -> GameStats {
    all.fold(GameStats::default(), |mut sum, one| {
        sum.in_flight += one.in_flight;
        sum.saves += one.saves;
        sum.durable_us = sum.durable_us.max(one.durable_us);
        sum
    })
}

/// `1:02:03`.
fn clock_face(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_at_or_after_a_time() {
        assert_eq!(frame_at(Duration::from_secs(1), 60), 60);
        assert_eq!(frame_at(Duration::from_nanos(1), 60), 1);
        assert_eq!(frame_at(Duration::ZERO, 60), 0);
        for frame in 0..1000 {
            assert_eq!(frame_at(time_of(frame, 60), 60), frame);
        }
        assert_eq!(clock_face(Duration::from_secs(3723)), "1:02:03");
    }
}
