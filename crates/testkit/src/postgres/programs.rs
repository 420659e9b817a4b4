//! The programs of a Postgres installation.
//!
//! Owns: where they are, as which user they run, and what their failure looks like. Does not own: what they are
//! started for.

use std::ffi::OsStr;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Debian keeps the server's programs off the `PATH`, in `VERSION/bin` below this.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Where a program of the server is: in the directory that `pg_config` names, else in Debian's newest, else on the
/// `PATH`. All of them are taken from the one place that has the server itself.
///
/// # Errors
/// `NotFound` if no server is installed; the text says what to install.
pub fn server_program(name: &str) -> Result<PathBuf> {
    let found = places().into_iter().find(|dir| dir.join("postgres").is_file());
    let missing = "no Postgres server here: `cargo xtask test --install` installs it, or install the Debian package \
                   `postgresql` (elsewhere: what has the programs `postgres`, `initdb` and `psql`)";
    found.map(|dir| dir.join(name)).ok_or_else(|| Error::new(ErrorKind::NotFound, missing))
}

fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        places.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    places.extend(debian_places(Path::new(DEBIAN)));
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places
}

/// Newest first. Versions are whole numbers since 10.
fn debian_places(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut versions: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| dir.join(version.to_string()).join("bin")).collect()
}

/// A command as the user that servers run as: ourselves, or `postgres` when we are root, whom a server refuses. It
/// stands at the root, because that user may not be allowed where we stand.
pub(super) fn as_server_user(program: impl AsRef<OsStr>) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/");
    command
}

/// `psql` on a database, without anybody's own settings; what it prints is bare values, and the first error ends it.
pub(super) fn psql_command(url: &str) -> Result<Command> {
    let mut command = Command::new(server_program("psql")?);
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]).args(["-d", url]);
    Ok(command)
}

/// The trimmed standard output of a command that must succeed.
pub(super) fn output_of(command: &mut Command) -> Result<String> {
    let started = command.output();
    let output = started.map_err(|error| Error::new(error.kind(), format!("{command:?} did not start: {error}")))?;
    succeeded(command, &output).map(|output| output.trim_end().to_owned())
}

/// The standard output of what has ended well, or an error with what it complained about.
pub(super) fn succeeded(command: &Command, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let (program, complaint) = (command.get_program().to_string_lossy(), String::from_utf8_lossy(&output.stderr));
    Err(Error::other(format!("{program} ended with {}: {}", output.status, complaint.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["9", "15", "common", "100"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        let places = debian_places(dir.path());
        assert_eq!(places, ["100/bin", "15/bin", "9/bin"].map(|place| dir.path().join(place)));
        assert_eq!(debian_places(&dir.path().join("nowhere")), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn a_failure_says_what_was_complained_about() {
        let error = output_of(Command::new("sh").args(["-c", "echo the reason >&2; exit 3"])).expect_err("it fails");
        assert!(error.to_string().contains("exit status: 3: the reason"), "{error}");
        assert_eq!(output_of(Command::new("sh").args(["-c", "echo ' a '"])).expect("it works"), " a");
    }
}
