//! Two processes that run 60 times a second, one key that both update all the time.
//!
//! Owns: their load, how long it took from asking for the key until it had changed hands, with and without hints. Does not own: how
//! the key changes hands. No key is shared here: then there would be no hand-overs.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clawstore::mlua::{self, Function, Lua, Value};
use clawstore::{Clawstore, GameId, metric_definitions};
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::ScenarioOptions;
use super::worker::{self, WorkerOptions, lines_of};
use crate::chaos::process::Event;
use crate::chaos::target::Server;
use crate::vm::{LocalResult, Vm};

/// Of each kind.
const HAND_OVERS: u64 = 10_000;
const COROUTINES: u64 = 8;
const FRAME: Duration = Duration::from_nanos(16_666_667);
/// What acceptance asks for of the 99th percentile.
const WITH_HINTS: Duration = Duration::from_millis(50);
const WITHOUT: Duration = Duration::from_millis(1_500);
/// More than all hand-overs may take.
const PATIENCE: Duration = Duration::from_secs(3_600);

const SCRIPT: &str = r#"
local Load = game:GetService("Load")
local store = game:GetService("DataStoreService"):GetDataStore("Shared")

local function bump(value)
	return (value or 0) + 1
end

function Load.start(coroutines)
	for _ = 1, coroutines do
		task.spawn(function()
			while Load.goes_on() do
				Load.answered(pcall(store.UpdateAsync, store, "key", bump))
			end
		end)
	end
end
"#;

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let count = options.count.unwrap_or(HAND_OVERS);
    let hinted = measure("hand-over", "with hints", count)?;
    let unhinted = measure("hand-over-unhinted", "without hints", count)?;
    for (what, p99, at_most) in [("with hints", hinted, WITH_HINTS), ("without hints", unhinted, WITHOUT)] {
        ensure!(p99 <= at_most, "{what}: one in a hundred took {p99:?} or longer, instead of {at_most:?}");
    }
    Ok(())
}

/// What one wait in a hundred exceeds.
fn measure(task: &str, what: &str, count: u64) -> Result<Duration> {
    let server = Server::start()?;
    let start_worker = |number| worker::start(&server.url(), task, count.div_ceil(2), number);
    let mut workers = (0..2).map(start_worker).collect::<Result<Vec<_>>>()?;
    for worker in &workers {
        worker.wait_for(Event::Open)?;
    }
    let start = Instant::now();
    for worker in &mut workers {
        worker.say("go")?;
    }
    for worker in &workers {
        worker.wait_at_most(Event::Idle, PATIENCE)?;
    }
    let took = start.elapsed();
    for worker in &mut workers {
        worker.say("stop")?;
    }
    let (mut waits, mut increments) = (Vec::new(), 0);
    for worker in workers {
        worker.wait_for(Event::End)?;
        let told = String::from_utf8(worker.close()?)?;
        for micros in lines_of(&told, "waited") {
            waits.push(Duration::from_micros(micros.parse()?));
        }
        let answered = lines_of(&told, "answered").next().context("how many increments were answered")?;
        increments += answered.parse::<u64>()?;
    }
    let stored = server.value("Shared", "key")?;
    waits.sort_unstable();
    let at = |percent: usize| waits.get(waits.len() * percent / 100).copied().unwrap_or_default();
    let longest = waits.last().copied().unwrap_or_default();
    println!(
        "{what}: {} hand-overs and {increments} increments in {:.1} s; from asking to having it p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, at most {longest:.1?}",
        waits.len(),
        took.as_secs_f64(),
        at(50),
        at(90),
        at(99),
    );
    ensure!(stored == increments.to_string(), "{stored} stored: something was lost or done twice");
    Ok(at(99))
}

/// Updates the key, frame by frame, until it is told to stop.
pub(super) fn work(store: &Clawstore, options: &WorkerOptions) -> Result<()> {
    let waits = Waits::default();
    metrics::set_global_recorder(waits.clone()).map_err(|error| anyhow!("{error}"))?;
    update(store, options.count, &waits).map_err(|error| anyhow!("{error}"))
}

fn update(store: &Clawstore, count: u64, waits: &Waits) -> LocalResult<()> {
    let (stops, is_told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&stops);
    thread::spawn(move || {
        // Also when nobody is there any more.
        let _ = io::stdin().read_line(&mut String::new());
        told.store(true, Ordering::Release);
    });
    let mut vm = Vm::open(&store.game(GameId::Number(1))?)?;
    let (load, answered) = load_service(vm.runtime.lua(), &stops)?;
    vm.runtime.add_service("Load", Value::Table(load.clone()))?;
    vm.runtime.run_script("writer", SCRIPT)?;
    load.get::<Function>("start")?.call::<()>(COROUTINES)?;
    let start = Instant::now();
    let mut frame = 0;
    while vm.bindings.open_calls() > 0 {
        vm.turn(Duration::ZERO)?;
        if waits.len() >= count && !is_told.swap(true, Ordering::Relaxed) {
            println!("idle");
        }
        frame += 1;
        thread::sleep((FRAME * frame).saturating_sub(start.elapsed()));
    }
    for wait in waits.take() {
        println!("waited {}", wait.as_micros());
    }
    println!("answered {}", answered.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

type Answered = Arc<Mutex<u64>>;

fn load_service(lua: &Lua, stops: &Arc<AtomicBool>) -> mlua::Result<(mlua::Table, Answered)> {
    let (service, answered) = (lua.create_table()?, Answered::default());
    let count = Arc::clone(&answered);
    let note = move |_: &Lua, (ok, value): (bool, Value)| {
        if !ok {
            return Err(mlua::Error::runtime(value.to_string()?));
        }
        *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Ok(())
    };
    service.raw_set("answered", lua.create_function(note)?)?;
    let stops = Arc::clone(stops);
    service.raw_set("goes_on", lua.create_function(move |_, ()| Ok(!stops.load(Ordering::Acquire)))?)?;
    Ok((service, answered))
}

/// Takes down how long it took from asking for keys until they were granted.
#[derive(Debug, Clone, Default)]
struct Waits(Arc<Mutex<Vec<Duration>>>);

impl Waits {
    fn len(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HistogramFn for Waits {
    fn record(&self, seconds: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Duration::from_secs_f64(seconds));
    }
}

impl Recorder for Waits {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        if key.name() == metric_definitions::ACQUIRE_SECONDS {
            Histogram::from_arc(Arc::new(self.clone()))
        } else {
            Histogram::noop()
        }
    }
}
