//! Two processes, one key.
//!
//! Owns: coroutines of two processes that increment it through `UpdateAsync`, the exact sum, and that neither waits a
//! whole second. Does not own: how the key changes hands.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clawstore::mlua::{self, Function, Lua, Table, Value};
use clawstore::{Clawstore, GameId};

use super::ScenarioOptions;
use super::worker::{self, WorkerOptions, lines_of};
use crate::chaos::process::Event;
use crate::chaos::target::Server;
use crate::vm::{LocalResult, Vm};

const WRITERS: u64 = 2;
const COROUTINES: u64 = 64;
const INCREMENTS: u64 = 10_000;
const WITHIN: Duration = Duration::from_secs(60);
/// Only bounds a wait that ends with the next answer.
const PATIENCE: Duration = Duration::from_secs(1);

const SCRIPT: &str = r#"
local Load = game:GetService("Load")
local store = game:GetService("DataStoreService"):GetDataStore("Shared")

local function bump(value)
	return (value or 0) + 1
end

function Load.start(coroutines, times)
	for _ = 1, coroutines do
		task.spawn(function()
			while times > 0 do
				times -= 1
				Load.answered(pcall(store.UpdateAsync, store, "key", bump))
			end
		end)
	end
end
"#;

pub(super) fn run(options: &ScenarioOptions) -> Result<()> {
    let (count, within) = (options.count.unwrap_or(INCREMENTS), options.seconds.map_or(WITHIN, Duration::from_secs));
    let server = Server::start()?;
    let mut workers = Vec::new();
    for number in 0..WRITERS {
        workers.push(worker::start(&server.url(), "increment", count, number)?);
    }
    for worker in &workers {
        worker.wait_for(Event::Open)?;
    }
    let start = Instant::now();
    for worker in &mut workers {
        worker.say("go")?;
    }
    let mut values = HashSet::new();
    for (number, worker) in workers.into_iter().enumerate() {
        let left = within.saturating_sub(start.elapsed());
        worker.wait_at_most(Event::End, left).with_context(|| format!("writer {number} after {within:?}"))?;
        let told = String::from_utf8(worker.close()?)?;
        judge(number, count, &told, &mut values)?;
    }
    let stored = server.value("Shared", "key")?;
    println!("{WRITERS} × {count} increments in {:.1} s, {stored} stored", start.elapsed().as_secs_f64());
    ensure!(stored == (WRITERS * count).to_string(), "the sum is wrong");
    Ok(())
}

/// Every answer is a value of its own, and no second passes without one.
fn judge(number: usize, count: u64, told: &str, values: &mut HashSet<u64>) -> Result<()> {
    if let Some(text) = lines_of(told, "failed").next() {
        return Err(anyhow!("writer {number}: a call failed: {text}"));
    }
    let mut answers = Vec::new();
    for line in lines_of(told, "done") {
        let (ms, value) = line.split_once(' ').context("a line of a writer")?;
        ensure!(values.insert(value.parse()?), "{value} was answered twice: applied once for two");
        answers.push(ms.parse::<u64>()?);
    }
    let last = answers.last().copied().unwrap_or(0);
    let mut seconds = vec![0_u64; usize::try_from(last / 1_000)? + 1];
    for ms in &answers {
        seconds[usize::try_from(ms / 1_000)?] += 1;
    }
    let longest = std::iter::once(&0).chain(&answers).zip(&answers).map(|(a, b)| b - a).max().unwrap_or(0);
    println!(
        "writer {number}: {} in {last} ms; answers by second {seconds:?}; longest wait {longest} ms",
        answers.len()
    );
    ensure!(u64::try_from(answers.len())? == count, "{} answers instead of {count}", answers.len());
    // Of the last second it may have needed only a part.
    let starved = seconds.iter().rev().skip(1).any(|&answers| answers == 0);
    ensure!(!starved, "writer {number} had no answer for a whole second");
    Ok(())
}

pub(super) fn work(store: &Clawstore, options: &WorkerOptions) -> Result<()> {
    increment(store, options.count).map_err(|error| anyhow!("{error}"))
}

fn increment(store: &Clawstore, count: u64) -> LocalResult<()> {
    let mut vm = Vm::open(&store.game(GameId::Number(1))?)?;
    let load = load_service(vm.runtime.lua())?;
    vm.runtime.add_service("Load", Value::Table(load.clone()))?;
    vm.runtime.run_script("writer", SCRIPT)?;
    load.get::<Function>("start")?.call::<()>((COROUTINES, count))?;
    while vm.bindings.open_calls() > 0 {
        vm.turn(PATIENCE)?;
    }
    Ok(())
}

fn load_service(lua: &Lua) -> mlua::Result<Table> {
    let (service, start) = (lua.create_table()?, Instant::now());
    let answered = move |_: &Lua, (ok, value): (bool, Value)| {
        let value = value.to_string()?;
        if ok {
            println!("done {} {value}", start.elapsed().as_millis());
        } else {
            println!("failed {value}");
        }
        Ok(())
    };
    service.raw_set("answered", lua.create_function(answered)?)?;
    Ok(service)
}
