//! The server: one VM with its scripts and players, ticked 60 times a second.
//!
//! Owns: joining `clawstore` to `clawstore-luau`, the loop, when it ends (`decisions.md` 30), and closing with
//! `BindToClose`. Does not own: the store's life (`run`).
//!
//! The loop never waits for the store. Between two ticks it sleeps; a call that has ended wakes it and its thread is
//! resumed at once, not at the next tick.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clawstore::clock::{Clock, Moment};
use clawstore::{BindOptions, Bindings, Game, Server, ServerOptions};
use clawstore_luau::{CloseReason, Level, Runtime, RuntimeError, RuntimeOptions, ScriptId, ScriptState};
use parking_lot::Mutex;

use crate::args::RunArguments;
use crate::console::Console;
use crate::run::figures::Figures;
use crate::run::output::Output;
use crate::run::pacer::Pacer;
use crate::run::players::{Event, Timetable};
use crate::run::scripts::Script;

/// Roblox's limit for `BindToClose` functions.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);
/// How long calls that were fired and forgotten may go on after the last `BindToClose` function has returned.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
const STATUS_PERIOD: Duration = Duration::from_secs(1);
/// Most memory of the scripts' VM: a script that takes more gets an error, and the machine stays well.
const VM_MEMORY_BYTES: usize = 1024 * 1024 * 1024;
/// `Players.MaxPlayers`, unless more are simulated.
const MAX_PLAYERS: u32 = 50;

/// Why a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Until,
    Signal,
    MaxReal,
    LastPlayerLeft,
    NothingLeft,
    StoreFailed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Until => "the line of --until was seen",
            Self::Signal => "told to by a signal",
            Self::MaxReal => "the time of --max-real is over",
            Self::LastPlayerLeft => "the last player has left",
            Self::NothingLeft => "nothing is left to run",
            Self::StoreFailed => "the store has failed",
        })
    }
}

impl End {
    fn reason(self) -> CloseReason {
        match self {
            Self::Signal | Self::Until | Self::MaxReal => CloseReason::DeveloperShutdown,
            Self::LastPlayerLeft | Self::NothingLeft => CloseReason::ServerEmpty,
            Self::StoreFailed => CloseReason::Unknown,
        }
    }
}

/// What is known about a server that has closed.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) main_raised: bool,
    pub(super) forbidden: Option<String>,
    pub(super) unseen: Vec<String>,
    pub(super) too_long: bool,
}

/// A running server.
pub(super) struct Host {
    runtime: Runtime,
    server: Server,
    scripts: Vec<ScriptId>,
    open_calls: Box<dyn Fn() -> usize>,
    output: Rc<Output>,
    console: Arc<Mutex<Console>>,
    timetable: Timetable,
    game: Game,
    clock: Arc<dyn Clock>,
    started: Moment,
    pacer: Pacer,
    figures: Figures,
    /// `None`: no status line.
    next_status: Option<Moment>,
    max_real: Option<Duration>,
    stop: Arc<AtomicBool>,
}

impl Host {
    pub(super) fn start(
        arguments: &RunArguments,
        game: &Game,
        clock: &Arc<dyn Clock>,
        console: &Arc<Mutex<Console>>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, RuntimeError> {
        let max_players = arguments.players.max(MAX_PLAYERS);
        let options = ServerOptions { job_id: arguments.job_id.clone(), place_id: arguments.place_id, max_players };
        let server = game.server(options);
        let output = Rc::new(Output::new(arguments, console));
        let started = clock.now();
        let mut runtime = Runtime::new(runtime_options(&server, arguments, game, clock, &output))?;
        let open_calls = bind(&mut runtime, &server, &output)?;
        Ok(Self {
            runtime,
            server,
            scripts: Vec::new(),
            open_calls,
            output,
            console: Arc::clone(console),
            timetable: Timetable::new(arguments.players, arguments.session),
            game: game.clone(),
            clock: Arc::clone(clock),
            started,
            pacer: Pacer::new(clock),
            figures: Figures::default(),
            next_status: (!arguments.no_status).then(|| started + STATUS_PERIOD),
            max_real: arguments.max_real,
            stop,
        })
    }

    pub(super) fn run_scripts(&mut self, scripts: &[Script]) -> Result<(), RuntimeError> {
        for script in scripts {
            self.scripts.push(self.runtime.run_script(&script.name, &script.source)?);
        }
        Ok(())
    }

    /// Plays until something ends it.
    pub(super) fn play(&mut self) -> End {
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            self.move_players();
            self.tick();
        }
    }

    fn end(&self) -> Option<End> {
        if self.game.halted().is_some() {
            Some(End::StoreFailed)
        } else if self.output.until_is_seen() {
            Some(End::Until)
        } else if self.stop.load(Ordering::Relaxed) {
            Some(End::Signal)
        } else if self.max_real.is_some_and(|max| self.elapsed() >= max) {
            Some(End::MaxReal)
        } else if self.timetable.is_over() {
            Some(End::LastPlayerLeft)
        } else if self.timetable.is_empty() && !self.runtime.has_work() {
            Some(End::NothingLeft)
        } else {
            None
        }
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().since(self.started)
    }

