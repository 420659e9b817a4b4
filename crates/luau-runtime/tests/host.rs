//! The scheduler alone, in a VM that belongs to somebody else.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use clawstore_luau::mlua::{Function, Lua, Table, Thread};
use clawstore_luau::{HostOptions, HostScheduler, RuntimeError, ScriptState, StepReport};

/// An engine with its own globals, some of them replaced as engines do.
struct Host {
    lua: Lua,
    scheduler: HostScheduler,
    now: Rc<Cell<u64>>,
    errors: Rc<RefCell<Vec<String>>>,
}

impl Host {
    fn new() -> Self {
        let lua = Lua::new();
        lua.load("game, log = 'the game of the host', {} table.insert, table.remove, table.find, table.pack = nil, nil, nil, nil")
            .exec()
            .unwrap();
        let (now, errors) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        let (clock, sink) = (Rc::clone(&now), Rc::clone(&errors));
        let options = HostOptions::new(
            move || Duration::from_millis(clock.get()),
            move |level, text| sink.borrow_mut().push(format!("{level:?} {text}")),
        );
        let scheduler = HostScheduler::install(&lua, options).unwrap();
        Self { lua, scheduler, now, errors }
    }

    fn step(&mut self, millis: u64) -> StepReport {
        self.now.set(self.now.get() + millis);
        self.scheduler.step(|_| {})
    }

    fn run(&mut self, source: &str) {
        let script = self.scheduler.run_script("script", source).unwrap();
        assert_ne!(self.scheduler.script_state(script), ScriptState::Failed, "{:#?}", self.errors.borrow());
    }

    /// What scripts have put into `log`.
    fn log(&self) -> String {
        self.lua.load("return table.concat(log, ' ')").eval().unwrap()
    }
}

#[test]
fn timers_spawns_and_cancellations_work_and_the_globals_stay_the_hosts() {
    let mut host = Host::new();
    host.run(
        "assert(game == 'the game of the host' and table.insert == nil)
         added = true
         local function say(text) log[#log + 1] = text end
         task.spawn(say, 'spawned')
         task.defer(say, 'deferred')
         task.delay(0.1, say, 'delayed')
         task.cancel(task.delay(0.1, say, 'cancelled'))
         coroutine.wrap(function() task.wait(0.2) say('wrapped') end)()
         task.spawn(function() coroutine.yield() say('a bare yield was resumed') end)
         say('main')",
    );
    assert_eq!(host.log(), "spawned main deferred");
    assert!(host.lua.globals().get::<bool>("added").unwrap(), "scripts share the globals of the VM");
    assert_eq!(host.scheduler.next_timer_due(), Some(Duration::from_millis(100)));
    host.step(100);
    assert_eq!(host.log(), "spawned main deferred delayed");
    assert!(host.scheduler.has_work());
    host.step(100);
    host.step(1000);
    assert_eq!(host.log(), "spawned main deferred delayed wrapped");
    assert!(!host.scheduler.has_work() && host.errors.borrow().is_empty());
}

#[test]
fn the_host_fires_its_own_events() {
    let mut host = Host::new();
    let event = host.scheduler.signal().unwrap();
    host.lua.globals().set("Joined", event.value()).unwrap();
    host.run(
        "assert(typeof(Joined) == 'RBXScriptSignal')
         Joined:Connect(function(name) task.wait(0.1) log[#log + 1] = 'saved ' .. name end)
         Joined:Once(function(name) error('bad handler') end)
         Joined:Connect(function(name) log[#log + 1] = name end)
         task.spawn(function() local name = Joined:Wait() log[#log + 1] = 'waited ' .. name end)",
    );
    assert_eq!(event.listeners(), 4);
    host.scheduler.fire(&event, "Ada");
    assert_eq!(host.log(), "Ada waited Ada");
    assert_eq!(event.listeners(), 2);
    host.step(100);
    assert_eq!(host.log(), "Ada waited Ada saved Ada");
    assert_eq!(host.scheduler.error_count(), 1);
    assert!(
        host.errors.borrow()[0].starts_with("Error script:3: bad handler\n  script:3"),
        "{:?}",
        host.errors.borrow()
    );
}

#[test]
fn frame_events_come_after_completed_calls_and_before_timers() {
    let mut host = Host::new();
    let heartbeat = host.scheduler.signal().unwrap();
    host.lua.globals().set("Heartbeat", heartbeat.value()).unwrap();
    let waiting: Rc<RefCell<Vec<Thread>>> = Rc::default();
    let parked = Rc::clone(&waiting);
    let park = host.lua.create_function(move |_, thread: Thread| {
        parked.borrow_mut().push(thread);
        Ok(())
    });
    host.lua.globals().set("park", park.unwrap()).unwrap();
    let open = Rc::clone(&waiting);
    host.scheduler.set_pending_calls(move || open.borrow().len());
    host.scheduler.set_completions(move |_, threads| threads.append(&mut waiting.borrow_mut()));
    host.run(
        "task.delay(0, function() log[#log + 1] = 'timer' task.defer(function() log[#log + 1] = 'deferred' end) end)
         Heartbeat:Connect(function(dt) log[#log + 1] = 'heartbeat ' .. dt end)
         coroutine.wrap(function() park(coroutine.running()) coroutine.yield() log[#log + 1] = 'call' end)()",
    );
    assert!(host.scheduler.has_work());
    host.now.set(16);
    let report = host.scheduler.step(|scheduler| scheduler.fire(&heartbeat, 0.5));
    assert_eq!(host.log(), "call heartbeat 0.5 timer deferred");
    assert_eq!(report, StepReport { completed_calls: 1, timers: 1, deferred: 1, errors: 0 });
}

#[test]
fn the_host_starts_and_resumes_threads_of_its_own() {
    let host = Host::new();
    let body: Function = host
        .lua
        .load("return function(a) log[#log + 1] = a local b = coroutine.yield() log[#log + 1] = b error('end') end")
        .eval()
        .unwrap();
    let thread = host.scheduler.spawn(body, "started").unwrap();
    host.scheduler.resume(&thread, "resumed");
    host.scheduler.resume(&thread, "not a third time");
    assert_eq!(host.log(), "started resumed");
    assert_eq!(host.scheduler.error_count(), 1);
}

#[test]
fn a_script_that_does_not_compile_is_a_load_error() {
    let mut host = Host::new();
    let error = host.scheduler.run_script("broken", "local = 1").unwrap_err();
    assert!(matches!(&error, RuntimeError::Load { name, .. } if name == "broken"), "{error}");
}

#[test]
fn a_vm_that_goes_away_takes_the_scheduler_along() {
    let mut host = Host::new();
    host.run("task.delay(100, print) task.spawn(function() task.wait(100) end)");
    let weak = host.lua.weak();
    let globals: Table = host.lua.globals();
    drop(globals);
    drop(host);
    assert!(weak.try_upgrade().is_none(), "the VM is kept alive by what was put into it");
}
