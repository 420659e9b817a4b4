//! What the tests need on a machine, and getting it.
//!
//! Owns: the list of programs with what brings each, and installing what is missing. Quick when nothing is. Does not
//! own: Rust itself; whoever reads this has cargo.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell::{cargo, run, succeeds, target_dir};

/// Licences, bans and sources. Advisories come from the network and are a command of their own (`CONTRIBUTING.md`).
pub(crate) const DENY_CHECK: &[&str] =
    &["deny", "--offline", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"];

/// A program that tests or builds start, and the Debian package that has it.
struct Program {
    name: &'static str,
    package: &'static str,
}

const PROGRAMS: &[Program] = &[
    // Luau and SQLite are compiled from their C++ and C sources.
    Program { name: "c++", package: "g++" },
    // Data syncs are watched, and made to fail.
    Program { name: "strace", package: "strace" },
    // Published save libraries are fetched and unpacked.
    Program { name: "curl", package: "curl" },
    Program { name: "tar", package: "tar" },
    // A small disk in a mount namespace of its own.
    Program { name: "unshare", package: "util-linux" },
    Program { name: "mount", package: "mount" },
    // Servers of the tests' own. The one that the package may start has another port and directory, and is left alone.
    Program { name: "postgres", package: "postgresql" },
    // A server refuses to run as root.
    Program { name: "setpriv", package: "util-linux" },
];

/// Debian keeps the programs of a Postgres server off the `PATH`, in `VERSION/bin` below this.
const POSTGRES_DIR: &str = "/usr/lib/postgresql";

/// A part of the Rust distribution.
const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// A cargo command that is built from source.
struct CargoTool {
    command: &'static str,
    package: &'static str,
    /// The oldest that reads our configuration.
    oldest: (u32, u32, u32),
    options: &'static [&'static str],
}

const CARGO_TOOLS: &[CargoTool] = &[
    CargoTool {
        command: "nextest",
        package: "cargo-nextest",
        oldest: (0, 9, 100),
        // Without the part that replaces itself over the network.
        options: &["--no-default-features", "--features", "default-no-update"],
    },
    CargoTool { command: "deny", package: "cargo-deny", oldest: (0, 18, 0), options: &[] },
];

/// These tools run for seconds and would be optimized for minutes.
const QUICK_BUILD: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
];

/// Has everything at hand, or says what is missing. `install`: gets it first.
pub(crate) fn ensure(install: bool) -> Result<()> {
    if install {
        install_packages(&missing_packages())?;
        install_components(&missing_components())?;
        for tool in missing_tools() {
            install_tool(tool)?;
        }
    }
    let packages = missing_packages().into_iter().map(|package| format!("the package {package}"));
    let components = missing_components().into_iter().map(|component| format!("the Rust component {component}"));
    let tools = missing_tools().map(|tool| format!("{} {} or newer", tool.package, version_text(tool.oldest)));
    let missing: Vec<_> = packages.chain(components).chain(tools).collect();
    if missing.is_empty() {
        println!("    everything is there");
        return Ok(());
    }
    bail!("missing: {}. `cargo xtask test --install` installs what it can", missing.join(", "));
}

fn missing_packages() -> Vec<&'static str> {
    PROGRAMS.iter().filter(|program| !is_there(program.name)).map(|program| program.package).collect()
}

fn is_there(name: &str) -> bool {
    is_on_path(name) || postgres_places().any(|dir| dir.join(name).is_file())
}

/// Where a Postgres server's programs may be, beside the `PATH`. The test kit looks in the same places.
fn postgres_places() -> impl Iterator<Item = PathBuf> {
    let named = Command::new("pg_config").arg("--bindir").output().ok();
    let named = named.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let versions = std::fs::read_dir(POSTGRES_DIR).into_iter().flatten().flatten();
    named.into_iter().chain(versions.map(|version| version.path().join("bin")))
}

fn is_on_path(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

fn install_packages(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let words = packages.join(" ");
    if !is_on_path("apt-get") {
        bail!("please install with this system's package manager: {words}");
    }
    if !is_root() {
        bail!("please run as root: apt-get install {words}");
    }
    run(&mut apt_get(&["update"]))?;
    run(apt_get(&["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    command
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn missing_components() -> Vec<&'static str> {
    let missing = COMPONENTS.iter().filter(|(command, _)| !succeeds(&mut cargo(&[*command, "--version"])));
    missing.map(|(_, component)| *component).collect()
}

fn install_components(components: &[&str]) -> Result<()> {
    if components.is_empty() {
        return Ok(());
    }
    if !is_on_path("rustup") {
        bail!("please install with your Rust distribution: {}", components.join(" "));
    }
    run(Command::new("rustup").args(["component", "add"]).args(components))
}

fn missing_tools() -> impl Iterator<Item = &'static CargoTool> {
    CARGO_TOOLS.iter().filter(|tool| installed_version(tool.command).is_none_or(|found| found < tool.oldest))
}

fn installed_version(command: &str) -> Option<(u32, u32, u32)> {
    let output = cargo(&[command, "--version"]).output().ok().filter(|output| output.status.success())?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

/// The first version of the form `1.2.3` in a text.
fn version_in(text: &str) -> Option<(u32, u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.splitn(3, '.').map(str::parse);
        match (numbers.next()?, numbers.next()?, numbers.next()?) {
            (Ok(major), Ok(minor), Ok(patch)) => Some((major, minor, patch)),
            _ => None,
        }
    })
}

fn version_text((major, minor, patch): (u32, u32, u32)) -> String {
    format!("{major}.{minor}.{patch}")
}

fn install_tool(tool: &CargoTool) -> Result<()> {
    println!("    installing {} from source, once; this takes a few minutes", tool.package);
    let mut command = cargo(&["install", "--locked", "--force", tool.package]);
    // One directory for all of them: what they share is built once, and a run that was cut short goes on.
    command.args(tool.options).arg("--target-dir").arg(target_dir()?.join("tools"));
    run(command.envs(QUICK_BUILD.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_and_ordered() {
        assert_eq!(version_in("cargo-nextest 0.9.143 (60fa45f63 2026-08-04)\nrelease: 0.9.143"), Some((0, 9, 143)));
        assert_eq!(version_in("cargo-deny 0.14.2"), Some((0, 14, 2)));
        assert_eq!(version_in("no such command"), None);
        assert!(version_in("cargo-deny 0.14.2") < Some(CARGO_TOOLS[1].oldest), "too old for our configuration");
        assert_eq!(version_text((0, 18, 0)), "0.18.0");
    }

    #[test]
    fn programs_are_looked_for_on_the_path() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("no-such-program-anywhere") && !is_there("no-such-program-anywhere"));
        assert_eq!(installed_version("no-such-subcommand"), None);
    }
}
