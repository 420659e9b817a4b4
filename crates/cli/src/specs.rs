//! `clawstore test`: runs a game's specs in simulated time, with faults on demand.
//!
//! Owns: finding specs, running each test in a world of its own, and the exit code. Does not own: what a test can ask for
//! (`specs/tester`, `driver.luau`), how results are shown (`specs/results`), the world (`run`).

mod results;
mod tester;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use clawstore::{Clawstore, Config, Database, GameId, OpenError, Retention};
use clawstore_luau::{Node, Source};
use parking_lot::Mutex;
use regex::Regex;

use crate::args::run::{CacheKind, PlaceArguments, Versioning};
use crate::args::values::{Range, duration};
use crate::console::Console;
use crate::exit::{Exit, LoadError, StoreFailed};
use crate::run::SIMULATED_START;
use crate::run::control::Conditions;
use crate::run::faults::FaultRule;
use crate::run::output::Output;
use crate::run::plan::{PlacePlan, Plan, ServerPlan, empty_game, tree};
use crate::run::players::Timetable;
use crate::run::scripts::files_ending_with;
use crate::run::server::Surroundings;
use crate::run::time::GameTime;
use crate::run::world::{End, Limits, World};
use crate::specs::results::{Failure, Results, TestResult};
use crate::specs::tester::{Tester, Verdict};

const SPECS: [&str; 2] = [".spec.luau", ".spec.lua"];

/// Name of the server in which a spec runs.
const SPEC_SERVER: &str = "spec";

