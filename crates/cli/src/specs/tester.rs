//! What a spec can ask of its world: the service behind `t`.
//!
//! Owns: turning what a test asks for into orders and faults, and its verdict. Does not own: names that a test sees
//! (`driver.luau`), carrying orders out (`run/world`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clawstore_luau::mlua::{Lua, MultiValue, Table, Value};
use clawstore_luau::{Runtime, RuntimeError};

use crate::args::values::What;
use crate::run::control::Conditions;
use crate::run::faults::{Effect, FaultRule, MESSAGING};
use crate::run::plan::{Extra, PlacePlan, ServerPlan};
use crate::run::scripts;
use crate::run::time::GameTime;
use crate::run::world::{Order, Orders};

/// How a test has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) error: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tester {
    /// `None`: only names are asked for.
    selected: Option<String>,
    /// Scripts of servers are found from here.
    folder: PathBuf,
    place: Rc<PlacePlan>,
    conditions: Rc<Conditions>,
    time: GameTime,
    orders: RefCell<Orders>,
    stop: RefCell<Arc<AtomicBool>>,
    faults: RefCell<Vec<FaultRule>>,
    found: RefCell<Vec<String>>,
    verdict: RefCell<Option<Verdict>>,
    allows_errors: Cell<bool>,
    /// Servers that the test has started and not ended.
    servers: RefCell<BTreeSet<String>>,
}

impl Tester {
    pub(super) fn new(
        selected: Option<&str>,
        folder: &Path,
        place: &Rc<PlacePlan>,
        conditions: &Rc<Conditions>,
        time: &GameTime,
    ) -> Rc<Self> {
        Rc::new(Self {
            selected: selected.map(str::to_owned),
            folder: folder.to_owned(),
            place: Rc::clone(place),
            conditions: Rc::clone(conditions),
            time: time.clone(),
            orders: RefCell::default(),
            stop: RefCell::default(),
            faults: RefCell::new(conditions.faults()),
            found: RefCell::default(),
            verdict: RefCell::default(),
            allows_errors: Cell::new(false),
            servers: RefCell::default(),
        })
    }

    /// The world that follows its orders, and the flag that ends it.
    pub(super) fn connect(&self, orders: Orders, stop: Arc<AtomicBool>) {
        *self.orders.borrow_mut() = orders;
        *self.stop.borrow_mut() = stop;
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.verdict.borrow().clone()
    }

    pub(super) fn found(&self) -> Vec<String> {
        self.found.borrow().clone()
    }

    pub(super) fn allows_errors(&self) -> bool {
        self.allows_errors.get()
    }

    pub(super) fn injected(&self) -> u64 {
        self.conditions.injected()
    }

    /// Puts the service into the spec's VM.
    pub(super) fn extra(self: &Rc<Self>) -> Extra {
        let tester = Rc::clone(self);
        Extra(Rc::new(move |runtime: &Runtime| {
            let service = tester.service(runtime.lua())?;
            runtime.add_service("ClawstoreSpec", Value::Table(service))
        }))
    }

    fn service(self: &Rc<Self>, lua: &Lua) -> Result<Table, RuntimeError> {
        let service = lua.create_table()?;
        service.set("selected", self.selected.as_deref())?;
        service.set("seed", self.conditions.seed())?;
        let tester = Rc::clone(self);
        let found = lua.create_function(move |_, name: String| {
            tester.found.borrow_mut().push(name);
            Ok(())
        })?;
        service.set("found", found)?;
        let tester = Rc::clone(self);
        let finish = lua.create_function(move |_, (ok, message): (bool, String)| {
            *tester.verdict.borrow_mut() = Some(Verdict { error: (!ok).then_some(message) });
            tester.stop.borrow().store(true, Ordering::Relaxed);
            Ok(())
        })?;
        service.set("finish", finish)?;
        let tester = Rc::clone(self);
        let allow = lua.create_function(move |_, ()| {
            tester.allows_errors.set(true);
            Ok(())
        })?;
        service.set("allowErrors", allow)?;
        let tester = Rc::clone(self);
        // What is wrong is returned: a Rust error would reach the script as userdata.
        let order =
            lua.create_function(move |_, (what, rest): (String, MultiValue)| Ok(tester.order(&what, &rest).err()))?;
        service.set("order", order)?;
        Ok(service)
    }

