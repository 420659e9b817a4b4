//! One game server of a run: a VM with its scripts and players.
//!
//! Owns: joining `clawstore` to `clawstore-luau`, and its life from start to close (`BindToClose`, 30 s). Does not own: the loop
//! and time (`world`), the store's life (`run`).

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use clawstore::clock::Timestamp;
use clawstore::{Bindings, Game, Interrupt, ServerOptions};
use clawstore_luau::{
    CloseReason, Level, Runtime, RuntimeError, RuntimeOptions, ScriptId, ScriptState, SignalBehavior,
};

use crate::args::values::What;
use crate::run::control::{Conditions, Counts, ServerControl};
use crate::run::output::Output;
use crate::run::plan::ServerPlan;
use crate::run::report::ServerReport;
use crate::run::time::GameTime;

/// Roblox's limit for `BindToClose` functions.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);
/// How long calls that were fired and forgotten may go on after the last `BindToClose` function has returned.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// What all servers of a run share.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) time: GameTime,
    pub(crate) output: Rc<Output>,
    pub(crate) conditions: Rc<Conditions>,
    /// Calls go through the conditions: they are simulated, delayed, failed or counted.
    pub(crate) is_controlled: bool,
    /// Other processes send messages to this one.
    pub(crate) hears_others: bool,
    /// `None`: another one in every run.
    pub(crate) seed: Option<u64>,
}

/// A VM that runs.
struct Live {
    runtime: Runtime,
    server: clawstore::Server,
    bindings: Bindings,
    open_calls: Box<dyn Fn() -> usize>,
    next_due: Box<dyn Fn() -> Option<Timestamp>>,
    due_work: Box<dyn Fn() -> bool>,
    scripts: Vec<ScriptId>,
    /// Players who have joined and not left as the timetable says; some may have been kicked.
    joined: BTreeSet<i64>,
    /// Subscriptions to messages.
    listeners: Box<dyn Fn() -> usize>,
    closing: Option<Closing>,
}

#[derive(Debug, Clone, Copy)]
struct Closing {
    begun: Duration,
    done_at: Option<Duration>,
}

/// How a server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
    TooLong,
}

/// See the module.
pub(super) struct GameServer {
    plan: ServerPlan,
    game: Game,
    around: Surroundings,
    number: usize,
    /// How often it has started.
    starts: u64,
    live: Option<Live>,
    end: Option<End>,
    counts: Counts,
    errors: u64,
    main_raised: bool,
}

