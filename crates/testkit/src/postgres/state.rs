//! The server that `cargo xtask pg up` leaves running, for work on this project between its start and `pg down`.
//!
//! Owns: the file that says where it is, starting it and ending it. Does not own: the command line.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Cluster;
use super::programs::{as_server_user, output_of, server_program};

/// In cargo's target directory.
const FILE: &str = "clawstore-pg.json";

/// For tests of a whole machine's cores, each with a few connections per process. What depends on the 100 of stock
/// settings takes a [`Cluster`] of its own.
const CONNECTIONS_MAX: &str = "400";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The database `postgres`, as the superuser.
    pub url: String,
    /// What `pg down` removes.
    pub directory: PathBuf,
}

impl State {
    /// Of the target directory in which this program was built, if a server was started there.
    pub fn of_this_build() -> Option<Self> {
        let program = std::env::current_exe().ok()?;
        program.ancestors().skip(1).find_map(|dir| Self::read(dir).ok())
    }

    /// Of the server that was started for this target directory.
    ///
    /// # Errors
    /// `NotFound` if there is none, `InvalidData` if the file is not ours.
    pub fn read(target: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(target.join(FILE))?;
        serde_json::from_str(&text).map_err(|error| Error::new(ErrorKind::InvalidData, error))
    }

    /// The server for a target directory: the one that runs, or a new one that stays when this process ends.
    ///
    /// # Errors
    /// As [`Cluster::start`], or if the file cannot be written.
    pub fn up(target: &Path) -> Result<Self> {
        match Self::read(target) {
            Ok(state) if state.runs() => return Ok(state),
            Ok(state) => state.clear_away(target)?,
            Err(_) => {}
        }
        let cluster = Self::cluster()?;
        let url = cluster.url();
        let state = Self { url, directory: cluster.leave_directory()? };
        std::fs::create_dir_all(target)?;
        std::fs::write(target.join(FILE), serde_json::to_vec(&state)?)?;
        // By `pg_ctl`, which takes the server out of our hands: a process without terminal and with a log of its own.
        let log = state.directory.join("log-of-up");
        output_of(state.pg_ctl("start")?.args(["--wait", "--silent", "-l"]).arg(log))?;
        Ok(state)
    }

    /// Ends the server and removes its directory and the file.
    ///
    /// # Errors
    /// `NotFound` if none was started; else if a part of it does not go.
    pub fn down(target: &Path) -> Result<()> {
        let state = Self::read(target)?;
        if state.runs() {
            output_of(state.pg_ctl("stop")?.args(["-m", "immediate"]))?;
        }
        state.clear_away(target)
    }

    /// A server for many tests at once. Its owner drops it.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn cluster() -> Result<Cluster> {
        Cluster::start_with(&[("max_connections", CONNECTIONS_MAX)])
    }

    fn pg_ctl(&self, action: &str) -> Result<Command> {
        let mut command = as_server_user(server_program("pg_ctl")?);
        command.arg(action).arg("-D").arg(self.directory.join("data"));
        Ok(command)
    }

    /// Not by its process id, which may be another's by now, or of a process that ended and that nobody reaped.
    fn runs(&self) -> bool {
        server_program("pg_isready")
            .and_then(|program| output_of(Command::new(program).args(["-d", &self.url])))
            .is_ok()
    }

    fn clear_away(&self, target: &Path) -> Result<()> {
        match std::fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => std::fs::remove_file(target.join(FILE)),
        }
    }
}
