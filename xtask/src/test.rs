//! `cargo xtask test`: everything that a change must pass.
//!
//! Owns: the steps and their order (cheap and likely to fail first), and what is missing before they can start. Does
//! not own: installing it (`install`), what the steps look at.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::install;
use crate::libraries;
use crate::pg::{self, Server};
use crate::shell::{cargo, describe, run as run_command, step, target_dir};
use crate::tidy;

/// Host programs as users build them: workspaces of their own, because they need mlua's `send` feature.
const EMBEDDED: &str = "examples/embed_in_engine/Cargo.toml";
const CLAWBLOX_HOST: &str = "examples/clawblox_host/Cargo.toml";
const OUTSIDE_ENGINE: &str = "examples/outside_engine/Cargo.toml";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Install what the tests need and this machine lacks.
    #[arg(long)]
    pub(crate) install: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut times = vec![("tools", step("tools", || install::ensure(options.install))?)];
    // Dropped at the end, also of a run that fails.
    let mut postgres = None;
    for (name, work) in STEPS {
        times.push((*name, step(name, || work(&mut postgres))?));
    }
    println!("\n{}", summary(&times));
    Ok(())
}

/// A step gets the Postgres server of this run, from the step `postgres` on.
type Work = fn(&mut Option<Server>) -> Result<()>;

const STEPS: &[(&str, Work)] = &[
    ("format", |_| shown(&mut cargo(&["fmt", "--all", "--", "--check"]))),
    ("clippy", |_| shown(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))),
    ("tidy", |_| tidy::run()),
    ("libraries", |_| libraries::run()),
    ("postgres", start_postgres),
    ("tests", tests),
    ("doc tests", |postgres| shown(with(postgres, &mut cargo(&["test", "--doc", "--workspace"])))),
    ("deny", |_| shown(&mut cargo(install::DENY_CHECK))),
    ("outside workspace", outside),
    ("docs", |_| docs()),
];

fn shown(command: &mut Command) -> Result<()> {
    println!("    {}", describe(command));
    run_command(command)
}

fn start_postgres(postgres: &mut Option<Server>) -> Result<()> {
    let server = postgres.insert(Server::start()?);
    println!("    {}={}", pg::VARIABLE, server.url());
    Ok(())
}

/// The command with the server of this run in its environment.
fn with<'a>(postgres: &Option<Server>, command: &'a mut Command) -> &'a mut Command {
    command.envs(postgres.as_ref().map(|server| (pg::VARIABLE, server.url())))
}

fn tests(postgres: &mut Option<Server>) -> Result<()> {
    let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
    shown(with(postgres, &mut cargo(&["nextest", "run", "--workspace", "--profile", profile])))
}

/// Dependencies that several workspaces build alike are built once.
fn outside(postgres: &mut Option<Server>) -> Result<()> {
    let target_dir = target_dir()?;
    let in_workspace = |words: &[&str], manifest| {
        let mut command = cargo(words);
        command.args(["--locked", "--manifest-path", manifest, "--target-dir"]).arg(&target_dir);
        command
    };
    for manifest in [EMBEDDED, CLAWBLOX_HOST] {
        shown(with(postgres, &mut in_workspace(&["test", "--all-targets"], manifest)))?;
    }
    // It is built, too, with the URL of a database that is empty: nobody but this uses the one that the server came with.
    let url = postgres.as_ref().map(|server| ("DATABASE_URL", server.url()));
    shown(in_workspace(&["run"], OUTSIDE_ENGINE).envs(url))
}

/// Of the libraries: the program `clawstore` would be written over the library of that name.
fn docs() -> Result<()> {
    let mut command = cargo(&["doc", "--workspace", "--lib", "--no-deps", "--document-private-items"]);
    shown(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn summary(times: &[(&str, Duration)]) -> String {
    let each: Vec<_> = times.iter().map(|(name, took)| format!("{name} {:.0} s", took.as_secs_f64())).collect();
    let total: Duration = times.iter().map(|(_, took)| *took).sum();
    format!("{}\nALL TESTS PASSED: {} steps in {:.0} s", each.join(", "), times.len(), total.as_secs_f64())
}

#[cfg(test)]
mod tests_of_test {
    use super::*;

    #[test]
    fn the_steps_come_in_their_order() {
        let names: Vec<_> = STEPS.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names.join(", "),
            "format, clippy, tidy, libraries, postgres, tests, doc tests, deny, outside workspace, docs"
        );
    }

    #[test]
    fn the_last_line_says_how_it_ended() {
        let text = summary(&[("a", Duration::from_secs(2)), ("b", Duration::from_millis(600))]);
        assert_eq!(text, "a 2 s, b 1 s\nALL TESTS PASSED: 2 steps in 3 s");
    }
}
