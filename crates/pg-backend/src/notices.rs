//! What the server says beside its answers: that a commit was answered without the standby.
//!
//! Owns: hearing that warning while a call runs. Does not own: what follows from it (`link`, `failure`).
//!
//! The driver hands notices out as tracing events and in no other way, whether or not anybody collects those. So a call is
//! polled under a subscriber of our own, which passes everything on to the one that was there before it. A program that is
//! built with tracing's `max_level_off` or `max_level_error` has no such events: there the warning is not heard.

use std::cell::RefCell;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::LazyLock;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

/// Of the driver's events.
const TARGET: &str = "sqlx::postgres::notice";

/// The word in the languages that Postgres speaks. A warning about replication, in a statement of ours, is that the wait for a
/// standby was cancelled, by a person or by the end of the server (`ownership-protocol.md` A17). Others, such as the one about
/// transaction numbers that run out, come with every statement and say nothing about this one.
const REPLICATION: [&str; 8] = ["repli", "répli", "репл", "რეპლ", "レプリ", "복제", "复制", "複製"];

/// Two of them: as long as there is only one subscriber, tracing asks none but the current one which events it wants, and
/// remembers the answer.
static HEARERS: LazyLock<[Dispatch; 2]> = LazyLock::new(|| [Dispatch::new(Hearer), Dispatch::new(Hearer)]);

thread_local! {
    /// Of the poll that runs on this thread.
    static POLL: RefCell<Option<Poll>> = const { RefCell::new(None) };
}

struct Poll {
    /// Whom everything is passed on to.
    ambient: Dispatch,
    was_cancelled: bool,
}

/// Runs a call; `true`: a commit in it was answered although a standby may not have it.
pub(crate) async fn hear<T>(call: impl Future<Output = T>) -> (T, bool) {
    let mut call = pin!(call);
    let mut was_cancelled = false;
    std::future::poll_fn(|context| {
        let (polled, was_cancelled_now) = hear_now(|| call.as_mut().poll(context));
        was_cancelled |= was_cancelled_now;
        polled.map(|answer| (answer, was_cancelled))
    })
    .await
}

fn hear_now<T>(run: impl FnOnce() -> T) -> (T, bool) {
    let ambient = dispatcher::get_default(Dispatch::clone);
    POLL.set(Some(Poll { ambient, was_cancelled: false }));
    let result = dispatcher::with_default(&HEARERS[0], run);
    let poll = POLL.take();
    (result, poll.is_some_and(|poll| poll.was_cancelled))
}

fn ambient() -> Dispatch {
    let passed_on_to = POLL.with_borrow(|poll| poll.as_ref().map(|poll| poll.ambient.clone()));
    // A span that was made in a poll and is used outside of one.
    passed_on_to.unwrap_or_else(|| dispatcher::get_default(Dispatch::clone))
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET && *metadata.level() == Level::WARN
}

/// Hears warnings of the driver, and passes everything on.
struct Hearer;

impl Subscriber for Hearer {
    /// The others are asked too: what none of them wants stays off.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_warning(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata) || ambient().enabled(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let mut about_replication = AboutReplication(false);
        if is_warning(event.metadata()) {
            event.record(&mut about_replication);
        }
        if about_replication.0 {
            POLL.with_borrow_mut(|poll| poll.iter_mut().for_each(|poll| poll.was_cancelled = true));
        }
        let ambient = ambient();
        if ambient.enabled(event.metadata()) {
            ambient.event(event);
        }
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        ambient().new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        ambient().record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        ambient().record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        ambient().enter(span);
    }

    fn exit(&self, span: &Id) {
        ambient().exit(span);
    }

    fn clone_span(&self, span: &Id) -> Id {
        ambient().clone_span(span)
    }

    fn try_close(&self, span: Id) -> bool {
        ambient().try_close(span)
    }
}

/// Looks for the word in what an event says.
struct AboutReplication(bool);

impl Visit for AboutReplication {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        self.record_text(&format!("{value:?}"));
    }

    fn record_str(&mut self, _: &Field, value: &str) {
        self.record_text(value);
    }
}

impl AboutReplication {
    fn record_text(&mut self, text: &str) {
        let text = text.to_lowercase();
        self.0 |= REPLICATION.iter().any(|word| text.contains(word));
    }
}

#[cfg(test)]
mod tests;