    fn move_players(&mut self) {
        let elapsed = self.elapsed();
        while let Some(event) = self.timetable.next_due(elapsed) {
            match event {
                Event::Join { user_id, name } => {
                    if self.runtime.player_joined(user_id, &name) {
                        self.server.player_joined(user_id);
                    }
                }
                Event::Leave { user_id } => self.player_leaves(user_id),
            }
        }
    }

    fn player_leaves(&self, user_id: i64) {
        // A script may have kicked the player already.
        if self.runtime.player_left(user_id) {
            self.server.player_left(user_id);
        }
    }

    /// Waits for the next tick, resuming threads whose call has ended meanwhile, and does it.
    fn tick(&mut self) {
        let (runtime, clock, console) = (&mut self.runtime, &self.clock, &self.console);
        let mut busy = Duration::ZERO;
        let dt = self.pacer.next_tick(|| {
            let begun = clock.now();
            // One that is resumed may find the answer of another.
            while runtime.resume_completed() > 0 {}
            busy += clock.now().since(begun);
            console.lock().flush();
        });
        let begun = self.clock.now();
        self.runtime.step(dt.as_secs_f64());
        let now = self.clock.now();
        self.figures.tick(busy + now.since(begun));
        if self.next_status.is_some_and(|due| now.since(due) > Duration::ZERO) {
            self.print_status(now);
        }
        self.console.lock().flush();
    }

    fn print_status(&mut self, now: Moment) {
        let due = self.next_status.unwrap_or(now);
        let line = self.figures.line(self.runtime.players().len(), &self.game.stats(), STATUS_PERIOD + now.since(due));
        self.console.lock().status(&line);
        self.next_status = Some(now + STATUS_PERIOD);
    }

    /// Players leave, `BindToClose` functions run. Ends with the VM gone: its accepted saves go on.
    pub(super) fn close(mut self, end: End) -> Closed {
        for player in self.runtime.players() {
            self.player_leaves(player.user_id);
        }
        self.runtime.begin_close(end.reason());
        let begun = self.clock.now();
        let mut done_at = None;
        let too_long = loop {
            let now = self.clock.now();
            if done_at.is_none() && self.runtime.closing_done() {
                done_at = Some(now);
            }
            match done_at {
                Some(_) if (self.open_calls)() == 0 => break false,
                Some(at) if now.since(at) >= SETTLE_LIMIT => break false,
                None if now.since(begun) >= CLOSE_LIMIT => break true,
                _ => self.tick(),
            }
        };
        let main_raised = self.scripts.iter().any(|id| self.runtime.script_state(*id) == ScriptState::Failed);
        self.server.close(store_reason(end));
        Closed { main_raised, forbidden: self.output.forbidden(), unseen: self.output.unseen(), too_long }
    }
}

fn store_reason(end: End) -> clawstore::CloseReason {
    match end.reason() {
        CloseReason::ServerEmpty => clawstore::CloseReason::ServerEmpty,
        _ => clawstore::CloseReason::DeveloperShutdown,
    }
}

fn runtime_options(
    server: &Server,
    arguments: &RunArguments,
    game: &Game,
    clock: &Arc<dyn Clock>,
    output: &Rc<Output>,
) -> RuntimeOptions {
    let (since, clock, output) = (clock.now(), Arc::clone(clock), Rc::clone(output));
    let start_time = Duration::from_millis(clock.wall().unix_ms());
    let mut options =
        RuntimeOptions::new(move || clock.now().since(since), move |level, text| output.write(level, text));
    options.game_id = game.id().number();
    options.place_id = arguments.place_id;
    server.job_id().clone_into(&mut options.job_id);
    options.max_players = arguments.players.max(MAX_PLAYERS);
    options.start_time = start_time;
    options.memory_limit = Some(VM_MEMORY_BYTES);
    options
}

/// Plugs the store into the scripts' world. Returns what counts the calls that have not returned.
fn bind(runtime: &mut Runtime, server: &Server, output: &Rc<Output>) -> Result<Box<dyn Fn() -> usize>, RuntimeError> {
    let output = Rc::clone(output);
    let mut options = BindOptions::default().log_to(move |line| output.write(Level::Warn, line));
    options.scheduler = true;
    let bindings = server.bind_with(runtime.lua(), options)?;
    if let Some(service) = bindings.service("DataStoreService") {
        runtime.add_service("DataStoreService", service)?;
    }
    for name in Bindings::class_names() {
        if let Some(constructor) = bindings.class(name) {
            runtime.add_class(name, constructor)?;
        }
    }
    runtime.set_completions(bindings.completions());
    runtime.set_pending_calls(bindings.open_call_counter());
    let thread = std::thread::current();
    bindings.set_wake(move || thread.unpark());
    Ok(Box::new(bindings.open_call_counter()))
}
