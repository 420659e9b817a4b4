//! `clawstore migrate`: the schema of a Postgres database, step by step.
//!
//! Owns: what is printed: steps on stdout, what it means on stderr. Does not own: the steps (`clawstore::Migrations`).

use std::io::{self, Write};

use clawstore::{Migrations, Step};

use crate::args::{Direction, MigrateArguments};
use crate::exit::Exit;

pub(crate) fn migrate(arguments: &MigrateArguments) -> anyhow::Result<Exit> {
    let migrations = Migrations::of(arguments.database.database()?)?;
    let (steps, note) = match arguments.direction {
        Direction::Up => {
            let applied = migrations.up()?;
            let note = if applied.is_empty() { "there was nothing to apply" } else { "applied" };
            (applied, note)
        }
        Direction::Down => match migrations.down()? {
            Some(step) => (vec![step], "taken back"),
            None => (Vec::new(), "there was nothing to take back"),
        },
        Direction::Status => (migrations.status()?, ""),
    };
    let mut out = io::stdout().lock();
    for step in &steps {
        writeln!(out, "{}", line(step))?;
    }
    if !note.is_empty() {
        writeln!(io::stderr(), "{note}")?;
    }
    Ok(Exit::Success)
}

fn line(step: &Step) -> String {
    let state = match (step.applied, step.known) {
        (true, true) => "applied",
        (false, _) => "missing",
        (true, false) => "applied by a newer release",
    };
    format!("{}\t{}\t{state}", step.version, step.description)
}
