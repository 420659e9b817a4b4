//! A line that carries messages between backends of one test.
//!
//! Owns: sending to every listener, holding, failing, saying twice. Does not own: what is sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clawstore_core::backend::{BackendError, BackendErrorKind, BackendFuture, CarryMessages, PayloadSink};
use tokio::sync::{broadcast, watch};

/// See the module. Clones are the same line.
#[derive(Debug, Clone)]
pub struct MessageLine {
    said: broadcast::Sender<String>,
    open: Arc<watch::Sender<bool>>,
    sendings: Arc<watch::Sender<u64>>,
    fails: Arc<AtomicUsize>,
    repeats: Arc<AtomicBool>,
}

impl Default for MessageLine {
    fn default() -> Self {
        Self {
            said: broadcast::Sender::new(100_000),
            open: Arc::new(watch::Sender::new(true)),
            sendings: Arc::default(),
            fails: Arc::default(),
            repeats: Arc::default(),
        }
    }
}

impl MessageLine {
    /// Sendings wait from now on, until [`release`](Self::release).
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    /// Lets held sendings and all later ones through.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// The next `n` sendings fail.
    pub fn fail(&self, n: usize) {
        self.fails.store(n, Ordering::Release);
    }

    /// Everything is said twice from now on, as after an answer that was lost.
    pub fn repeat(&self) {
        self.repeats.store(true, Ordering::Release);
    }

    /// What a stranger says.
    pub fn say(&self, text: &str) {
        let _ = self.said.send(text.to_owned());
    }

    /// How many sendings have been asked for.
    pub fn sendings(&self) -> watch::Receiver<u64> {
        self.sendings.subscribe()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.said.receiver_count()
    }
}

impl CarryMessages for MessageLine {
    fn publish(&self, payloads: Vec<String>) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            self.sendings.send_modify(|count| *count += 1);
            // The sender is never dropped while `self` is there.
            let _ = self.open.subscribe().wait_for(|open| *open).await;
            let fails = self.fails.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
            if fails.is_ok() {
                return Err(BackendError::new(BackendErrorKind::Unavailable, "planned failure"));
            }
            for _ in 0..=usize::from(self.repeats.load(Ordering::Acquire)) {
                payloads.iter().for_each(|payload| self.say(payload));
            }
            Ok(())
        })
    }

    fn listen(&self, sink: PayloadSink) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // From the call on, not from when it is first polled.
        let mut said = self.said.subscribe();
        Box::pin(async move {
            while let Ok(payload) = said.recv().await {
                sink(&payload);
            }
        })
    }
}
