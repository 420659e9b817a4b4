//! Load from coroutines of one VM.
//!
//! Owns: the VM with `load.luau`, starting its coroutines, counting what completes in a turn. Does not own: what they call.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clawstore::mlua::{Function, IntoLuaMulti, Lua, Table, Value};
use clawstore::{Game, decode};

use super::{KEYS, SAVE, STRIDE, p99_us};
use crate::vm::{LocalResult, Vm};

/// Fresh keys are drawn from so many, a prime: more than a run makes.
const FRESH_KEYS: usize = 10_000_019;
const FRESH_STRIDE: usize = 6_180_339;

/// How long the last answers of a turn may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The key of the `n`-th first write.
pub(super) fn fresh_key(n: usize) -> String {
    format!("player_{}", n * FRESH_STRIDE % FRESH_KEYS)
}

pub(super) struct Script {
    pub(super) vm: Vm,
    load: Table,
    /// Latencies of the calls that measure theirs.
    took: Rc<RefCell<Vec<Duration>>>,
}

impl Script {
    /// Its saves are `save` but for their `coins`.
    pub(super) fn open(game: &Game, save: &str) -> LocalResult<Self> {
        let mut vm = Vm::open(game)?;
        let lua = vm.runtime.lua().clone();
        let load = lua.create_table()?;
        load.raw_set("keys", KEYS)?;
        load.raw_set("stride", STRIDE)?;
        load.raw_set("freshKeys", FRESH_KEYS)?;
        load.raw_set("freshStride", FRESH_STRIDE)?;
        load.raw_set("value", decode(&lua, save.as_bytes())?)?;
        load.raw_set("decode", lua.create_function(|lua: &Lua, ()| decode(lua, SAVE.as_bytes()))?)?;
        let took = Rc::new(RefCell::new(Vec::new()));
        let (start, told) = (Instant::now(), Rc::clone(&took));
        load.raw_set("now", lua.create_function(move |_: &Lua, ()| Ok(start.elapsed().as_secs_f64()))?)?;
        let tell = move |_: &Lua, since: f64| {
            told.borrow_mut().push(start.elapsed().saturating_sub(Duration::from_secs_f64(since)));
            Ok(())
        };
        load.raw_set("took", lua.create_function(tell)?)?;
        vm.runtime.add_service("Load", Value::Table(load.clone()))?;
        vm.runtime.run_script("load", include_str!("load.luau"))?;
        Ok(Self { vm, load, took })
    }

    pub(super) fn call(&self, function: &str, arguments: impl IntoLuaMulti) -> LocalResult<()> {
        Ok(self.load.get::<Function>(function)?.call::<()>(arguments)?)
    }

    /// Calls a second that so many coroutines complete.
    pub(super) fn turn(&mut self, kind: &str, coroutines: usize, turn: Duration) -> LocalResult<f64> {
        self.call("start", (kind, coroutines))?;
        let start = Instant::now();
        let mut completed = 0_usize;
        let spent = loop {
            let spent = start.elapsed();
            if spent >= turn {
                break spent;
            }
            completed += self.vm.turn(turn - spent)?;
        };
        self.call("stop", ())?;
        let until = Instant::now() + PATIENCE;
        while self.vm.bindings.open_calls() > 0 {
            if Instant::now() > until {
                return Err(format!("{} calls of `{kind}` are not answered", self.vm.bindings.open_calls()).into());
            }
            self.vm.turn(PATIENCE)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few millions")]
        let completed = completed as f64;
        Ok(completed / spent.as_secs_f64())
    }

    /// Microseconds that one call in a hundred exceeds, of a `kind` that measures its calls.
    pub(super) fn p99_us(&mut self, kind: &str, coroutines: usize, turn: Duration) -> LocalResult<f64> {
        self.took.borrow_mut().clear();
        self.turn(kind, coroutines, turn)?;
        p99_us(self.took.take())
    }
}