impl GameServer {
    pub(super) fn new(number: usize, plan: ServerPlan, game: Game, around: &Surroundings) -> Self {
        Self {
            plan,
            game,
            around: around.clone(),
            number,
            starts: 0,
            live: None,
            end: None,
            counts: Counts::default(),
            errors: 0,
            main_raised: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.plan.name.as_deref().unwrap_or_default()
    }

    pub(super) fn starts_later(&self) -> bool {
        self.plan.starts_later
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Makes the VM and starts its scripts. Nothing if it runs already; a server that has ended starts anew.
    ///
    /// # Errors
    /// If the VM has no memory or a script does not compile.
    pub(super) fn start(&mut self) -> Result<(), RuntimeError> {
        if self.live.is_some() {
            return Ok(());
        }
        self.starts += 1;
        let named = self.plan.name.clone().or_else(|| self.plan.place.job_id.clone());
        let job_id = named.or_else(|| self.seed().map(job_id));
        let options =
            ServerOptions { job_id, place_id: self.plan.place.place_id, max_players: self.plan.place.max_players };
        let server = self.game.server(options);
        let mut runtime = Runtime::new(self.runtime_options(&server))?;
        let bindings = self.bind(&runtime, &server)?;
        plug_in(&mut runtime, &bindings)?;
        if let Some(extra) = &self.plan.extra {
            (extra.0)(&runtime)?;
        }
        self.end = None;
        self.live = Some(Live {
            runtime,
            server,
            open_calls: Box::new(bindings.open_call_counter()),
            next_due: Box::new(bindings.due_times()),
            due_work: Box::new(bindings.due_work()),
            scripts: Vec::new(),
            joined: BTreeSet::new(),
            listeners: Box::new(bindings.listener_counter()),
            bindings,
            closing: None,
        });
        self.run_scripts()
    }

    fn run_scripts(&mut self) -> Result<(), RuntimeError> {
        let Some(live) = &mut self.live else { return Ok(()) };
        if let Some(tree) = &self.plan.place.tree {
            live.scripts.extend(live.runtime.load_tree(tree)?);
        }
        for script in &self.plan.scripts {
            live.scripts.push(live.runtime.run_script(&script.name, &script.source)?);
        }
        Ok(())
    }

    fn runtime_options(&self, server: &clawstore::Server) -> RuntimeOptions {
        let (time, at, output, name) = (
            self.around.time.clone(),
            self.around.time.clone(),
            Rc::clone(&self.around.output),
            self.name().to_owned(),
        );
        let wall = time.clock().wall().unix_ms();
        let start_time = Duration::from_millis(wall).saturating_sub(time.elapsed());
        let mut options = RuntimeOptions::new(
            move || time.elapsed(),
            move |level, text| output.write(&name, at.elapsed(), level, text),
        );
        options.game_id = self.game.id().number();
        options.place_id = self.plan.place.place_id;
        server.job_id().clone_into(&mut options.job_id);
        options.max_players = self.plan.place.max_players;
        options.studio = self.plan.place.studio;
        if self.plan.place.deferred_signals {
            options.signal_behavior = SignalBehavior::Deferred;
        }
        options.start_time = start_time;
        options.memory_limit = Some(self.plan.place.script_memory);
        options.script_timeout = Some(self.plan.place.script_timeout);
        #[expect(clippy::cast_possible_truncation, reason = "the low bits of a seed are a seed")]
        let seed = self.seed().map(|seed| seed as u32);
        options.random_seed = seed;
        options
    }

    /// Each server draws other numbers, also one that starts again.
    fn seed(&self) -> Option<u64> {
        let number = u64::try_from(self.number).unwrap_or_default();
        let first = self.around.seed?.wrapping_mul(1_000_003).wrapping_add(number);
        Some(first.wrapping_add(self.starts.saturating_sub(1).wrapping_mul(1_009)))
    }

    fn bind(&self, runtime: &Runtime, server: &clawstore::Server) -> Result<Bindings, RuntimeError> {
        let (output, time, name) = (Rc::clone(&self.around.output), self.around.time.clone(), self.name().to_owned());
        let log = move |line: &str| output.write(&name, time.elapsed(), Level::Warn, line);
        let mut options = server.options().log_to(log);
        options.scheduler = true;
        options.profile = self.plan.place.profile;
        // During transforms, too, a script that never yields is ended by the runtime's own limit.
        options.interrupt = Interrupt::host(runtime.interrupt());
        if self.around.is_controlled {
            options.control = Some(Box::new(ServerControl::new(&self.around.conditions, &self.counts)));
        }
        Ok(server.bind_with(runtime.lua(), options)?)
    }

    /// Something that the timetable says.
    ///
    /// # Errors
    /// If it is to start and cannot.
    pub(super) fn handle(&mut self, what: &What) -> Result<(), RuntimeError> {
        match what {
            What::Start => return self.start(),
            What::Close => self.begin_close(CloseReason::DeveloperShutdown),
            What::Kill => self.kill(),
            What::Join { user_id, name } => {
                let Some(live) = self.live.as_mut().filter(|live| live.closing.is_none()) else { return Ok(()) };
                if live.runtime.player_joined(*user_id, name) {
                    live.server.player_joined(*user_id);
                    live.joined.insert(*user_id);
                }
            }
            What::Leave { user_id } => {
                if let Some(live) = &mut self.live {
                    live.player_leaves(*user_id);
                }
            }
        }
        Ok(())
    }

    /// Nothing of the VM runs any more; what the store has accepted goes on.
    fn kill(&mut self) {
        if let Some(live) = self.live.take() {
            self.note_end(&live, End::Killed);
        }
    }

    /// Players leave, `BindToClose` functions start.
    pub(super) fn begin_close(&mut self, reason: CloseReason) {
        let Some(live) = self.live.as_mut().filter(|live| live.closing.is_none()) else { return };
        live.closing = Some(Closing { begun: self.around.time.elapsed(), done_at: None });
        for player in live.runtime.players() {
            live.player_leaves(player.user_id);
        }
        live.bindings.closing();
        live.runtime.begin_close(reason);
    }

    /// One frame.
    pub(super) fn step(&mut self, dt: f64) {
        let Some(live) = &mut self.live else { return };
        live.runtime.step(dt);
        self.look_after_close();
    }

    /// Threads whose call has ended go on at once. Returns how many.
    pub(super) fn resume_completed(&mut self) -> usize {
        self.live.as_mut().map_or(0, |live| live.runtime.resume_completed())
    }

    fn look_after_close(&mut self) {
        let now = self.around.time.elapsed();
        let Some(live) = &mut self.live else { return };
        let Some(closing) = &mut live.closing else { return };
        if closing.done_at.is_none() && live.runtime.closing_done() {
            closing.done_at = Some(now);
        }
        let end = match closing.done_at {
            Some(_) if (live.open_calls)() == 0 => End::Closed,
            Some(at) if now.saturating_sub(at) >= SETTLE_LIMIT => End::Closed,
            None if now.saturating_sub(closing.begun) >= CLOSE_LIMIT => End::TooLong,
            _ => return,
        };
        if let Some(live) = self.live.take() {
            self.note_end(&live, end);
            live.server.close(clawstore::CloseReason::DeveloperShutdown);
        }
    }

    fn note_end(&mut self, live: &Live, end: End) {
        self.end = Some(end);
        self.errors += live.runtime.error_count();
        self.main_raised |= live.scripts.iter().any(|id| live.runtime.script_state(*id) == ScriptState::Failed);
    }

    /// Does anything happen in every frame?
    pub(super) fn needs_every_frame(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.closing.is_some() || live.runtime.has_frame_listeners())
    }

    /// When something happens next by itself, as time of the game.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let live = self.live.as_ref()?;
        let wall = self.around.time.clock().wall().ticks();
        let until = |at: Timestamp| Duration::from_nanos(at.ticks().saturating_sub(wall).saturating_mul(100));
        let call = (live.next_due)().map(|at| self.around.time.elapsed() + until(at));
        live.runtime.next_timer_due().into_iter().chain(call).min()
    }

