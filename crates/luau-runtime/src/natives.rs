//! The functions that the prelude calls in Rust.
//!
//! Owns: the bridge to clock, scheduler, output and userdata types. Does not own any name that a script sees.
//! Scripts never get hold of these functions: they would raise userdata on a wrong argument, and the prelude checks
//! arguments first.

use std::cell::RefCell;
use std::ffi::c_void;
use std::rc::Rc;

use mlua::{LightUserData, Lua, LuaString, MultiValue, Result, Table, Thread};

use crate::clock::GameClock;
use crate::limits::{INFINITE_YIELD_WARNING_SECONDS, LEGACY_WAIT_SECONDS};
use crate::objects;
use crate::output::{Level, Output};
use crate::scheduler::{Scheduler, Wake};

/// What the runtime and the functions it lends to the VM hold in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: GameClock,
    pub(crate) output: Output,
    pub(crate) scheduler: RefCell<Scheduler>,
}

/// The first value that a thread gets when the engine wakes it. A script cannot make this value, so a waiting call
/// can tell the engine's wake-up from a `coroutine.resume` by someone else.
pub(crate) fn wake_token() -> LightUserData {
    LightUserData(0x57414b45 as *mut c_void)
}

/// The table `engine.native`.
pub(crate) fn create(lua: &Lua, shared: &Rc<Shared>) -> Result<Table> {
    let native = lua.create_table()?;
    native.set("token", wake_token())?;
    native.set("legacyWaitSeconds", LEGACY_WAIT_SECONDS)?;
    native.set("infiniteYieldSeconds", INFINITE_YIELD_WARNING_SECONDS)?;
    native.set(
        "define",
        lua.create_function(|lua, (name, metamethods): (String, Table)| objects::define(lua, &name, metamethods))?,
    )?;
    add_clock(lua, &native, shared)?;
    add_output(lua, &native, shared)?;
    add_scheduler(lua, &native, shared)?;
    Ok(native)
}

fn add_clock(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> Result<()> {
    let at = Rc::clone(shared);
    native.set("now", lua.create_function(move |_, ()| Ok(at.clock.now()))?)?;
    let at = Rc::clone(shared);
    native.set("unix", lua.create_function(move |_, ()| Ok(at.clock.unix()))?)
}

fn add_output(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> Result<()> {
    let at = Rc::clone(shared);
    let print = move |_: &Lua, text: LuaString| {
        at.output.write(Level::Print, &text.to_string_lossy());
        Ok(())
    };
    native.set("print", lua.create_function(print)?)?;
    let at = Rc::clone(shared);
    let warn = move |_: &Lua, text: LuaString| {
        at.output.write(Level::Warn, &text.to_string_lossy());
        Ok(())
    };
    native.set("warn", lua.create_function(warn)?)?;
    let at = Rc::clone(shared);
    let report = move |_: &Lua, (message, traceback): (LuaString, LuaString)| {
        at.output.error(&message.to_string_lossy(), &traceback.to_string_lossy());
        Ok(())
    };
    native.set("report", lua.create_function(report)?)
}

fn add_scheduler(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> Result<()> {
    let at = Rc::clone(shared);
    let park = move |_: &Lua, (thread, seconds): (Thread, f64)| {
        let now = at.clock.now();
        Ok(at.scheduler.borrow_mut().park(thread, now, seconds, Wake::Waited { since: now }))
    };
    native.set("park", lua.create_function(park)?)?;
    let at = Rc::clone(shared);
    let start_later = move |_: &Lua, (thread, seconds, args): (Thread, f64, MultiValue)| {
        let now = at.clock.now();
        at.scheduler.borrow_mut().park(thread, now, seconds, Wake::Start(args));
        Ok(())
    };
    native.set("startLater", lua.create_function(start_later)?)?;
    let at = Rc::clone(shared);
    let defer = move |_: &Lua, (thread, args): (Thread, MultiValue)| {
        at.scheduler.borrow_mut().defer(thread, args);
        Ok(())
    };
    native.set("defer", lua.create_function(defer)?)?;
    let at = Rc::clone(shared);
    let withdraw = move |_: &Lua, id: u64| {
        at.scheduler.borrow_mut().withdraw(id);
        Ok(())
    };
    native.set("withdraw", lua.create_function(withdraw)?)?;
    let at = Rc::clone(shared);
    let withdraw_thread = move |_: &Lua, thread: Thread| {
        at.scheduler.borrow_mut().withdraw_thread(&thread);
        Ok(())
    };
    native.set("withdrawThread", lua.create_function(withdraw_thread)?)
}
