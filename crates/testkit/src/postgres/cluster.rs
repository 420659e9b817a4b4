//! A private Postgres server, from `initdb` to its removal.
//!
//! Owns: its directory, its port, its settings, starting and ending it, and that nothing of it outlives its owner,
//! however that one ends. Does not own: what is stored in it.

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Result, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use super::database::psql;
use super::programs::{as_server_user, output_of, server_program};

/// Below the ports that the system gives to connections (from 32,768 on Linux). From among those, a client could be
/// given the server's own port while the server is down, and be connected to itself.
const PORTS: Range<u16> = 20_000..32_000;

/// How often another port is tried when somebody takes one between our look and the server's start.
const PORTS_TRIED_MAX: usize = 8;

/// What the server says when it takes connections; in English, because its locale is C.
const READY: &str = "database system is ready to accept";

/// Waits for a word. A word means that the directory is left alone. The end of its input means that the owner dropped
/// the cluster, or died in any way: it ends the server, if there is one, and removes the directory.
const WATCHMAN: &str = r#"read -r word || { "$1" stop -D "$2/data" -m immediate; rm -rf "$2"; }"#;

/// How a server is asked to end. For the way without asking see [`Cluster::kill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Ends connections, writes a checkpoint.
    Fast,
    /// Ends at once; the next start replays the log. What the clients see is a crash.
    Immediate,
}

/// A server of one's own on the loopback: an empty temporary directory, a free port, superuser `postgres` without a
/// password, UTF8 and locale C, and the settings that Postgres comes with (`fsync` is on). It ends, and its directory
/// goes, when this is dropped and also when the process that owns it is killed.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    port: u16,
    /// From a start until `kill` or `stop`.
    server: Option<Server>,
    watchman: Child,
}

/// One life of the server.
#[derive(Debug)]
struct Server {
    /// Ours to reap: to others, a server that nobody has reaped looks as if it ran.
    postmaster: Child,
    /// Writes the log. It ends when the postmaster and all its children, who inherit the pipe, are gone.
    logger: JoinHandle<Result<()>>,
}

