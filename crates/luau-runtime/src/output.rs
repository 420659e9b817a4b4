//! Where `print`, `warn` and reported errors go. Owns the sink, the error count and the shape of a report.

use std::cell::{Cell, RefCell};
use std::fmt;

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
pub type OutputSink = Box<dyn FnMut(Level, &str)>;

/// Start of the chunk names of the embedded Luau files; such frames say nothing to a script's author.
pub(crate) const PRELUDE_CHUNK: &str = "[engine]";

/// The text that mlua puts between an error message and the traceback it appends.
const TRACEBACK_MARK: &str = "\nstack traceback:";

/// The sink and what has been counted on its way.
pub(crate) struct Output {
    sink: RefCell<OutputSink>,
    errors: Cell<u64>,
}

impl Output {
    pub(crate) fn new(sink: OutputSink) -> Self {
        Self { sink: RefCell::new(sink), errors: Cell::new(0) }
    }

    pub(crate) fn write(&self, level: Level, text: &str) {
        match self.sink.try_borrow_mut() {
            Ok(mut sink) => sink(level, text),
            // A sink that prints from inside a script call comes back here while it is borrowed.
            Err(_) => tracing::warn!(?level, text, "output from inside the output sink is dropped"),
        }
    }

    /// Reports an error that ended a thread.
    pub(crate) fn error(&self, message: &str, traceback: &str) {
        self.errors.set(self.errors.get() + 1);
        let mut text = String::from(message);
        let frames = traceback.lines().map(str::trim).filter(|line| !line.is_empty());
        for frame in frames.filter(|line| !line.starts_with(PRELUDE_CHUNK)) {
            text.push_str("\n  ");
            text.push_str(frame);
        }
        self.write(Level::Error, &text);
    }

    pub(crate) fn error_count(&self) -> u64 {
        self.errors.get()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("errors", &self.errors.get()).finish_non_exhaustive()
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
