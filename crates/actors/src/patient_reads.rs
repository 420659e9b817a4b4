//! Reads that wait for a store to come back: for games that load without `pcall`, where an error ends a handler for good.
//!
//! Owns: asking again while the store is unavailable, until the call's deadline. Does not own: reading.

use std::time::Duration;

use clawstore_core::key_machine::Writer;
use clawstore_core::ops::CallResult;
use clawstore_core::{CallError, EntryKey, ErrorCode, Outcome};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::call_port::ReplyTo;
use crate::inbox::VmEvent;
use crate::server::Server;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// An attempt: ended, or to come.
type Attempt = Result<CallResult, oneshot::Receiver<CallResult>>;

impl Server {
    /// As [`Server::read`], but an unavailable store is asked again until the call's deadline. The first attempt takes its place
    /// among the VM's calls on the key, like any read.
    pub fn read_patiently(&self, key: &EntryKey, writer: Writer, use_cache: bool) {
        let key = key.clone();
        let (game, inbox) = (self.game().clone(), self.inbox().clone());
        let halting = game.clone();
        let until = Instant::now() + game.config.call_deadline;
        let attempt = move |writer: Writer| -> Attempt {
            let (reply, answer) = oneshot::channel();
            game.read(&key, writer, use_cache, || ReplyTo::Task(reply)).ok_or(answer)
        };
        let mut attempted = attempt(writer);
        self.game().runtime().spawn(async move {
            let result = loop {
                let result = match attempted {
                    Ok(result) => result,
                    Err(answer) => match crate::client::timeout_at(until, answer).await {
                        Some(answer) => answer.unwrap_or_else(|_| Err(CallError::internal())),
                        None => Err(CallError::timed_out()),
                    },
                };
                let is_late = Instant::now() + PAUSE >= until;
                if is_late || halting.is_halted() || inbox.is_closed() || !may_pass(&result) {
                    break result;
                }
                pause().await;
                attempted = attempt(writer);
            };
            inbox.push(VmEvent::Done { op: writer.op, result });
        });
    }
}

/// Is it a failure that the next attempt may not have?
fn may_pass(result: &CallResult) -> bool {
    result.as_ref().is_err_and(|error| error.code == ErrorCode::RequestRejected && error.outcome == Outcome::Fail)
}

#[expect(clippy::disallowed_methods, reason = "the store is unavailable, and nobody says when it is back")]
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}
