//! A server on simulated time for the specs.
//!
//! Owns: the simulated clock, captured output, the service `Spec` by which a spec makes things happen (players, close)
//! and a fake engine call that completes after some ticks. Does not own any expectation: the specs assert.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use clawstore_luau::mlua::{Lua, Table, Thread, Value};
use clawstore_luau::{CloseReason, Level, Runtime, RuntimeOptions, ScriptId, ScriptState, StepReport};

pub(crate) const TICKS_PER_SECOND: u64 = 60;

/// What a spec asks for; done before the next step, since a script cannot call into the runtime that runs it.
enum Command {
    Join(i64, String),
    Leave(i64),
    Close,
}

struct OpenCall {
    due_tick: u64,
    thread: Thread,
    ticket: Table,
}

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) lines: Rc<RefCell<Vec<(Level, String)>>>,
    tick: Rc<Cell<u64>>,
    commands: Rc<RefCell<Vec<Command>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(adjust: impl FnOnce(&mut RuntimeOptions)) -> Self {
        let tick = Rc::new(Cell::new(0));
        let lines = Rc::new(RefCell::new(Vec::new()));
        let (at, sink) = (Rc::clone(&tick), Rc::clone(&lines));
        let mut options = RuntimeOptions::new(
            move || Duration::from_nanos(at.get() * 1_000_000_000 / TICKS_PER_SECOND),
            move |level, text| sink.borrow_mut().push((level, text.to_owned())),
        );
        options.game_id = 7;
        options.place_id = 70;
        options.job_id = "job-1".to_owned();
        options.start_time = Duration::from_secs(1_700_000_000);
        options.random_seed = Some(1);
        adjust(&mut options);
        let mut world =
            Self { runtime: Runtime::new(options).unwrap(), lines, tick, commands: Rc::new(RefCell::new(Vec::new())) };
        world.plug_in_calls();
        world.plug_in_spec();
        world
    }

    /// One tick of simulated time.
    pub(crate) fn step(&mut self) -> StepReport {
        self.tick.set(self.tick.get() + 1);
        for command in self.commands.take() {
            match command {
                Command::Join(user_id, name) => assert!(self.runtime.player_joined(user_id, &name)),
                Command::Leave(user_id) => assert!(self.runtime.player_left(user_id)),
                Command::Close => self.runtime.begin_close(CloseReason::ServerEmpty),
            }
        }
        self.runtime.step(1.0 / TICKS_PER_SECOND as f64)
    }

    pub(crate) fn run_for(&mut self, seconds: u64) {
        for _ in 0..seconds * TICKS_PER_SECOND {
            self.step();
        }
    }

    /// Runs a script until its own thread has ended, at most that long.
    pub(crate) fn finish(&mut self, script: ScriptId, seconds: u64) -> ScriptState {
        for _ in 0..seconds * TICKS_PER_SECOND {
            if self.runtime.script_state(script) != ScriptState::Running {
                break;
            }
            self.step();
        }
        self.runtime.script_state(script)
    }

    pub(crate) fn texts(&self, wanted: Level) -> Vec<String> {
        self.lines.borrow().iter().filter(|(level, _)| *level == wanted).map(|(_, text)| text.clone()).collect()
    }

    /// `Calls.begin(ticket, ticks)` opens an engine call of the running thread; see `luau/support/calls.luau`.
    fn plug_in_calls(&mut self) {
        let open: Rc<RefCell<Vec<OpenCall>>> = Rc::default();
        let lua = self.runtime.lua().clone();
        let (calls, tick) = (Rc::clone(&open), Rc::clone(&self.tick));
        let begin = lua
            .create_function(move |_, (thread, ticket, ticks): (Thread, Table, u64)| {
                calls.borrow_mut().push(OpenCall { due_tick: tick.get() + ticks, thread, ticket });
                Ok(())
            })
            .unwrap();
        let call = lua.load(include_str!("luau/support/calls.luau")).call::<Table>(begin).unwrap();
        self.runtime.add_service("Calls", Value::Table(call)).unwrap();
        let (calls, tick) = (Rc::clone(&open), Rc::clone(&self.tick));
        let mut is_round_over = false;
        self.runtime.set_completions(move |_: &Lua, completed: &mut Vec<Thread>| {
            // What completes while these run is of the next round.
            if std::mem::take(&mut is_round_over) {
                return;
            }
            calls.borrow_mut().retain(|call| {
                let done = call.due_tick <= tick.get();
                if done {
                    call.ticket.set("done", true).unwrap();
                    completed.push(call.thread.clone());
                }
                !done
            });
            is_round_over = !completed.is_empty();
        });
        self.runtime.set_pending_calls(move || open.borrow().len());
    }

    fn plug_in_spec(&mut self) {
        let lua = self.runtime.lua().clone();
        let spec = lua.create_table().unwrap();
        let commands = Rc::clone(&self.commands);
        let join = move |_: &Lua, (user_id, name): (i64, String)| {
            commands.borrow_mut().push(Command::Join(user_id, name));
            Ok(())
        };
        spec.set("join", lua.create_function(join).unwrap()).unwrap();
        let commands = Rc::clone(&self.commands);
        let leave = move |_: &Lua, user_id: i64| {
            commands.borrow_mut().push(Command::Leave(user_id));
            Ok(())
        };
        spec.set("leave", lua.create_function(leave).unwrap()).unwrap();
        let commands = Rc::clone(&self.commands);
        let close = move |_: &Lua, ()| {
            commands.borrow_mut().push(Command::Close);
            Ok(())
        };
        spec.set("close", lua.create_function(close).unwrap()).unwrap();
        // Hands the error lines so far to the spec, which must look at them: those left at the end fail it.
        let lines = Rc::clone(&self.lines);
        let take_errors = move |_: &Lua, ()| {
            let (errors, others) = lines.take().into_iter().partition(|(level, _)| *level == Level::Error);
            *lines.borrow_mut() = others;
            let errors: Vec<(Level, String)> = errors;
            Ok(errors.into_iter().map(|(_, text)| text).collect::<Vec<_>>())
        };
        spec.set("takeErrors", lua.create_function(take_errors).unwrap()).unwrap();
        let lines = Rc::clone(&self.lines);
        let output = move |_: &Lua, ()| {
            Ok(lines.borrow().iter().map(|(level, text)| format!("{level:?}: {text}")).collect::<Vec<_>>())
        };
        spec.set("output", lua.create_function(output).unwrap()).unwrap();
        self.runtime.add_service("Spec", Value::Table(spec)).unwrap();
    }
}

/// Runs a spec in a fresh world.
pub(crate) fn run_spec(name: &str, source: &str) {
    let mut world = World::new();
    let script = world.runtime.run_script(name, source).unwrap();
    check_end(&mut world, name, script);
}

/// A spec passes when its main thread returns and it has left no error in the output.
pub(crate) fn check_end(world: &mut World, name: &str, script: ScriptId) {
    let state = world.finish(script, 120);
    let errors = world.texts(Level::Error);
    assert!(errors.is_empty(), "{name}: errors in the output: {errors:#?}");
    assert_eq!(state, ScriptState::Finished, "{name} did not come to its end");
}