impl Cluster {
    /// Starts a server and waits until it takes connections. Takes about a second.
    ///
    /// # Errors
    /// If no server is installed (`NotFound`; the text says what to install) or it does not start; then the text has
    /// what it wrote to its log.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with settings for `postgresql.conf`: name and value.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let mut cluster = Self::without_data()?;
        // It would sync an empty cluster, which nobody needs after a power cut. The server itself syncs.
        let options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"];
        output_of(as_server_user(server_program("initdb")?).args(options).arg("-D").arg(cluster.data()))?;
        cluster.configure(settings)?;
        cluster.start_on_a_free_port()?;
        Ok(cluster)
    }

    /// An empty directory, watched. Whoever fills [`data`](Self::data) starts the server.
    pub(super) fn without_data() -> Result<Self> {
        let temporary = std::env::temp_dir().join("clawstore-postgres-XXXXXX");
        let pg_ctl = server_program("pg_ctl")?;
        let directory = PathBuf::from(output_of(as_server_user("mktemp").arg("-d").arg(temporary))?);
        let watchman = start_watchman(&pg_ctl, &directory)?;
        Ok(Self { directory, port: 0, server: None, watchman })
    }

    /// The port on 127.0.0.1. It stays over restarts.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The database `postgres`, as the superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs SQL in that database and returns the bare values, a row per line and columns parted by `|`.
    ///
    /// # Errors
    /// If a statement fails; the text has the server's complaint.
    pub fn psql(&self, sql: &str) -> Result<String> {
        psql(&self.url(), sql)
    }

    /// What the server has written to its log so far.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(self.log_file())
    }

    /// The process id of the postmaster.
    ///
    /// # Errors
    /// `NotConnected` after `kill` or `stop`.
    pub fn pid(&self) -> Result<Pid> {
        let pid = self.server.as_ref().map(|server| Pid::from_child(&server.postmaster));
        pid.ok_or_else(|| Error::new(ErrorKind::NotConnected, "the server does not run"))
    }

    /// `kill -9` of the postmaster; returns when it and all its children are gone. A child that is in the middle of a
    /// statement notices when it next waits for anything.
    ///
    /// # Errors
    /// As [`pid`](Self::pid).
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// Asks the server to end and returns when it and all its children are gone.
    ///
    /// # Errors
    /// As [`pid`](Self::pid).
    pub fn stop(&mut self, mode: StopMode) -> Result<()> {
        self.end(match mode {
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        })
    }

    /// Starts the server again after [`kill`](Self::kill) or [`stop`](Self::stop), on its directory and port, and waits
    /// until it takes connections.
    ///
    /// # Errors
    /// If it does not start, or has never stopped.
    pub fn restart(&mut self) -> Result<()> {
        if self.server.is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, "the server runs"));
        }
        let mut command = as_server_user(server_program("postgres")?);
        // A process group of its own, as for the watchman.
        command.arg("-D").arg(self.data()).process_group(0);
        let mut postmaster = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = File::options().append(true).create(true).open(self.log_file())?;
        let (ready, is_ready) = channel();
        let output = postmaster.stderr.take().ok_or(ErrorKind::BrokenPipe)?;
        let logger = std::thread::spawn(move || write_log(output, log, &ready));
        self.server = Some(Server { postmaster, logger });
        is_ready.recv().or_else(|_| {
            let status = self.wait_until_gone()?;
            Err(Error::other(format!("the server ended with {status}:\n{}", self.log()?)))
        })
    }

    /// Ends the server and leaves its directory, with what is in it, to the caller.
    pub(super) fn leave_directory(mut self) -> Result<PathBuf> {
        self.stop(StopMode::Fast)?;
        if let Some(input) = &mut self.watchman.stdin {
            input.write_all(b"leave\n")?;
        }
        Ok(self.directory.clone())
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// Where it listens, and settings beside that.
    pub(super) fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let directory = self.directory.to_string_lossy();
        let ours = [("listen_addresses", "127.0.0.1"), ("unix_socket_directories", &directory)];
        let mut text = String::new();
        for (name, value) in ours.iter().chain(settings) {
            let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
        }
        self.append_to_settings(&text)
    }

    /// The last line of a setting is the one that counts.
    fn append_to_settings(&self, text: &str) -> Result<()> {
        append(&self.data().join("postgresql.conf"), text)
    }

    /// As `ALTER SYSTEM` does, on a server that does not run.
    pub(super) fn alter_system(&self, name: &str, value: &str) -> Result<()> {
        append(&self.data().join("postgresql.auto.conf"), &format!("{name} = '{value}'\n"))
    }

    pub(super) fn start_on_a_free_port(&mut self) -> Result<()> {
        let mut tries = 1;
        loop {
            self.port = free_port()?;
            self.append_to_settings(&format!("port = {}\n", self.port))?;
            let result = self.restart();
            let again = result.as_ref().is_err_and(|error| error.to_string().contains("Address already in use"));
            if !again || tries == PORTS_TRIED_MAX {
                return result;
            }
            tries += 1;
        }
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal)?;
        self.wait_until_gone().map(|_| ())
    }

    fn wait_until_gone(&mut self) -> Result<ExitStatus> {
        let mut server = self.server.take().ok_or(ErrorKind::NotConnected)?;
        let status = server.postmaster.wait()?;
        server.logger.join().map_err(|_| Error::other("the thread that writes the log panicked"))??;
        Ok(status)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchman.stdin.take());
        let _ = self.watchman.wait();
        let _ = self.wait_until_gone();
    }
}

fn append(file: &Path, text: &str) -> Result<()> {
    File::options().append(true).open(file)?.write_all(text.as_bytes())
}

/// Copies what the server says to its log; tells when it is ready.
fn write_log(output: ChildStderr, mut log: File, ready: &Sender<()>) -> Result<()> {
    for line in BufReader::new(output).lines() {
        let line = line?;
        writeln!(log, "{line}")?;
        if line.contains(READY) {
            // Nobody listens any more after the first time.
            let _ = ready.send(());
        }
    }
    Ok(())
}

/// In a process group of its own: what ends the owner's group (Ctrl-C, a test runner) must not end it.
fn start_watchman(pg_ctl: &Path, directory: &Path) -> Result<Child> {
    let mut command = as_server_user("sh");
    command.args(["-c", WATCHMAN, "sh"]).arg(pg_ctl).arg(directory).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// A port that nobody listens on now. From a random place, because several may be looking at the same time.
fn free_port() -> Result<u16> {
    let count = u64::from(PORTS.end - PORTS.start);
    let first = RandomState::new().hash_one(0) % count;
    let candidates = (0..count).map(|step| PORTS.start + ((first + step) % count) as u16);
    let mut free = candidates.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().ok_or_else(|| Error::new(ErrorKind::AddrInUse, "no free port"))
}