#[derive(Debug, Args)]
#[command(after_help = "\
A spec is a file *.spec.luau that returns a function(test), which calls test(\"name\", function(t) … end) for each test. Each test
has a fresh server, an empty store, and simulated time. A test fails if it raises, or if a script raises an error that nobody
catches (unless it called t.allowErrors()).

  t.start(\"A\", \"game.server.luau\")   another server on the same data; t.close(\"A\"), t.kill(\"A\")
  t.join(\"A\", 42, \"Bob\")             a player; t.leave(\"A\", 42)
  t.outage(30)                       calls fail for so many seconds; t.throttle(30), t.loseAnswers(30), t.loseMessages(30)
  t.fault(\"UpdateAsync:p=0.3:502\")   as --fault; t.heal() ends all faults
  t.eventually(10, function() … end) waits until it returns true

Exit codes: 0 all passed, 1 not, 2 a spec or script could not be loaded, 5 a store has failed.")]
pub(crate) struct TestArguments {
    /// A folder with *.spec.luau files, or one of them.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    place: PlaceArguments,
    /// Run only tests whose name matches.
    #[arg(long, value_name = "REGEX")]
    only: Option<Regex>,
    /// Seed of chance: faults, latencies, math.random.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run each test with that many seeds, from --seed upwards.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Engine calls take at least this long: 50ms, or a range such as 10..80ms.
    #[arg(long, value_name = "TIME", default_value = "10..80ms")]
    latency: Range,
    /// Calls that fail in every test: see `clawstore run --help`.
    #[arg(long, value_name = "FAULT")]
    fault: Vec<FaultRule>,
    /// Which versions are kept.
    #[arg(long, value_enum, default_value_t = Versioning::Hourly)]
    versioning: Versioning,
    /// What a GetAsync that may use a cache shows: see `clawstore run --help`.
    #[arg(long, value_enum, default_value_t = CacheKind::Fresh)]
    cache: CacheKind,
    /// Longest simulated time of a test.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1h")]
    max_sim: Duration,
    /// Longest real time of a test.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    max_real: Duration,
    /// Write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// One spec file.
#[derive(Debug, Clone)]
struct Spec {
    /// As it is shown.
    name: String,
    folder: PathBuf,
    source: String,
}

pub(crate) fn test(arguments: &TestArguments, console: &Arc<Mutex<Console>>) -> anyhow::Result<Exit> {
    let specs = load(&arguments.path)?;
    let project = tree(&arguments.place)?;
    let runner = Runner { arguments, project, console };
    let mut results = Results::new(console);
    for spec in &specs {
        let names = match runner.names(spec)? {
            Ok(names) => names,
            Err(failure) => {
                results.add(TestResult::unloadable(&spec.name, failure));
                continue;
            }
        };
        let wanted = |name: &&String| arguments.only.as_ref().is_none_or(|only| only.is_match(name));
        for name in names.iter().filter(wanted) {
            for seed in arguments.seed..arguments.seed.saturating_add(arguments.runs) {
                results.add(runner.run(spec, name, seed)?);
            }
        }
    }
    results.finish(arguments.report.as_deref())
}

fn load(path: &Path) -> Result<Vec<Spec>, LoadError> {
    let files = files_ending_with(path, &SPECS)?;
    let files = if files.is_empty() && path.is_file() { vec![path.to_owned()] } else { files };
    if files.is_empty() {
        return Err(LoadError(format!("{}: there is no *.spec.luau in this folder", path.display())));
    }
    let read = |file: &PathBuf| {
        let source = std::fs::read_to_string(file);
        let source = source.map_err(|error| LoadError(format!("{}: {error}", file.display())))?;
        let shown = file.strip_prefix(path).ok().filter(|rest| !rest.as_os_str().is_empty());
        let name = shown.unwrap_or_else(|| file.file_name().unwrap_or_default().as_ref());
        let folder = file.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        Ok(Spec { name: name.display().to_string(), folder, source })
    };
    files.iter().map(read).collect()
}

struct Runner<'a> {
    arguments: &'a TestArguments,
    project: Option<Node>,
    console: &'a Arc<Mutex<Console>>,
}

impl Runner<'_> {
    /// Names of the tests of a spec.
    fn names(&self, spec: &Spec) -> anyhow::Result<Result<Vec<String>, Failure>> {
        let (tester, output, _) = self.play(spec, None, self.arguments.seed)?;
        Ok(match tester.verdict() {
            Some(Verdict { error: None }) => Ok(tester.found()),
            Some(Verdict { error: Some(error) }) => Err(Failure::new(error, output.take_lines())),
            None => Err(Failure::new("the spec did not come to its end".to_owned(), output.take_lines())),
        })
    }

    fn run(&self, spec: &Spec, name: &str, seed: u64) -> anyhow::Result<TestResult> {
        let (tester, output, world) = match self.play(spec, Some(name), seed) {
            // A script of one of its servers: the other tests go on.
            Err(error) if error.is::<LoadError>() => {
                let failure = Failure::new(error.to_string(), Vec::new());
                return Ok(TestResult::failed(&spec.name, name, seed, failure));
            }
            played => played?,
        };
        let lines = output.take_lines();
        let uncaught = lines.iter().find(|line| line.level == "error").filter(|_| !tester.allows_errors());
        let error = match tester.verdict() {
            Some(Verdict { error: Some(error) }) => Some(error),
            Some(Verdict { error: None }) => {
                let raised =
                    uncaught.map(|line| format!("a script of server {} raised an error: {}", line.server, line.text));
                let too_long = || "functions of BindToClose took longer than 30 s".to_owned();
                raised.or_else(|| world.took_too_long().then(too_long))
            }
            None => Some(format!("it did not end within its time ({:?} simulated)", world.elapsed())),
        };
        Ok(TestResult {
            file: spec.name.clone(),
            name: name.to_owned(),
            seed,
            seconds: world.elapsed().as_secs_f64(),
            faults: tester.injected(),
            failure: error.map(|error| Failure::new(error, lines)),
            is_unloadable: false,
        })
    }

    /// Runs a spec in a world of its own: one test of it, or with `None` only until its tests are known.
    fn play(&self, spec: &Spec, test: Option<&str>, seed: u64) -> anyhow::Result<(Rc<Tester>, Rc<Output>, World)> {
        let time = GameTime::simulated(SIMULATED_START);
        let output = Rc::new(Output::kept());
        let latency = test.map(|_| self.arguments.latency);
        let conditions = Conditions::new(&time, latency, self.arguments.fault.clone(), seed);
        let around = Surroundings {
            time: time.clone(),
            output: Rc::clone(&output),
            is_controlled: true,
            hears_others: false,
            conditions: Rc::clone(&conditions),
            seed: Some(seed),
        };
        let store = self.open(&time)?;
        let games = vec![store.game(GameId::Number(1))?];
        let tester = Tester::new(test, &spec.folder, &self.place(self.project.clone()), &conditions, &time);
        let plan = Plan { servers: vec![self.spec_server(spec, &tester)], timetable: Timetable::empty() };
        let (max_real, max_sim) = (Some(self.arguments.max_real), Some(self.arguments.max_sim));
        let limits = Limits { max_real, max_sim, tick_hz: 60, shows_status: false };
        let stop = Arc::new(AtomicBool::new(false));
        let mut world = World::new(plan, games, &around, limits, self.console, Arc::clone(&stop));
        tester.connect(world.orders(), stop);
        let not_loaded = |error: clawstore_luau::RuntimeError| LoadError(error.to_string());
        world.start().map_err(not_loaded)?;
        let end = world.play().map_err(not_loaded)?;
        world.close(end).map_err(not_loaded)?;
        if end == End::StoreFailed {
            let why = store.halted().unwrap_or("no reason is known");
            return Err(StoreFailed(why.to_owned()).into());
        }
        Ok((tester, output, world))
    }

    fn open(&self, time: &GameTime) -> Result<Clawstore, OpenError> {
        let retention = match self.arguments.versioning {
            Versioning::Hourly => Retention::Hourly,
            Versioning::EveryWrite => Retention::EveryWrite,
        };
        let config = Config::default().retention(retention).cache(self.arguments.cache.into());
        let builder = Clawstore::builder().config(config);
        builder.database(Database::Memory).clock(time.clock()).open()
    }

    fn place(&self, tree: Option<Node>) -> Rc<PlacePlan> {
        Rc::new(PlacePlan::new(&self.arguments.place, tree))
    }

    /// The spec's own server: the project's modules, the spec, and the driver. Scripts of the project do not start there.
    fn spec_server(&self, spec: &Spec, tester: &Rc<Tester>) -> ServerPlan {
        let mut tree = self.project.clone().unwrap_or_else(empty_game);
        disable_scripts(&mut tree);
        let driver = script("Driver", "Script", include_str!("specs/driver.luau"), "driver");
        let body = script("Spec", "ModuleScript", &spec.source, &spec.name);
        let folder = Node { children: vec![driver, body], ..script_folder() };
        tree.children.push(Node {
            name: "ServerScriptService".to_owned(),
            class: "ServerScriptService".to_owned(),
            properties: Vec::new(),
            source: None,
            children: vec![folder],
        });
        let plan = ServerPlan::new(Some(SPEC_SERVER.to_owned()), &self.place(Some(tree)), Vec::new());
        ServerPlan { extra: Some(tester.extra()), ..plan }
    }
}

fn script(name: &str, class: &str, text: &str, chunk: &str) -> Node {
    let source = Source { text: text.to_owned(), chunk: chunk.to_owned() };
    Node {
        name: name.to_owned(),
        class: class.to_owned(),
        properties: Vec::new(),
        source: Some(source),
        children: Vec::new(),
    }
}

fn script_folder() -> Node {
    Node {
        name: "ClawstoreTest".to_owned(),
        class: "Folder".to_owned(),
        properties: Vec::new(),
        source: None,
        children: Vec::new(),
    }
}

fn disable_scripts(node: &mut Node) {
    if node.class == "Script" {
        node.properties.push(("Disabled".to_owned(), clawstore_luau::PropertyValue::Bool(true)));
    }
    node.children.iter_mut().for_each(disable_scripts);
}
