//! The yielding methods of `DataStore`: one file per method, each a start (checks and submits) and a finish (converts).
//!
//! Owns: joining them with the Luau part that parks the coroutine. Does not own: tickets (`vm`), conversion (`convert`).

pub(crate) mod get_async;
pub(crate) mod increment_async;
pub(crate) mod remove_async;
pub(crate) mod set_async;
pub(crate) mod update_async;

use clawstore_core::ops::Reply;
use clawstore_core::{CallError, EntryKey, ErrorCode};
use mlua::{AnyUserData, Function, Lua, Value as LuaValue};

use crate::arguments;
use crate::classes::data_store::DataStore;
use crate::shared::Shared;
use crate::vm::{Ended, Started, Ticket, Vm};

/// Names and functions, for registration.
pub(crate) type Methods = Vec<(&'static str, Function)>;

/// What `call.luau` is told: a state and up to two values.
type Told = (i32, LuaValue, LuaValue);

/// The state of an open call.
const OPEN: i32 = 0;

/// What a script passes: the store, the key, and up to three more.
type Passed = (LuaValue, LuaValue, LuaValue, LuaValue, LuaValue);

/// A call's arguments: the store, the key, and up to three more.
pub(crate) struct Arguments {
    pub(crate) store: AnyUserData,
    key: LuaValue,
    rest: [LuaValue; 3],
}

impl Arguments {
    /// The argument at a position of the documentation: the key is 1.
    pub(crate) fn at(&self, position: usize) -> &LuaValue {
        self.rest.get(position.wrapping_sub(2)).unwrap_or(&LuaValue::Nil)
    }

    fn entry_key(&self) -> Result<EntryKey, CallError> {
        let store = self
            .store
            .borrow::<DataStore>()
            .map_err(|_| CallError::argument("Expected ':' not '.' calling member function"))?;
        match &self.key {
            LuaValue::String(key) => store.entry_key(&key.as_bytes()),
            key => store.entry_key(&arguments::string(key, 1)?),
        }
    }
}

/// One method.
struct Method {
    name: &'static str,
    start: fn(&Vm, &Lua, EntryKey, &Arguments) -> Result<Started, CallError>,
    finish: fn(&Lua, &Reply) -> mlua::Result<Told>,
}

const METHODS: [Method; 5] = [
    Method { name: "GetAsync", start: get_async::start, finish: get_async::finish },
    Method { name: "SetAsync", start: set_async::start, finish: set_async::finish },
    Method { name: "UpdateAsync", start: update_async::start, finish: update_async::finish },
    Method { name: "IncrementAsync", start: increment_async::start, finish: increment_async::finish },
    Method { name: "RemoveAsync", start: remove_async::start, finish: remove_async::finish },
];

/// One value.
fn one(value: LuaValue) -> Told {
    (1, value, LuaValue::Nil)
}

/// Two values.
fn two(first: LuaValue, second: LuaValue) -> Told {
    (2, first, second)
}

/// The methods of all stores of one VM.
pub(crate) fn create(lua: &Lua, vm: &Shared<Vm>) -> mlua::Result<Methods> {
    let coroutine: mlua::Table = lua.globals().get("coroutine")?;
    let (isyieldable, yields): (Function, Function) = (coroutine.get("isyieldable")?, coroutine.get("yield")?);
    let wrap = lua.load(include_str!("methods/call.luau")).set_name("=DataStore").into_function()?;
    let looker = Shared::clone(vm);
    let look = lua.create_function(move |lua, ()| {
        looker.take_answers(lua);
        Ok(())
    })?;
    let (marks, shared) = (vm.marks(), lua.create_table_from([("round", 0)])?);
    let create = |method: &'static Method| {
        let (starter, finisher) = (Shared::clone(vm), Shared::clone(vm));
        let start = lua.create_function(move |lua, passed: Passed| start(lua, &starter, method, passed))?;
        let finish = lua.create_function(move |lua, ticket: AnyUserData| {
            let ended = ticket.borrow::<Ticket>()?.finish();
            finish(lua, &finisher, method, ended)
        })?;
        let parts = (start, finish, look.clone(), marks.clone(), shared.clone(), isyieldable.clone(), yields.clone());
        Ok((method.name, wrap.call::<Function>(parts)?))
    };
    METHODS.iter().map(create).collect()
}

fn start(lua: &Lua, vm: &Shared<Vm>, method: &'static Method, passed: Passed) -> mlua::Result<Told> {
    let (LuaValue::UserData(store), key, second, third, fourth) = passed else {
        return raise(lua, &CallError::argument("Expected ':' not '.' calling member function"));
    };
    let arguments = Arguments { store, key, rest: [second, third, fourth] };
    let started = vm
        .check_callable()
        .and_then(|()| arguments.entry_key())
        .and_then(|key| (method.start)(vm, lua, key, &arguments));
    match started {
        Ok(Started::Ticket(op)) => {
            #[expect(clippy::cast_precision_loss, reason = "a VM makes fewer than 2^53 calls")]
            let number = LuaValue::Number(op as f64);
            Ok((OPEN, number, LuaValue::UserData(lua.create_any_userdata(Ticket::new(vm, op))?)))
        }
        Ok(Started::Ended(ended)) => finish(lua, vm, method, ended),
        Err(error) => {
            log_error(vm, method, Some(&arguments), &error);
            raise(lua, &error)
        }
    }
}

fn finish(lua: &Lua, vm: &Vm, method: &Method, ended: Ended) -> mlua::Result<Told> {
    match ended {
        Ended::Done(Ok(reply)) => (method.finish)(lua, &reply).or_else(|error| {
            // A stored value that is not what was ever stored: spec §5.2.
            let error = ErrorCode::ResponseMalformed
                .error(format_args!("Can't parse response, data may be corrupted. {error}"));
            log_error(vm, method, None, &error);
            raise(lua, &error)
        }),
        Ended::TransformFailed => Ok(one(LuaValue::Nil)),
        Ended::Done(Err(error)) | Ended::Refused(error) => {
            log_error(vm, method, None, &error);
            raise(lua, &error)
        }
    }
}

fn raise(lua: &Lua, error: &CallError) -> mlua::Result<Told> {
    Ok((-1, LuaValue::String(lua.create_string(error.text.as_bytes())?), LuaValue::Nil))
}

/// The line that the engine prints even if a `pcall` catches the error (spec §5.1).
fn log_error(vm: &Vm, method: &Method, arguments: Option<&Arguments>, error: &CallError) {
    let store = arguments.and_then(|arguments| arguments.store.borrow::<DataStore>().ok());
    let store = store.as_ref().map_or_else(String::new, |store| format!(", Data Store: {}", store.name()));
    vm.log(&format!("DataStoreService: {}: {}. API: {}{store}", error.code.name(), error.text, method.name));
}
