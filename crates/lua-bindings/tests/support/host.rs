//! Two small hosts for specs: one that polls every parked coroutine once per tick, one with a scheduler that resumes only
//! what completed (`decisions.md` 28, 29). Neither sleeps: between ticks they wait for the bindings' wake-up.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use clawstore_actors::{Config, Game, Inbox, Process, ServerIdentity, SystemClock};
use clawstore_core::GameId;
use clawstore_core::backend::Backend;
use clawstore_core::clock::Clock;
use clawstore_core::versioning::{Retention, Versioning};
use clawstore_lua::{Bindings, Options};
use clawstore_testkit::SeededEntropy;
use mlua::{Function, Lua, Thread, Value};
use tokio::runtime::Runtime;

use crate::place::Place;

/// A store with its runtime.
pub(crate) struct Store {
    pub(crate) runtime: Runtime,
    pub(crate) process: Arc<Process>,
}

impl Store {
    pub(crate) fn open(backend: Arc<dyn Backend>) -> Self {
        Self::open_with(backend, Config::default())
    }

    /// Keeps every version, so that there are some to look at.
    pub(crate) fn on(place: &Place) -> Self {
        let runtime = runtime();
        let backend = runtime.block_on(place.backend());
        Self::start(
            runtime,
            backend,
            Config { versioning: Versioning::all(Retention::EveryWrite), ..Config::default() },
        )
    }

    /// With the backend in hand.
    pub(crate) fn at(place: &Place, clock: Arc<dyn Clock>, config: Config) -> (Self, Arc<dyn Backend>) {
        let runtime = runtime();
        let backend = runtime.block_on(place.backend());
        (Self::start_with(runtime, Arc::clone(&backend), clock, config), backend)
    }

    pub(crate) fn open_with(backend: Arc<dyn Backend>, config: Config) -> Self {
        Self::start(runtime(), backend, config)
    }

    pub(crate) fn with_clock(backend: Arc<dyn Backend>, clock: Arc<dyn Clock>) -> Self {
        Self::start_with(runtime(), backend, clock, Config::default())
    }

    fn start(runtime: Runtime, backend: Arc<dyn Backend>, config: Config) -> Self {
        Self::start_with(runtime, backend, Arc::new(SystemClock::start()), config)
    }

    fn start_with(runtime: Runtime, backend: Arc<dyn Backend>, clock: Arc<dyn Clock>, config: Config) -> Self {
        // Another incarnation each time, and the same in the next run.
        static SEED: AtomicU64 = AtomicU64::new(0);
        let entropy = Arc::new(SeededEntropy::new(SEED.fetch_add(1, Ordering::Relaxed)));
        let handle = runtime.handle().clone();
        let process = runtime.block_on(Process::start(backend, clock, entropy, handle, config));
        Self { process: process.expect("actors start"), runtime }
    }

    pub(crate) fn game(&self, number: u64) -> Arc<Game> {
        self.process.game(GameId::Number(number)).expect("actors start")
    }

    pub(crate) fn drain(&self) -> clawstore_actors::DrainReport {
        self.runtime.block_on(self.process.drain(Duration::from_secs(10)))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Polling,
    Scheduler,
}

/// One VM and the host around it.
pub(crate) struct Host {
    pub(crate) lua: Lua,
    pub(crate) bindings: Rc<Bindings>,
    /// Players on the VM's server.
    pub(crate) players: Arc<AtomicU32>,
    /// Of the VM's server.
    pub(crate) inbox: Weak<Inbox>,
    kind: Kind,
    threads: Rc<RefCell<Vec<Thread>>>,
    pub(crate) log: Rc<RefCell<Vec<String>>>,
    /// Ticks so far: one round of resuming.
    pub(crate) ticks: Rc<RefCell<u64>>,
}

impl Host {
    pub(crate) fn new(game: &Arc<Game>, kind: Kind) -> Self {
        Self::with_options(game, kind, Options::default())
    }

