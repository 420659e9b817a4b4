//! The yielding methods: one file per method, each a start (checks and submits) and a finish (converts).
//!
//! Owns: joining them with the Luau part that parks the coroutine; where a simulated run has its say. Does not own: tickets
//! (`vm`), conversion (`convert`), which class has which methods (`classes`).

pub(crate) mod batch_get_async;
mod composite;
pub(crate) mod get_async;
pub(crate) mod get_sorted_async;
pub(crate) mod get_version_async;
pub(crate) mod get_version_at_time_async;
pub(crate) mod increment_async;
pub(crate) mod list_data_stores_async;
pub(crate) mod list_keys_async;
pub(crate) mod list_versions_async;
pub(crate) mod memory_hash_map;
pub(crate) mod memory_queue;
pub(crate) mod memory_sorted_map;
pub(crate) mod memory_store;
pub(crate) mod on_update;
pub(crate) mod publish_async;
pub(crate) mod remove_async;
pub(crate) mod remove_version_async;
pub(crate) mod set_async;
pub(crate) mod subscribe_async;
pub(crate) mod update_async;

use clawstore_core::ops::Reply;
use clawstore_core::{CallError, EntryKey, ErrorCode};
use mlua::{AnyUserData, Function, Lua, Table, UserDataRef, Value as LuaValue};

use crate::arguments;
use crate::classes::data_store::DataStore;
use crate::classes::ordered_data_store::OrderedDataStore;
use crate::control::{CallInfo, Fault, Verdict};
use crate::load_guard::Load;
use crate::methods::composite::Composite;
use crate::shared::Shared;
use crate::store_cache::Refresh;
use crate::vm::{Ended, Started, Ticket, Vm};

/// Names and functions, for registration.
pub(crate) type Methods = Vec<(&'static str, Function)>;

/// What `call.luau` is told: a state and up to three values.
pub(crate) type Told = (i32, LuaValue, LuaValue, LuaValue);

/// The state of an open call.
const OPEN: i32 = 0;

/// What a script passes: the object, and up to five arguments.
pub(crate) type Passed = (LuaValue, LuaValue, LuaValue, LuaValue, LuaValue, LuaValue);

/// A call's arguments: the object, and up to five more.
pub(crate) struct Arguments {
    method: &'static str,
    object: AnyUserData,
    values: [LuaValue; 5],
}

impl Arguments {
    /// What was passed to a method.
    ///
    /// # Errors
    /// If that was not called on an object.
    pub(crate) fn of(method: &'static str, passed: Passed) -> Result<Self, CallError> {
        match passed {
            (LuaValue::UserData(object), first, second, third, fourth, fifth) => {
                Ok(Self { method, object, values: [first, second, third, fourth, fifth] })
            }
            _ => Err(not_a_member(method)),
        }
    }

    /// The argument at a position of the documentation: the first is 1.
    pub(crate) fn at(&self, position: usize) -> &LuaValue {
        self.values.get(position.wrapping_sub(1)).unwrap_or(&LuaValue::Nil)
    }

    /// The object that the method is called on.
    pub(crate) fn this<T: 'static>(&self) -> Result<UserDataRef<T>, CallError> {
        self.object.borrow::<T>().map_err(|_| not_a_member(self.method))
    }

    /// The object as a script holds it.
    pub(crate) fn object(&self) -> &AnyUserData {
        &self.object
    }

    /// The entry that a method of a data store is about: its key is the first argument.
    pub(crate) fn entry_key(&self) -> Result<EntryKey, CallError> {
        match self.at(1) {
            LuaValue::String(key) => self.entry_key_of(&key.as_bytes()),
            key => self.entry_key_of(&arguments::string(key, 1)?),
        }
    }

    /// The same for a method that ordered stores do not have.
    pub(crate) fn standard_entry_key(&self) -> Result<EntryKey, CallError> {
        self.this::<DataStore>()?;
        self.entry_key()
    }

    fn entry_key_of(&self, key: &[u8]) -> Result<EntryKey, CallError> {
        // The usual class first: a borrow that fails makes an error.
        match self.object.borrow::<DataStore>() {
            Ok(store) => store.entry_key(key),
            Err(_) => EntryKey::new(&self.this::<OrderedDataStore>()?.0, key),
        }
    }

    /// The name of the store that the method is called on, if it is one.
    fn store_name(&self) -> Option<String> {
        match self.object.borrow::<OrderedDataStore>() {
            Ok(store) => Some(store.0.name.to_string()),
            Err(_) => self.object.borrow::<DataStore>().ok().map(|store| store.name().to_owned()),
        }
    }
}

/// Of a method that is called on something else.
pub(crate) fn not_a_member(method: &str) -> CallError {
    CallError::argument(format_args!("Expected ':' not '.' calling member function {method}"))
}

