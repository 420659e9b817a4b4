//! Victims and verifiers, seen from the harness.
//!
//! Owns: starting them, keeping every line they write, the moments that the harness waits for, and killing them: only
//! what was started here, by its handle, also when the harness fails. Does not own: what the lines mean.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::calls::BUSY;

/// How long a process may take for what it does in milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the harness waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The store is open.
    Open,
    /// Enough calls are in flight.
    Busy,
    /// A verifier has told everything.
    End,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    events: Receiver<Event>,
    lines: Option<JoinHandle<Vec<u8>>>,
}

impl Process {
    /// Starts this program again with other arguments.
    pub(crate) fn start(arguments: &[OsString]) -> Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process")?;
        let stdout = child.stdout.take().context("the process has no output")?;
        let (told, events) = channel();
        let lines = thread::Builder::new().name("journal".into()).spawn(move || record(stdout, &told))?;
        Ok(Self { child, events, lines: Some(lines) })
    }

    /// Waits for a moment that must come.
    pub(crate) fn wait_for(&self, wanted: Event) -> Result<()> {
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(event) if event == wanted => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("no {wanted:?} within {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the process ended by itself before {wanted:?}"),
            }
        }
    }

    /// Lets time pass. The process must outlive it.
    pub(crate) fn let_run(&self, duration: Duration) -> Result<()> {
        let until = std::time::Instant::now() + duration;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            match self.events.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => bail!("the process ended by itself"),
            }
        }
    }

    /// kill -9, and everything that had been written by then.
    pub(crate) fn kill(mut self) -> Result<Vec<u8>> {
        self.child.kill().context("cannot kill the process")?;
        self.child.wait()?;
        self.take_lines()
    }

    /// Asks a verifier to end by itself.
    pub(crate) fn close(mut self) -> Result<Vec<u8>> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the verifier ended with {status}");
        }
        self.take_lines()
    }

    fn take_lines(&mut self) -> Result<Vec<u8>> {
        let lines = self.lines.take().context("taken before")?.join();
        lines.map_err(|_| anyhow::anyhow!("the thread that records has panicked"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Has ended already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps what comes, to the end. Nothing is looked at but the first letter of a line, so that the victim never waits.
fn record(mut from: ChildStdout, told: &Sender<Event>) -> Vec<u8> {
    let (mut lines, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    let (mut at_line_start, mut in_flight, mut busy) = (true, 0_usize, false);
    // An error is the end too: what was read so far counts.
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        for &byte in &chunk[..count] {
            // A harness that waits for nothing any more has dropped the other end.
            match byte {
                b'C' if at_line_start => in_flight += 1,
                b'A' if at_line_start => in_flight = in_flight.saturating_sub(1),
                b'o' if at_line_start => drop(told.send(Event::Open)),
                b'e' if at_line_start => drop(told.send(Event::End)),
                _ => {}
            }
            at_line_start = byte == b'\n';
            if in_flight >= BUSY && !busy {
                busy = true;
                let _ = told.send(Event::Busy);
            }
        }
        lines.extend_from_slice(&chunk[..count]);
    }
    lines
}