    fn order(&self, what: &str, arguments: &MultiValue) -> Result<(), String> {
        match what {
            "start" => self.start(&text(arguments, 0)?, optional_text(arguments, 1)?.as_deref()),
            "close" => self.tell(arguments, What::Close),
            "kill" => self.tell(arguments, What::Kill),
            "join" => {
                let (user_id, name) = (user_id(arguments)?, text(arguments, 2)?);
                self.tell(arguments, What::Join { user_id, name })
            }
            "leave" => self.tell(arguments, What::Leave { user_id: user_id(arguments)? }),
            "fault" => self.add_fault(text(arguments, 0)?.parse()?),
            "refuse" => self.add_fault(self.for_seconds("*", Effect::Refused, arguments)?),
            "throttle" => self.add_fault(self.for_seconds("*", Effect::Throttled, arguments)?),
            "unknown" => self.add_fault(self.for_seconds("*", Effect::Unknown, arguments)?),
            "drop" => self.add_fault(self.for_seconds(MESSAGING, Effect::Drop, arguments)?),
            _ => {
                self.faults.borrow_mut().clear();
                self.conditions.set_faults(Vec::new());
                Ok(())
            }
        }
    }

    fn start(&self, name: &str, script: Option<&str>) -> Result<(), String> {
        let scripts = match script {
            Some(script) => scripts::load(&self.folder.join(script)).map_err(|error| error.to_string())?,
            None if self.place.tree.is_none() => {
                return Err(format!("server {name} has no script: t.start(\"{name}\", \"game.server.luau\")"));
            }
            None => Vec::new(),
        };
        if !self.servers.borrow_mut().insert(name.to_owned()) {
            return Err(format!("server {name} is running already"));
        }
        self.give(Order::Add(ServerPlan::new(Some(name.to_owned()), &self.place, scripts)));
        Ok(())
    }

    fn tell(&self, arguments: &MultiValue, what: What) -> Result<(), String> {
        let name = text(arguments, 0)?;
        let ends = matches!(what, What::Close | What::Kill);
        let known = if ends { self.servers.borrow_mut().remove(&name) } else { self.servers.borrow().contains(&name) };
        if !known {
            return Err(format!("there is no server {name}: start it with t.start"));
        }
        self.give(Order::Do(name, what));
        Ok(())
    }

    fn give(&self, order: Order) {
        self.orders.borrow().borrow_mut().push_back(order);
    }

    fn add_fault(&self, rule: FaultRule) -> Result<(), String> {
        let mut faults = self.faults.borrow_mut();
        // What is asked for last counts first.
        faults.insert(0, rule);
        self.conditions.set_faults(faults.clone());
        Ok(())
    }

    fn for_seconds(&self, what: &str, effect: Effect, arguments: &MultiValue) -> Result<FaultRule, String> {
        let seconds = arguments.front().and_then(|value| value.as_f64().or_else(|| value.as_i64().map(|i| i as f64)));
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let time = time.ok_or("a number of seconds is expected")?;
        let now = self.time.elapsed();
        Ok(FaultRule::always(what, effect).within(now, now + time))
    }
}

fn text(arguments: &MultiValue, index: usize) -> Result<String, String> {
    optional_text(arguments, index)?.ok_or_else(|| format!("argument {} is missing", index + 1))
}

fn optional_text(arguments: &MultiValue, index: usize) -> Result<Option<String>, String> {
    match arguments.get(index) {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.to_string_lossy())),
        Some(other) => Err(format!("argument {}: a string is expected, not a {}", index + 1, other.type_name())),
    }
}

fn user_id(arguments: &MultiValue) -> Result<i64, String> {
    let number = arguments.get(1).and_then(|value| value.as_f64().or_else(|| value.as_i64().map(|i| i as f64)));
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    match number {
        Some(number) if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 => Ok(number as i64),
        _ => Err("argument 2: a user id is expected".to_owned()),
    }
}
