//! The warning that counts, those that do not, and that whoever listened before still hears everything.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::{Arc, Mutex};

use super::*;

/// As the driver does.
fn notify(message: &str) {
    tracing::event!(target: TARGET, Level::WARN, message);
}

/// A call that is told `messages`, one in each poll.
async fn told(messages: &[&str]) -> (i32, bool) {
    let mut messages = messages.iter();
    let call = std::future::poll_fn(move |context| match messages.next() {
        Some(message) => {
            notify(message);
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        }
        None => std::task::Poll::Ready(7),
    });
    hear(call).await
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_cancelled_wait_is_heard_in_any_language_and_nothing_else() {
    block_on(hear(async {}));
    // The driver says it outside of a call first, where nobody wants it. That must not be remembered.
    notify("canceling wait for synchronous replication due to user request");
    for text in [
        "canceling wait for synchronous replication due to user request",
        "canceling the wait for synchronous replication and terminating connection due to administrator command",
        "storniere Warten auf synchrone Replikation wegen Benutzeraufforderung",
        "annulation de l'attente de la réplication synchrone à la demande de l'utilisateur",
        "отмена ожидания синхронной репликации по запросу пользователя",
        "由于用户的请求而取消等待同步复制",
    ] {
        assert_eq!(block_on(told(&["another", text, "another"])), (7, true), "{text}");
    }
    let others =
        ["database \"a\" must be vacuumed within 10000000 transactions", "there is no transaction in progress"];
    assert_eq!(block_on(told(&others)), (7, false));
    let information = async { tracing::event!(target: TARGET, Level::INFO, message = "replication") };
    assert_eq!(block_on(hear(information)), ((), false));
    let elsewhere = async { tracing::event!(target: "elsewhere", Level::WARN, message = "replication") };
    assert_eq!(block_on(hear(elsewhere)), ((), false));
}

#[test]
fn each_call_hears_its_own() {
    let words = ["waiting for synchronous replication was canceled"];
    let both = block_on(async { tokio::join!(told(&words), told(&["another", "another"])) });
    assert_eq!(both, ((7, true), (7, false)));
}

/// Whoever was there before.
#[derive(Default)]
struct Before(Mutex<Vec<String>>);

impl Subscriber for Before {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() != "unwanted"
    }

    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", event.metadata().level(), event.metadata().target()));
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.lock().unwrap().push(format!("span {}", span.metadata().name()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {
        self.0.lock().unwrap().push("enter".to_owned());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().push("exit".to_owned());
    }

    fn try_close(&self, _: Id) -> bool {
        self.0.lock().unwrap().push("close".to_owned());
        true
    }
}

#[test]
fn whoever_listened_before_hears_everything() {
    let before = Arc::new(Before::default());
    let span = dispatcher::with_default(&Dispatch::new(Arc::clone(&before)), || {
        let (span, was_cancelled) = block_on(hear(async {
            notify("a warning");
            tracing::event!(target: "ours", Level::TRACE, message = "detail");
            tracing::event!(target: "unwanted", Level::WARN, message = "none");
            tracing::span!(target: "ours", Level::INFO, "kept")
        }));
        assert!(!was_cancelled);
        span
    });
    // Used behind the call: it is still theirs, if only they were asked.
    assert!(!span.is_none() && span.id().as_ref().map(Id::into_u64) == Some(1));
    dispatcher::with_default(&Dispatch::new(Arc::clone(&before)), || drop(span.entered()));
    let expected = ["WARN sqlx::postgres::notice", "TRACE ours", "span kept", "enter", "exit", "close"];
    assert_eq!(*before.0.lock().unwrap(), expected);
}