    pub(crate) fn with_options(game: &Arc<Game>, kind: Kind, mut options: Options) -> Self {
        let lua = Lua::new();
        let log = Rc::new(RefCell::new(Vec::new()));
        options.scheduler = kind == Kind::Scheduler;
        let sink = Rc::clone(&log);
        let options = options.log_to(move |line| sink.borrow_mut().push(line.to_owned()));
        let server =
            game.server(ServerIdentity { job_id: "job".into(), place_id: 1, max_players: 10, ..Default::default() });
        let inbox = Arc::downgrade(server.inbox());
        let players = Arc::clone(&server.identity().players);
        let bindings = Rc::new(Bindings::new(&lua, server, options).expect("bindings"));
        let waiting = thread::current();
        bindings.set_wake(move || waiting.unpark());
        let host = Self { lua, bindings, players, inbox, kind, threads: Rc::default(), log, ticks: Rc::default() };
        host.install();
        host
    }

    fn install(&self) {
        let lua = &self.lua;
        let globals = lua.globals();
        for service in self.bindings.service_names() {
            globals.set(service, self.bindings.service(service).expect("ours")).unwrap();
        }
        for class in Bindings::class_names() {
            globals.set(class, self.bindings.class(class).expect("ours")).unwrap();
        }
        let threads = Rc::clone(&self.threads);
        let start = move |lua: &Lua, function: Function| {
            let thread = lua.create_thread(function)?;
            threads.borrow_mut().push(thread.clone());
            thread.resume::<()>(())
        };
        globals.set("start", lua.create_function(start).unwrap()).unwrap();
        let log = Rc::clone(&self.log);
        globals.set("logged", lua.create_function(move |_, ()| Ok(log.borrow().join("\n"))).unwrap()).unwrap();
        let ticks = Rc::clone(&self.ticks);
        globals.set("ticks", lua.create_function(move |_, ()| Ok(*ticks.borrow())).unwrap()).unwrap();
        lua.load(include_str!("../luau/support.luau")).set_name("=support").exec().expect("support");
    }

    /// Starts a script as a coroutine of its own.
    pub(crate) fn start(&self, name: &str, source: &str) {
        let function = self.lua.load(source).set_name(format!("={name}")).into_function().expect("compiles");
        let thread = self.lua.create_thread(function).expect("memory");
        self.threads.borrow_mut().push(thread.clone());
        thread.resume::<()>(()).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// One tick: resumes what this kind of host resumes.
    pub(crate) fn tick(&self) {
        *self.ticks.borrow_mut() += 1;
        match self.kind {
            Kind::Polling => {
                let mut due = self.threads.borrow().clone();
                // Threads that run callbacks are new.
                self.bindings.completed(&self.lua, &mut due);
                due.into_iter().for_each(|thread| self.resume(thread));
            }
            Kind::Scheduler => {
                let (next, mut due) = (self.bindings.completions(), Vec::new());
                loop {
                    next(&self.lua, &mut due);
                    let Some(thread) = due.pop() else { break };
                    self.resume(thread);
                }
            }
        }
        self.threads.borrow_mut().retain(|thread| thread.is_resumable());
    }

    fn resume(&self, thread: Thread) {
        if !self.threads.borrow().contains(&thread) {
            self.threads.borrow_mut().push(thread.clone());
        }
        if thread.is_resumable() {
            thread.resume::<()>(()).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Lets go of every coroutine, as a host whose scripts are gone.
    pub(crate) fn forget_threads(&self) {
        self.threads.borrow_mut().clear();
    }

    pub(crate) fn parked(&self) -> usize {
        self.threads.borrow().len()
    }

    /// Ticks until every coroutine has ended.
    pub(crate) fn run(&self) {
        self.run_for(20_000);
        assert_eq!(self.parked(), 0, "coroutines never ended");
    }

    /// The same, but at most so many ticks.
    pub(crate) fn run_for(&self, ticks: u32) {
        for _ in 0..ticks {
            if self.parked() == 0 {
                return;
            }
            self.tick();
            // Woken by an arrival; the bound only keeps a lost one from hanging the test.
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub(crate) fn global(&self, name: &str) -> Value {
        self.lua.globals().get(name).expect("a global")
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.lua.globals().get(name).expect("a number")
    }
}
