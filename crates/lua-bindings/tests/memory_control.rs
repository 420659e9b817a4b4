//! Calls of memory stores that are made of several, under the conditions of a simulated run: they are one call there.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clawstore_core::CallError;
use clawstore_core::clock::Timestamp;
use clawstore_lua::{CallControl, CallInfo, Fault, Options, Verdict};
use clawstore_testkit::{ManualClock, MemoryBackend};
use host::{Host, Kind, Store};

const LATENCY_MS: u64 = 50;

/// Every call takes the same time; those of a method fail.
struct Conditions {
    fails: Option<(&'static str, Fault)>,
    begun: Rc<RefCell<Vec<String>>>,
}

impl CallControl for Conditions {
    fn begin(&self, call: &CallInfo<'_>) -> Verdict {
        self.begun.borrow_mut().push(call.method.to_owned());
        let fault = self.fails.as_ref().filter(|(method, _)| *method == call.method).map(|(_, fault)| fault.clone());
        Verdict { latency: Duration::from_millis(LATENCY_MS), fault }
    }

    fn deliver(&self, _: &str) -> Option<Duration> {
        None
    }

    fn settles_calls(&self) -> bool {
        true
    }

    fn wait(&self) {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A simulated run of one script.
struct Run {
    begun: Rc<RefCell<Vec<String>>>,
    clock: Arc<ManualClock>,
    host: Host,
    store: Store,
}

impl Run {
    fn new(fails: Option<(&'static str, Fault)>) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_ms(1_700_000_000_000)));
        let store = Store::with_clock(Arc::new(MemoryBackend::new()), Arc::clone(&clock) as _);
        let begun = Rc::default();
        let control = Conditions { fails, begun: Rc::clone(&begun) };
        let options = Options { control: Some(Box::new(control)), ..Options::default() };
        let host = Host::with_options(&store.game(1), Kind::Scheduler, options);
        let map = "map, queue = MemoryStoreService:GetHashMap('map'), MemoryStoreService:GetQueue('queue')";
        host.lua.load(map).exec().unwrap();
        Self { begun, clock, host, store }
    }

    /// Runs the script to its end; gives the simulated milliseconds that it took.
    fn run(&self, script: &str) -> u64 {
        self.host.start("script", script);
        let mut took = 0;
        while self.host.parked() > 0 {
            assert!(took < 60_000, "it never ends");
            // Whatever takes no time is done before time goes on.
            (0..16).for_each(|_| self.host.tick());
            if self.host.parked() > 0 {
                self.clock.advance(Duration::from_millis(10));
                took += 10;
            }
        }
        took
    }

    fn begun(&self) -> Vec<String> {
        std::mem::take(&mut self.begun.borrow_mut())
    }
}

fn lost() -> Fault {
    Fault::LoseAnswer(CallError::unknown("Lost."))
}

/// Counts, and keeps what it was told.
const UPDATE: &str = "runs = 0
    local function count(old)
        runs += 1
        return (old or 0) + 1
    end
    ok, message = pcall(map.UpdateAsync, map, 'k', count, 60)";

#[test]
fn an_update_is_one_call_and_takes_its_time_once() {
    let run = Run::new(None);
    assert_eq!(run.run(&format!("{UPDATE} assert(ok and message == 1)")), LATENCY_MS);
    assert_eq!(run.begun(), ["UpdateAsync"]);
    let cancel = "assert(map:UpdateAsync('k', function() return nil end, 60) == nil)";
    assert_eq!((run.run(cancel), run.begun()), (LATENCY_MS, vec!["UpdateAsync".to_owned()]));
}

#[test]
fn an_update_whose_answer_is_lost_has_been_made() {
    let run = Run::new(Some(("UpdateAsync", lost())));
    let took = run.run(&format!("{UPDATE} value = map:GetAsync('k')"));
    run.run(
        "assert(not ok and string.find(message, 'outcome unknown', 1, true), message) assert(value == 1 and runs == 1)",
    );
    assert_eq!(took, 2 * LATENCY_MS);
    assert_eq!(run.begun(), ["UpdateAsync", "GetAsync"]);
    assert!(run.host.log.borrow().iter().any(|line| line.contains("API: UpdateAsync")), "the engine prints it");
    // One that cancels has an answer to lose as well.
    run.run("raises_with('outcome unknown', map.UpdateAsync, map, 'k', function() return nil end, 60)");
    // A failure of its own is told as it is.
    run.run("raises_with('TransformCallbackFailed: ', map.UpdateAsync, map, 'k', function() error('no') end, 60)");
}

#[test]
fn an_update_that_is_refused_runs_nothing() {
    let refuse = Fault::Refuse(CallError::unavailable("Told to."));
    let run = Run::new(Some(("UpdateAsync", refuse)));
    run.run(&format!("{UPDATE} assert(not ok and runs == 0 and map:GetAsync('k') == nil)"));
    assert_eq!(run.begun(), ["UpdateAsync", "GetAsync"]);
}

#[test]
fn an_update_that_runs_again_is_still_one_call() {
    let run = Run::new(Some(("UpdateAsync", lost())));
    let script = "runs = 0
        ok, message = pcall(map.UpdateAsync, map, 'k', function(old)
            runs += 1
            if runs < 3 then
                meddle(runs * 10)
            end
            return (old or 0) + 1
        end, 60)
        assert(not ok and string.find(message, 'outcome unknown', 1, true), message)
        assert(runs == 3 and map:GetAsync('k') == 21)";
    let other = run.store.game(1).server(clawstore_actors::ServerIdentity::default());
    let meddle = move |_: &mlua::Lua, value: i64| {
        use clawstore_core::memory_store::{HashMapCall, MemoryCall, Write};
        let value = clawstore_core::Value::integer(value);
        let write = Write { value, sort_key: None, expires_in: 60, expected: None };
        other.memory_call(MemoryCall::HashMap("map".into(), HashMapCall::Set("k".into(), write)));
        Ok(())
    };
    run.host.lua.globals().set("meddle", run.host.lua.create_function(meddle).unwrap()).unwrap();
    assert_eq!(run.run(script), 2 * LATENCY_MS);
    assert_eq!(run.begun(), ["UpdateAsync", "GetAsync"]);
}

#[test]
fn a_read_that_waits_for_items_is_one_call() {
    let run = Run::new(None);
    let took = run.run("local items, id = queue:ReadAsync(1, false, 5) assert(#items == 0 and id == nil)");
    assert_eq!((took, run.begun()), (5_000, vec!["ReadAsync".to_owned()]));
}

#[test]
fn a_read_whose_answer_is_lost_has_hidden_the_items() {
    let run = Run::new(Some(("ReadAsync", lost())));
    run.run(
        "queue:AddAsync('item', 600)
        raises_with('outcome unknown', queue.ReadAsync, queue, 1, false, 0)
        assert(queue:GetSizeAsync(true) == 0 and queue:GetSizeAsync(false) == 1)",
    );
    assert_eq!(run.begun(), ["AddAsync", "ReadAsync", "GetSizeAsync", "GetSizeAsync"]);
}