/// Makes the results of a reply.
pub(crate) type Convert = fn(&Lua, &Reply) -> mlua::Result<Told>;

/// Makes the results of a reply with what the call has kept.
#[cfg(feature = "send")]
pub(crate) type ConvertOnce = Box<dyn FnOnce(&Lua, &Reply) -> mlua::Result<Told> + Send + Sync>;
/// Makes the results of a reply with what the call has kept.
#[cfg(not(feature = "send"))]
pub(crate) type ConvertOnce = Box<dyn FnOnce(&Lua, &Reply) -> mlua::Result<Told>>;

/// What an open call becomes results with.
#[derive(Default)]
pub(crate) struct Kept {
    /// Makes the results, if not as the method always does.
    pub(crate) convert: Option<ConvertOnce>,
    /// It loads a guarded key.
    pub(crate) load: Option<Load>,
    /// Its store object remembers what it returns.
    pub(crate) refresh: Option<Refresh>,
}

/// One method of a class.
pub(crate) struct Method {
    /// The service that log lines name.
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) start: fn(&Shared<Vm>, &Lua, &Arguments) -> Result<Started, CallError>,
    pub(crate) finish: Convert,
}

/// How much of a script's call one start is.
#[derive(Debug, Clone, Copy)]
enum Extent {
    Whole,
    Part,
}

/// Nothing.
pub(crate) fn none() -> Told {
    (4, LuaValue::Nil, LuaValue::Nil, LuaValue::Nil)
}

/// Of a call that returns nothing, or makes its results with what it has kept.
pub(crate) fn no_results(_: &Lua, _: &Reply) -> mlua::Result<Told> {
    Ok(none())
}

/// One value.
pub(crate) fn one(value: LuaValue) -> Told {
    (1, value, LuaValue::Nil, LuaValue::Nil)
}

/// Two values.
pub(crate) fn two(first: LuaValue, second: LuaValue) -> Told {
    (2, first, second, LuaValue::Nil)
}

/// Makes the functions of yielding methods in one VM.
pub(crate) struct Maker<'a> {
    lua: &'a Lua,
    vm: &'a Shared<Vm>,
    wrap: Function,
    look: Function,
    marks: Table,
    /// When anyone of this VM has last looked into the inbox.
    round: Table,
    isyieldable: Function,
    yields: Function,
}

impl<'a> Maker<'a> {
    pub(crate) fn new(lua: &'a Lua, vm: &'a Shared<Vm>) -> mlua::Result<Self> {
        let coroutine: Table = lua.globals().get("coroutine")?;
        let looker = Shared::clone(vm);
        let look = lua.create_function(move |lua, ()| {
            looker.take_answers(lua);
            Ok(())
        })?;
        Ok(Self {
            lua,
            vm,
            wrap: lua.load(include_str!("methods/call.luau")).set_name("=DataStore").into_function()?,
            look,
            marks: vm.marks(),
            round: lua.create_table_from([("round", 0)])?,
            isyieldable: coroutine.get("isyieldable")?,
            yields: coroutine.get("yield")?,
        })
    }

    /// All methods of a class.
    pub(crate) fn functions(&self, methods: &'static [Method]) -> mlua::Result<Methods> {
        methods.iter().map(|method| Ok((method.name, self.function(method)?))).collect()
    }

    /// One method.
    fn function(&self, method: &'static Method) -> mlua::Result<Function> {
        self.make(method, Extent::Whole)
    }

    /// What a method of several calls makes one of them with.
    fn part(&self, method: &'static Method) -> mlua::Result<Function> {
        self.make(method, Extent::Part)
    }

    fn make(&self, method: &'static Method, extent: Extent) -> mlua::Result<Function> {
        let (starter, finisher) = (Shared::clone(self.vm), Shared::clone(self.vm));
        let start =
            self.lua.create_function(move |lua, passed: Passed| start(lua, &starter, method, extent, passed))?;
        let finish = self.lua.create_function(move |lua, ticket: AnyUserData| {
            let (ended, kept) = ticket.borrow_mut::<Ticket>()?.finish();
            finish(lua, &finisher, method, ended, kept)
        })?;
        let parts = (
            start,
            finish,
            self.look.clone(),
            self.marks.clone(),
            self.round.clone(),
            self.isyieldable.clone(),
            self.yields.clone(),
        );
        self.wrap.call::<Function>(parts)
    }
}

