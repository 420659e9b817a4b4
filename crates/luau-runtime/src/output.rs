//! Where `print`, `warn` and reported errors go. Owns the sink, the error count and the shape of a report.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::TRACEBACK_END_FRAMES;
use crate::shared::{State, try_borrow};

/// Kind of a line of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// `print`.
    Print,
    /// `warn`, and warnings of the runtime.
    Warn,
    /// An error that ended a thread, with its traceback below it.
    Error,
}

/// Takes every line of output; a report of an error has several lines in one call.
#[cfg(feature = "send")]
pub type OutputSink = Box<dyn FnMut(Level, &str) + Send>;
/// Takes every line of output; a report of an error has several lines in one call.
#[cfg(not(feature = "send"))]
pub type OutputSink = Box<dyn FnMut(Level, &str)>;

/// Start of the chunk names of the embedded Luau files; such frames say nothing to a script's author.
pub(crate) const PRELUDE_CHUNK: &str = "[engine]";

/// The text that mlua puts between an error message and the traceback it appends.
const TRACEBACK_MARK: &str = "\nstack traceback:";

/// The sink and what has been counted on its way.
pub(crate) struct Output {
    sink: State<OutputSink>,
    errors: AtomicU64,
}

impl Output {
    pub(crate) fn new(sink: OutputSink) -> Self {
        Self { sink: State::new(sink), errors: AtomicU64::new(0) }
    }

    pub(crate) fn write(&self, level: Level, text: &str) {
        match try_borrow(&self.sink) {
            Some(mut sink) => sink(level, text),
            // A sink that prints from inside a script call comes back here while it is borrowed.
            None => tracing::warn!(?level, text, "output from inside the output sink is dropped"),
        }
    }

    /// Reports an error that ended a thread.
    pub(crate) fn error(&self, message: &str, traceback: &str) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut text = String::from(message);
        let frames: Vec<&str> = traceback
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with(PRELUDE_CHUNK))
            .collect();
        let left_out = frames.len().saturating_sub(2 * TRACEBACK_END_FRAMES);
        for (index, frame) in frames.iter().enumerate() {
            if left_out == 0 || index < TRACEBACK_END_FRAMES || index >= TRACEBACK_END_FRAMES + left_out {
                text.push_str("\n  ");
                text.push_str(frame);
            } else if index == TRACEBACK_END_FRAMES {
                text.push_str(&format!("\n  … {left_out} more"));
            }
        }
        self.write(Level::Error, &text);
    }

    pub(crate) fn error_count(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("errors", &self.error_count()).finish_non_exhaustive()
    }
}

/// The message alone, as the script raised it, without what mlua adds.
pub(crate) fn message_of(error: &mlua::Error) -> String {
    match error {
        mlua::Error::RuntimeError(text) => match text.rfind(TRACEBACK_MARK) {
            Some(end) => text[..end].to_owned(),
            None => text.clone(),
        },
        mlua::Error::MemoryError(text) => text.clone(),
        mlua::Error::CallbackError { cause, .. } => message_of(cause),
        other => other.to_string(),
    }
}
