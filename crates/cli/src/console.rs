//! What people see: script output on stdout, notes, logs and the status line on stderr.
//!
//! Owns: both streams, so that a status line that is rewritten in place never mixes with other lines. Does not own: what
//! is said. A stream that nobody reads any more is no reason to stop a server: errors of writing are ignored.

use std::io::{self, BufWriter, IsTerminal, Stderr, Stdout, Write};
use std::sync::Arc;

use clawstore_luau::Level;
use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

/// Back to the start of the line, and clear it.
const CLEAR_LINE: &str = "\r\x1b[K";

#[derive(Debug)]
pub(crate) struct Console {
    stdout: BufWriter<Stdout>,
    stderr: Stderr,
    /// Colours.
    stdout_is_terminal: bool,
    /// The status line is rewritten in place.
    stderr_is_terminal: bool,
    /// The status line of the terminal; empty if there is none.
    status: String,
    /// It stands in the terminal's last line.
    status_is_shown: bool,
}

impl Console {
    pub(crate) fn new() -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            stdout_is_terminal: stdout.is_terminal(),
            stderr_is_terminal: stderr.is_terminal(),
            stdout: BufWriter::new(stdout),
            stderr,
            status: String::new(),
            status_is_shown: false,
        }
    }

    /// A line of a script. Shown at the next [`Console::flush`].
    pub(crate) fn script(&mut self, level: Level, text: &str) {
        self.clear_status();
        let (colour, plain) = match level {
            Level::Print => ("", ""),
            Level::Warn => ("\x1b[33m", "warning: "),
            Level::Error => ("\x1b[31m", "error: "),
        };
        let _ = match (self.stdout_is_terminal, colour) {
            (true, "") | (false, _) => writeln!(self.stdout, "{plain}{text}"),
            (true, colour) => writeln!(self.stdout, "{colour}{plain}{text}\x1b[0m"),
        };
    }

    /// Shows what scripts have printed: once a tick, not once a line.
    pub(crate) fn flush(&mut self) {
        if !self.stdout.buffer().is_empty() {
            let _ = self.stdout.flush();
        }
        if !self.status_is_shown && !self.status.is_empty() {
            let _ = write!(self.stderr, "{}", self.status);
            self.status_is_shown = true;
        }
    }

    /// The figures of the last second.
    pub(crate) fn status(&mut self, line: &str) {
        if self.stderr_is_terminal {
            self.clear_status();
            line.clone_into(&mut self.status);
            self.flush();
        } else {
            self.flush();
            let _ = writeln!(self.stderr, "{line}");
        }
    }

    /// Something that the program itself says.
    pub(crate) fn note(&mut self, text: &str) {
        self.flush();
        self.clear_status();
        let _ = writeln!(self.stderr, "clawstore: {text}");
        self.flush();
    }

    /// Leaves both streams tidy.
    pub(crate) fn finish(&mut self) {
        self.flush();
        self.clear_status();
        self.status.clear();
    }

    fn clear_status(&mut self) {
        if self.status_is_shown {
            let _ = write!(self.stderr, "{CLEAR_LINE}");
            self.status_is_shown = false;
        }
    }
}

/// Where log lines go: through the console.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter(Arc<Mutex<Console>>);

impl LogWriter {
    pub(crate) fn new(console: &Arc<Mutex<Console>>) -> Self {
        Self(Arc::clone(console))
    }
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut console = self.0.lock();
        console.flush();
        console.clear_status();
        console.stderr.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().stderr.flush()
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
