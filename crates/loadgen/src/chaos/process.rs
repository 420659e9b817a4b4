//! Victims and verifiers, seen from the harness.
//!
//! Owns: starting them, keeping every line they write, the moments that the harness waits for, and killing them: only
//! what was started here, by its handle, also when the harness fails. Does not own: what the lines mean, but for their
//! first letter.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::calls::{BUSY, WARM};

/// How long a process may take for what it does in milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at the calls of a process, where the harness waits for some of them.
const LOOK: Duration = Duration::from_millis(2);

/// What the harness waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The store is open.
    Open,
    /// Enough calls are in flight, and enough were answered before.
    Busy,
    /// A victim that was told to pause has no call left.
    Idle,
    /// A verifier has told everything.
    End,
}

/// What a process has written, and what it makes of it.
#[derive(Debug, Default)]
struct Record {
    /// Since they were last taken.
    lines: Vec<u8>,
    in_flight: usize,
    answered: u64,
    /// The number in the last `idle`.
    losses: u64,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    events: Receiver<Event>,
    record: Arc<Mutex<Record>>,
    recorder: Option<JoinHandle<()>>,
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
        let record = Arc::new(Mutex::new(Record::default()));
        let kept = Arc::clone(&record);
        let recorder = thread::Builder::new().name("journal".into()).spawn(move || keep(stdout, &kept, &told))?;
        Ok(Self { child, events, record, recorder: Some(recorder) })
    }

    /// Calls that were made and not answered, as far as was told.
    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.record).in_flight
    }

    /// How often it had found, when it was last idle, that the database has lost what was acknowledged.
    pub(crate) fn losses(&self) -> u64 {
        lock(&self.record).losses
    }

    /// Gives the process a line to read.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("the process has no input")?;
        writeln!(stdin, "{line}").context("the process reads no more")
    }

    /// Stops the process where it is, until [`Process::thaw`].
    pub(crate) fn freeze(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::STOP).context("cannot freeze the process")
    }

    pub(crate) fn thaw(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::CONT).context("cannot thaw the process")
    }

    /// Waits until so many more calls were answered. Returns how long that took.
    pub(crate) fn wait_for_answers(&self, count: u64, patience: Duration) -> Result<Duration> {
        let (start, wanted) = (Instant::now(), lock(&self.record).answered + count);
        while lock(&self.record).answered < wanted {
            if start.elapsed() > patience {
                bail!("not {count} calls were answered within {patience:?}");
            }
            self.let_run(LOOK)?;
        }
        Ok(start.elapsed())
    }

    /// Waits for a moment that must come.
    pub(crate) fn wait_for(&self, wanted: Event) -> Result<()> {
        self.wait_at_most(wanted, PATIENCE)
    }

    /// Waits for a moment that must come within `patience`.
    pub(crate) fn wait_at_most(&self, wanted: Event, patience: Duration) -> Result<()> {
        loop {
            match self.events.recv_timeout(patience) {
                Ok(event) if event == wanted => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("no {wanted:?} within {patience:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the process ended by itself before {wanted:?}"),
            }
        }
    }

    /// Lets time pass. The process must outlive it.
    pub(crate) fn let_run(&self, duration: Duration) -> Result<()> {
        let until = Instant::now() + duration;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => bail!("the process ended by itself"),
            }
        }
    }

    /// kill -9, and nothing else yet: [`Process::kill`] has what it had written.
    pub(crate) fn kill_now(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill the process")
    }

    /// kill -9, and everything that had been written by then and not taken.
    pub(crate) fn kill(mut self) -> Result<Vec<u8>> {
        self.child.kill().context("cannot kill the process")?;
        self.child.wait()?;
        self.take_all_lines()
    }

    /// Asks a verifier to end by itself.
    pub(crate) fn close(mut self) -> Result<Vec<u8>> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the process ended with {status}");
        }
        self.take_all_lines()
    }

    /// What was written since the last time, of a process that writes nothing now.
    pub(crate) fn take_lines(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.record).lines)
    }

    fn take_all_lines(&mut self) -> Result<Vec<u8>> {
        let ended = self.recorder.take().context("taken before")?.join();
        ended.map_err(|_| anyhow::anyhow!("the thread that records has panicked"))?;
        Ok(self.take_lines())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Has ended already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers and bytes: they are whole, whatever another thread died of.
fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_digit(number: u64, digit: u8) -> u64 {
    number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
}

/// Keeps what comes, to the end. Nothing is looked at but the first letter of a line, so that the victim never waits.
fn keep(mut from: ChildStdout, record: &Mutex<Record>, told: &Sender<Event>) {
    let mut chunk = vec![0; 1 << 16];
    let (mut at_line_start, mut answered_before, mut busy) = (true, 0, false);
    // The number behind `idle`, while it is read.
    let mut losses = None;
    // An error is the end too: what was read so far counts.
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        let mut record = lock(record);
        record.lines.extend_from_slice(&chunk[..count]);
        for &byte in &chunk[..count] {
            // A harness that waits for nothing any more has dropped the other end.
            match byte {
                b'C' if at_line_start => record.in_flight += 1,
                b'A' if at_line_start => {
                    record.in_flight = record.in_flight.saturating_sub(1);
                    record.answered += 1;
                }
                b'o' if at_line_start => drop(told.send(Event::Open)),
                b'e' if at_line_start => drop(told.send(Event::End)),
                b'i' if at_line_start => losses = Some(0),
                b'0'..=b'9' => losses = losses.map(|losses| next_digit(losses, byte)),
                b'\n' => {
                    if let Some(losses) = losses.take() {
                        (busy, answered_before, record.losses) = (false, record.answered, losses);
                        let _ = told.send(Event::Idle);
                    }
                }
                _ => {}
            }
            at_line_start = byte == b'\n';
            if record.in_flight >= BUSY && record.answered >= answered_before + WARM && !busy {
                busy = true;
                let _ = told.send(Event::Busy);
            }
        }
    }
}
