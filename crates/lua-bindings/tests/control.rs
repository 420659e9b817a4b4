//! Calls under the conditions of a simulated run: late, refused, done without an answer.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clawstore_actors::{Config, Process, ServerIdentity};
use clawstore_core::clock::Timestamp;
use clawstore_core::{CallError, GameId};
use clawstore_lua::{Bindings, CallControl, CallInfo, Fault, Options, Verdict};
use clawstore_testkit::{ManualClock, MemoryBackend, SeededEntropy};
use mlua::{Lua, Thread};

/// Every call takes the same time; those of a method fail.
struct Conditions {
    latency: Duration,
    fails: Option<(&'static str, Fault)>,
    begun: Rc<std::cell::RefCell<Vec<String>>>,
}

impl CallControl for Conditions {
    fn begin(&self, call: &CallInfo<'_>) -> Verdict {
        self.begun.borrow_mut().push(format!("{}.{}", call.service, call.method));
        let fault = self.fails.as_ref().filter(|(method, _)| *method == call.method).map(|(_, fault)| fault.clone());
        Verdict { latency: self.latency, fault }
    }
    fn deliver(&self, _: &str) -> Option<Duration> {
        Some(Duration::ZERO)
    }
    fn settles_calls(&self) -> bool {
        true
    }
    fn wait(&self) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

struct World {
    clock: Arc<ManualClock>,
    lua: Lua,
    bindings: Bindings,
    begun: Rc<std::cell::RefCell<Vec<String>>>,
    _process: Arc<Process>,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(fails: Option<(&'static str, Fault)>) -> Self {
        Self::with_latency(fails, Duration::from_millis(50))
    }

    fn with_latency(fails: Option<(&'static str, Fault)>, latency: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_000)));
        let (backend, entropy) = (Arc::new(MemoryBackend::new()), Arc::new(SeededEntropy::new(1)));
        let (given, handle) = (Arc::clone(&clock), runtime.handle().clone());
        let process = runtime.block_on(Process::start(backend, given, entropy, handle, Config::default())).unwrap();
        let lua = Lua::new();
        let server = process.game(GameId::Number(1)).unwrap().server(ServerIdentity::default());
        let begun = Rc::default();
        let control = Conditions { latency, fails, begun: Rc::clone(&begun) };
        let options = Options { scheduler: true, control: Some(Box::new(control)), ..Options::default() };
        let bindings = Bindings::new(&lua, server, options).unwrap();
        let waiting = std::thread::current();
        bindings.set_wake(move || waiting.unpark());
        lua.globals().set("DataStoreService", bindings.service("DataStoreService").unwrap()).unwrap();
        lua.load("store = DataStoreService:GetDataStore('S')").exec().unwrap();
        Self { clock, lua, bindings, begun, _process: process, _runtime: runtime }
    }

    fn start(&self, source: &str) -> Thread {
        let thread = self.lua.create_thread(self.lua.load(source).into_function().unwrap()).unwrap();
        thread.resume::<()>(()).unwrap();
        thread
    }

    /// Lets time go on, then resumes what has completed. Returns how many threads that were.
    fn pass(&self, ms: u64) -> usize {
        self.clock.advance(Duration::from_millis(ms));
        let (next, mut threads, mut count) = (self.bindings.completions(), Vec::new(), 0);
        loop {
            next(&self.lua, &mut threads);
            let Some(thread) = threads.pop() else { return count };
            thread.resume::<()>(()).unwrap();
            count += 1;
        }
    }

    fn global<T: mlua::FromLua>(&self, name: &str) -> T {
        self.lua.globals().get(name).unwrap()
    }
}

#[test]
fn results_come_when_their_time_has_come_and_not_before() {
    let world = World::new(None);
    world.start("version = store:SetAsync('k', 5) value = store:GetAsync('k')");
    assert_eq!(world.bindings.next_due(), Some(Timestamp::from_unix_ms(1_050)));
    assert_eq!(world.pass(49), 0);
    assert_eq!((world.pass(1), world.global::<Option<i64>>("value")), (1, None));
    assert_eq!((world.pass(50), world.global::<Option<i64>>("value")), (1, Some(5)));
    assert_eq!((world.bindings.open_calls(), world.bindings.next_due()), (0, None));
    assert_eq!(*world.begun.borrow(), ["DataStoreService.SetAsync", "DataStoreService.GetAsync"]);
}

#[test]
fn calls_take_effect_in_the_order_in_which_they_are_made() {
    let world = World::new(None);
    world.start("store:UpdateAsync('k', function(old) seen = old return 'one' end)");
    world.start("store:UpdateAsync('k', function(old) seen = old return 'two' end)");
    assert_eq!(world.global::<String>("seen"), "one", "both have run, the second on the result of the first");
    assert_eq!(world.pass(50), 2);
}

#[test]
fn a_refused_call_does_nothing() {
    let world = World::new(Some(("SetAsync", Fault::Refuse(CallError::unavailable("Told to.")))));
    world.start("ok, message = pcall(store.SetAsync, store, 'k', 5) value = store:GetAsync('k')");
    assert_eq!((world.pass(50), world.pass(50)), (1, 1));
    assert!(!world.global::<bool>("ok"));
    assert!(world.global::<String>("message").ends_with("Told to. (not applied)"));
    assert_eq!(world.global::<Option<i64>>("value"), None);
}

#[test]
fn a_call_whose_answer_is_lost_has_been_done() {
    let world = World::new(Some(("SetAsync", Fault::LoseAnswer(CallError::unknown("Lost.")))));
    world.start("ok, message = pcall(store.SetAsync, store, 'k', 5) value = store:GetAsync('k')");
    assert_eq!((world.pass(50), world.pass(50)), (1, 1));
    assert!(!world.global::<bool>("ok"));
    assert!(world.global::<String>("message").contains("outcome unknown"));
    assert_eq!(world.global::<Option<i64>>("value"), Some(5));
}

#[test]
fn a_coroutine_that_is_gone_costs_nothing_when_its_time_comes() {
    let world = World::new(None);
    let thread = world.start("store:SetAsync('k', 5) never = true");
    world.lua.load("coroutine.close(...)").call::<()>(thread).unwrap();
    assert_eq!(world.pass(50), 0);
    assert_eq!(world.global::<Option<bool>>("never"), None);
    assert_eq!(world.bindings.open_calls(), 0);
}

#[test]
fn a_call_without_latency_returns_at_the_next_look() {
    let world = World::with_latency(None, Duration::ZERO);
    world.start("value = store:SetAsync('k', 5) and store:GetAsync('k')");
    assert_eq!((world.pass(0), world.global::<Option<i64>>("value")), (1, None));
    assert_eq!((world.pass(0), world.global::<Option<i64>>("value")), (1, Some(5)));
}

#[test]
fn a_refused_call_without_latency_returns_at_the_next_look() {
    let refuse = Fault::Refuse(CallError::unavailable("Told to."));
    let world = World::with_latency(Some(("SetAsync", refuse)), Duration::ZERO);
    world.start("ok = pcall(store.SetAsync, store, 'k', 5)");
    assert_eq!((world.pass(0), world.global::<Option<bool>>("ok")), (1, Some(false)));
}

#[test]
fn a_thread_that_someone_else_resumes_is_not_resumed_again_in_a_bare_yield() {
    let world = World::new(None);
    let thread = world.start("store:SetAsync('k', 5) passed = true coroutine.yield() never = true");
    world.clock.advance(Duration::from_millis(50));
    // It looks by itself, and goes on into a yield of its own.
    thread.resume::<()>(()).unwrap();
    assert_eq!((world.global::<Option<bool>>("passed"), world.pass(0)), (Some(true), 0));
    assert_eq!(world.global::<Option<bool>>("never"), None);
}

#[test]
fn a_thread_that_an_earlier_one_of_the_round_resumes_is_not_resumed_again() {
    let world = World::new(None);
    world.start("store:GetAsync('a') assert(coroutine.resume(T))");
    let waiting = world.start("store:GetAsync('b') stage = 1 coroutine.yield() stage = 2");
    world.lua.globals().set("T", waiting).unwrap();
    assert_eq!((world.pass(50), world.global::<i64>("stage")), (1, 1));
    assert_eq!((world.pass(50), world.global::<i64>("stage")), (0, 1));
}
