//! Callers that are coroutines of a VM.
//!
//! Owns: a VM with the store bound into it, its service `Load`, and resuming it as fast as calls complete. Does not own:
//! the calls (`calls`), the script's side (`callers.luau`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clawstore::Game;
use clawstore::mlua::{self, Lua, Value};

use super::calls::{Answer, COROUTINES, Caller, Journal, Kind};
use crate::vm::{LocalResult, Vm};

/// Only bounds a wait that ends with the next answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the coroutines of one VM until the process is killed.
pub(crate) fn run(game: &Game, journal: &Arc<Journal>, caller: Caller) -> LocalResult<()> {
    let mut vm = Vm::open(game)?;
    vm.runtime.add_service("Load", load_service(vm.runtime.lua(), journal, caller)?)?;
    vm.runtime.run_script("callers", include_str!("callers.luau"))?;
    loop {
        vm.turn(PATIENCE)?;
    }
}

fn load_service(lua: &Lua, journal: &Arc<Journal>, caller: Caller) -> mlua::Result<Value> {
    let service = lua.create_table()?;
    service.raw_set("coroutines", COROUTINES)?;
    let (caller, told) = (Rc::new(RefCell::new(caller)), Arc::clone(journal));
    let next = move |_: &Lua, ()| {
        let call = caller.borrow_mut().next();
        told.called(&call);
        Ok((call.kind.name(), call.key, call.id))
    };
    service.raw_set("next", lua.create_function(next)?)?;
    let told = Arc::clone(journal);
    let answered = move |_: &Lua, (kind, id, ok, result): (String, u64, bool, Value)| {
        told.answered(id, &answer_of(Kind::parse(&kind), ok, &result));
        Ok(())
    };
    service.raw_set("answered", lua.create_function(answered)?)?;
    Ok(Value::Table(service))
}

fn answer_of(kind: Option<Kind>, ok: bool, result: &Value) -> Answer {
    let text = || result.to_string().unwrap_or_default();
    if !ok {
        let text = text();
        // The class is in the text of every error of a call that may have been applied.
        return if text.contains("outcome unknown") { Answer::Unknown } else { Answer::Fail(text) };
    }
    match kind {
        // A transform that failed gives nil, and nothing was written.
        Some(Kind::Bump | Kind::Append) if result.is_nil() => Answer::Fail("the transform failed".into()),
        Some(Kind::Increment | Kind::Bump | Kind::Get) => match result.as_i64().or_else(|| whole(result)) {
            Some(value) => Answer::Ok(value),
            None => Answer::Fail(format!("not a whole number: {}", text())),
        },
        _ => Answer::Ok(0),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number, and counters stay small")]
fn whole(value: &Value) -> Option<i64> {
    value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64)
}
