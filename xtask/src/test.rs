//! `cargo xtask test`: everything that a change must pass.
//!
//! Owns: the steps and their order (cheap and likely to fail first), and what is missing before they can start. Does
//! not own: installing it (`install`), what the steps look at.

use std::time::Duration;

use anyhow::Result;

use crate::install;
use crate::shell::{cargo, describe, run as run_command, step, target_dir};
use crate::tidy;

/// A host program as users build one: a workspace of its own, because it needs mlua's `send` feature.
const OUTSIDE: &str = "examples/embed_in_engine/Cargo.toml";

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Install what the tests need and this machine lacks.
    #[arg(long)]
    pub(crate) install: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut times = vec![("tools", step("tools", || install::ensure(options.install))?)];
    for (name, work) in steps() {
        times.push((name, step(name, work)?));
    }
    println!("\n{}", summary(&times));
    Ok(())
}

type Step = (&'static str, Box<dyn FnOnce() -> Result<()>>);

fn steps() -> Vec<Step> {
    let plain = |arguments: &'static [&'static str]| -> Box<dyn FnOnce() -> Result<()>> {
        Box::new(move || shown(&mut cargo(arguments)))
    };
    vec![
        ("format", plain(&["fmt", "--all", "--", "--check"])),
        ("clippy", plain(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
        ("tidy", Box::new(tidy::run)),
        ("tests", Box::new(tests)),
        ("doc tests", plain(&["test", "--doc", "--workspace"])),
        ("deny", plain(install::DENY_CHECK)),
        ("outside workspace", Box::new(outside)),
        ("docs", Box::new(docs)),
    ]
}

fn shown(command: &mut std::process::Command) -> Result<()> {
    println!("    {}", describe(command));
    run_command(command)
}

fn tests() -> Result<()> {
    let profile = if std::env::var_os("CI").is_some() { "ci" } else { "default" };
    shown(&mut cargo(&["nextest", "run", "--workspace", "--profile", profile]))
}

/// Dependencies that both workspaces build alike are built once.
fn outside() -> Result<()> {
    let mut command = cargo(&["test", "--locked", "--all-targets", "--manifest-path", OUTSIDE, "--target-dir"]);
    shown(command.arg(target_dir()?))
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
        let names: Vec<_> = steps().into_iter().map(|(name, _)| name).collect();
        let expected = ["format", "clippy", "tidy", "tests", "doc tests", "deny", "outside workspace", "docs"];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_last_line_says_how_it_ended() {
        let text = summary(&[("a", Duration::from_secs(2)), ("b", Duration::from_millis(600))]);
        assert_eq!(text, "a 2 s, b 1 s\nALL TESTS PASSED: 2 steps in 3 s");
    }
}