fn start(lua: &Lua, vm: &Shared<Vm>, method: &'static Method, extent: Extent, passed: Passed) -> mlua::Result<Told> {
    let arguments = match Arguments::of(method.name, passed) {
        Ok(arguments) => arguments,
        Err(error) => return raise(lua, &error),
    };
    let started = vm.check_callable().and_then(|()| {
        let load = vm.guard_loads(method, &arguments)?;
        let refresh = vm.begin_cached(method, &arguments);
        let kept = Kept { convert: None, load, refresh };
        Ok((begin(vm, lua, method, extent, &arguments)?, kept))
    });
    match started {
        Ok((Started::Ticket(op), kept)) => open(lua, vm, op, kept),
        Ok((Started::With(op, convert), kept)) => open(lua, vm, op, Kept { convert: Some(convert), ..kept }),
        Ok((Started::Ended(Ended::Refused(error)), _)) => {
            log_error(vm, method, Some(&arguments), &error);
            raise(lua, &error)
        }
        Ok((Started::Ended(ended), kept)) => finish(lua, vm, method, ended, kept),
        Err(error) => {
            log_error(vm, method, Some(&arguments), &error);
            raise(lua, &error)
        }
    }
}

/// Starts the call; where the run is simulated, under the conditions that are set for it, and waits for its end here.
/// Of a call of several parts the first decides about them all.
fn begin(
    vm: &Shared<Vm>,
    lua: &Lua,
    method: &Method,
    extent: Extent,
    arguments: &Arguments,
) -> Result<Started, CallError> {
    let Some(control) = &vm.options.control else { return (method.start)(vm, lua, arguments) };
    let mut composite = match extent {
        Extent::Whole => None,
        Extent::Part => Composite::begins(arguments),
    };
    let verdict = match (extent, &composite) {
        (Extent::Part, None) => Verdict::default(),
        _ => control.begin(&CallInfo { service: method.service, method: method.name }),
    };
    let (started, lost) = match verdict.fault {
        Some(Fault::Refuse(error)) => (Started::Ended(Ended::Refused(error)), None),
        Some(Fault::LoseAnswer(error)) => ((method.start)(vm, lua, arguments)?, Some(error)),
        None => ((method.start)(vm, lua, arguments)?, None),
    };
    // A script sees the answer of its last part alone.
    let lost = match &mut composite {
        Some(composite) => {
            composite.lost = lost;
            None
        }
        None => lost,
    };
    let settles = control.settles_calls();
    if verdict.latency.is_zero() && lost.is_none() && !settles {
        return Ok(started);
    }
    Ok(vm.controlled(lua, started, verdict.latency, lost))
}

fn open(lua: &Lua, vm: &Shared<Vm>, op: u64, kept: Kept) -> mlua::Result<Told> {
    #[expect(clippy::cast_precision_loss, reason = "a VM makes fewer than 2^53 calls")]
    let number = LuaValue::Number(op as f64);
    let ticket = lua.create_any_userdata(Ticket::new(vm, op, kept))?;
    Ok((OPEN, number, LuaValue::UserData(ticket), LuaValue::Nil))
}

fn finish(lua: &Lua, vm: &Vm, method: &Method, ended: Ended, kept: Kept) -> mlua::Result<Told> {
    match ended {
        Ended::Done(Ok(reply)) => {
            let converted = match kept.convert {
                None => (method.finish)(lua, &reply),
                Some(convert) => convert(lua, &reply),
            };
            if converted.is_ok() {
                vm.end_load(kept.load);
                vm.end_cached(kept.refresh, &reply);
            }
            converted.or_else(|error| {
                // A stored value that is not what was ever stored: spec §5.2.
                let error = ErrorCode::ResponseMalformed
                    .error(format_args!("Can't parse response, data may be corrupted. {error}"));
                log_error(vm, method, None, &error);
                raise(lua, &error)
            })
        }
        Ended::TransformFailed => Ok(one(LuaValue::Nil)),
        Ended::Done(Err(error)) | Ended::Refused(error) => {
            log_error(vm, method, None, &error);
            raise(lua, &error)
        }
    }
}

fn raise(lua: &Lua, error: &CallError) -> mlua::Result<Told> {
    Ok((-1, LuaValue::String(lua.create_string(error.text.as_bytes())?), LuaValue::Nil, LuaValue::Nil))
}

/// The line that the engine prints even if a `pcall` catches the error (spec §5.1).
fn log_error(vm: &Vm, method: &Method, arguments: Option<&Arguments>, error: &CallError) {
    let store = arguments.and_then(Arguments::store_name);
    let store = store.map_or_else(String::new, |store| format!(", Data Store: {store}"));
    // Texts of memory stores begin with the name already.
    let message = error.message();
    let name = Some(error.code.name()).filter(|name| !message.starts_with(name));
    let name = name.map_or_else(String::new, |name| format!("{name}: "));
    vm.log(&format!("{}: {name}{message}. API: {}{store}", method.service, method.name));
}