    pub(super) fn has_work(&self) -> bool {
        // A message may be on its way although no call is open.
        self.live.as_ref().is_some_and(|live| {
            let listens = self.around.hears_others && (live.listeners)() > 0;
            listens || live.runtime.has_work() || (live.due_work)()
        })
    }

    pub(super) fn players(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.runtime.players().len())
    }

    /// Did a script of it raise an error?
    pub(super) fn main_raised(&self) -> bool {
        self.main_raised
    }

    /// Did it take too long to close?
    pub(super) fn took_too_long(&self) -> bool {
        self.end == Some(End::TooLong)
    }

    pub(super) fn report(&self) -> ServerReport {
        ServerReport {
            name: self.name().to_owned(),
            end: match self.end {
                Some(End::Closed) => "closed",
                Some(End::Killed) => "killed",
                Some(End::TooLong) => "close took too long",
                None => "never started",
            },
            errors: self.errors,
            calls: self.counts.borrow().clone(),
        }
    }
}

impl Live {
    fn player_leaves(&mut self, user_id: i64) {
        self.runtime.player_left(user_id);
        // A script may have kicked the player already: the store counts players by who joined.
        if self.joined.remove(&user_id) {
            self.server.player_left(user_id);
        }
    }
}

/// A job id of Roblox's form, the same in every run with this seed.
fn job_id(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let [a, b, c, d] = [0xffff, 0xffff, 0x0fff, 0x3fff].map(|most| random.u16(0..=most));
    format!("{:08x}-{a:04x}-4{c:03x}-{:04x}-{:08x}{b:04x}", random.u32(..), 0x8000 | d, random.u32(..))
}

/// Plugs the store into the scripts' world.
fn plug_in(runtime: &mut Runtime, bindings: &Bindings) -> Result<(), RuntimeError> {
    for name in bindings.service_names() {
        if let Some(service) = bindings.service(name) {
            runtime.add_service(name, service)?;
        }
    }
    for name in Bindings::class_names() {
        if let Some(constructor) = bindings.class(name) {
            runtime.add_class(name, constructor)?;
        }
    }
    runtime.set_completions(bindings.completions());
    runtime.set_pending_calls(bindings.pending_call_counter());
    let thread = std::thread::current();
    bindings.set_wake(move || thread.unpark());
    Ok(())
}
