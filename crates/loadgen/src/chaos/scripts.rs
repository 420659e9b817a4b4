//! Callers that are coroutines of a VM.
//!
//! Owns: a VM with the store bound into it, its service `Load`, and resuming it as fast as calls complete. Does not own:
//! the calls (`calls`), the script's side (`callers.luau`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use clawstore::Game;
use clawstore::mlua::{self, Function, Lua, Table, Value};

use super::calls::{Answer, COROUTINES, Caller, Journal, Kind};
use crate::vm::{LocalResult, Vm};

/// Only bounds a wait that ends with the next answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The class that says that a read must not come from a cache.
const GET_OPTIONS: &str = "DataStoreGetOptions";

/// Runs the coroutines of one VM, a round for each caller that comes, and tells when a round's last call is answered.
pub(crate) fn run(
    game: &Game,
    journal: &Arc<Journal>,
    callers: Receiver<Caller>,
    idle: &Sender<()>,
) -> LocalResult<()> {
    let mut vm = Vm::open(game)?;
    let current = Rc::new(RefCell::new(None));
    let load = load_service(vm.runtime.lua(), journal, &current)?;
    vm.runtime.add_service("Load", Value::Table(load.clone()))?;
    let options = vm.bindings.class(GET_OPTIONS).ok_or("the bindings have no options of GetAsync")?;
    vm.runtime.add_class(GET_OPTIONS, options)?;
    vm.runtime.run_script("callers", include_str!("callers.luau"))?;
    for caller in callers {
        *current.borrow_mut() = Some(caller);
        load.get::<Function>("start")?.call::<()>(COROUTINES)?;
        // A coroutine without a call has found the load paused, and has ended.
        while vm.bindings.open_calls() > 0 {
            vm.turn(PATIENCE)?;
        }
        idle.send(())?;
    }
    Ok(())
}

fn load_service(lua: &Lua, journal: &Arc<Journal>, current: &Rc<RefCell<Option<Caller>>>) -> mlua::Result<Table> {
    let service = lua.create_table()?;
    let (current, told) = (Rc::clone(current), Arc::clone(journal));
    let next = move |_: &Lua, ()| {
        let Some(call) = current.borrow_mut().as_mut().and_then(Caller::next) else { return Ok((None, None, None)) };
        told.called(&call);
        Ok((Some(call.kind.name()), Some(call.key), Some(call.id)))
    };
    service.raw_set("next", lua.create_function(next)?)?;
    let told = Arc::clone(journal);
    let answered = move |_: &Lua, (kind, id, ok, result): (String, u64, bool, Value)| {
        told.answered(id, &answer_of(Kind::parse(&kind), ok, &result));
        Ok(())
    };
    service.raw_set("answered", lua.create_function(answered)?)?;
    Ok(service)
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
        Some(Kind::Increment | Kind::Bump | Kind::Get | Kind::Read | Kind::Last) => {
            match result.as_i64().or_else(|| whole(result)) {
                Some(value) => Answer::Ok(value),
                None => Answer::Fail(format!("not a whole number: {}", text())),
            }
        }
        _ => Answer::Ok(0),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number, and counters stay small")]
fn whole(value: &Value) -> Option<i64> {
    value.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64)
}
