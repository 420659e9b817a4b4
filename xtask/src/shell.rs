//! Starting programs.
//!
//! Owns: where the workspace is, which cargo is used, and how a step is announced and timed. Does not own: what the
//! steps are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The directory of the workspace's manifest.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs this, at the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata)?;
    metadata["target_directory"].as_str().map(PathBuf::from).context("cargo metadata names no target directory")
}

/// Does the command start and succeed? Says nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Runs a command to its end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("{name} did not start"))?;
    if !status.success() {
        bail!("{} ended with {status}", describe(command));
    }
    Ok(())
}

/// The standard output of a command that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("{command:?} did not start"))?;
    if !output.status.success() {
        bail!("{} ended with {}", describe(command), output.status);
    }
    Ok(output.stdout)
}

/// Program and arguments, as one would type them.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Announces a step, does it, and says how long it took.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    println!("\n==> {name}");
    #[expect(clippy::disallowed_methods, reason = "times a step for the person who waits for it")]
    let began = std::time::Instant::now();
    let result = work();
    let took = began.elapsed();
    match &result {
        Ok(()) => println!("<== {name}: passed in {:.1} s", took.as_secs_f64()),
        Err(_) => println!("<== {name}: FAILED after {:.1} s", took.as_secs_f64()),
    }
    result.with_context(|| format!("step `{name}`"))?;
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).expect_err("it fails");
        assert!(error.to_string().starts_with("sh -c exit 3 ended with"), "{error}");
        assert!(run(&mut Command::new("no-such-program-anywhere")).is_err());
        assert!(!succeeds(Command::new("sh").args(["-c", "exit 1"])));
    }

    #[test]
    fn a_failing_step_is_named() {
        let error = step("a step", || bail!("the reason")).expect_err("it fails");
        assert_eq!(format!("{error:#}"), "step `a step`: the reason");
    }

    #[test]
    fn the_root_is_the_workspace() {
        assert!(root().join("deny.toml").exists());
    }
}
