//! The program `clawstore`: plays a Luau game on a store, and looks into a store.
//!
//! Owns: the command line, logging, and turning how a command ended into an exit code. Does not own: anything a library
//! could want; those parts are `clawstore` (the store) and `clawstore-luau` (the server that scripts see).

mod args;

mod exit;

mod console;

mod run;

mod specs;

mod inspect;

mod migrate;

mod import;

mod game;

mod locks;

mod block_on;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command};
use crate::console::{Console, LogWriter};
use crate::exit::Exit;

/// Calls are made on the game thread and settled on the store's: glibc's allocator frees across threads slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is logged unless `RUST_LOG` says otherwise. ractor logs each actor that is told to stop.
const LOG_FILTER: &str = "warn,ractor=warn";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Arc::new(Mutex::new(Console::new()));
    start_logging(&console);
    let ended = match arguments.command {
        Command::Run(arguments) => run::run(&arguments, &console),
        Command::Test(arguments) => specs::test(&arguments, &console),
        Command::Get(arguments) => inspect::get(&arguments),
        Command::Ls(arguments) => inspect::ls(&arguments),
        Command::Migrate(arguments) => migrate::migrate(&arguments),
        Command::Import(arguments) => import::import(&arguments),
        Command::Snapshot(arguments) => game::snapshot(&arguments),
        Command::Game(command) => game::game(&command),
        Command::Locks(command) => locks::locks(&command),
    };
    let exit = ended.unwrap_or_else(|error| {
        console.lock().note(&format!("{error:#}"));
        Exit::of(&error)
    });
    console.lock().finish();
    ExitCode::from(exit.code())
}

fn start_logging(console: &Arc<Mutex<Console>>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let writer = LogWriter::new(console);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).init();
}
