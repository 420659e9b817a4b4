//! The way of messages to other processes, and from them.
//!
//! Owns: the queue of what waits to be sent, sending it in groups, handing what arrives to its game. Does not own: the form of
//! payloads and what is new in them (`core::messaging`), the connection (the backend has it).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use clawstore_core::GameId;
use clawstore_core::backend::{Backend, BackendError, PayloadSink};
use clawstore_core::clock::Clock;
use clawstore_core::limits::MESSAGES_QUEUED_MAX;
use clawstore_core::messaging::{Arrivals, Carried, Publisher, not_carried, pack};
use clawstore_core::ops::{CallResult, Reply};
use metrics::counter;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::game::Counters;
use crate::inbox::{Inbox, VmEvent};
use crate::messaging::Hub;
use crate::metric_definitions::{MESSAGES_LOST_TOTAL, TRACE_MESSAGES};

/// Most messages that are sent in one go: about a megabyte if all are as long as may be.
const MESSAGES_PER_SENDING: usize = 256;

/// Who waits until a message is on its way. Dropped unanswered, it says that it may not be.
#[derive(Debug)]
pub(crate) struct PublishPort {
    inbox: Option<Arc<Inbox>>,
    op: u64,
    /// A drain waits for it.
    counters: Arc<Counters>,
}

impl PublishPort {
    pub(crate) fn new(inbox: Arc<Inbox>, op: u64, counters: Arc<Counters>) -> Self {
        counters.call_opened();
        Self { inbox: Some(inbox), op, counters }
    }

    fn answer(mut self, result: CallResult) {
        self.send(result);
    }

    fn send(&mut self, result: CallResult) {
        if let Some(inbox) = self.inbox.take() {
            inbox.push(VmEvent::Done { op: self.op, result });
            self.counters.call_settled();
        }
    }
}

impl Drop for PublishPort {
    fn drop(&mut self) {
        self.send(Err(not_carried()));
    }
}

type Outgoing = (Carried, PublishPort);
type Hubs = Mutex<HashMap<GameId, Weak<Hub>>>;

/// One per process whose store carries messages.
#[derive(Debug)]
pub(crate) struct Carrier {
    queue: mpsc::Sender<Outgoing>,
    hubs: Arc<Hubs>,
    tasks: [AbortHandle; 2],
    /// Messages are being lost for want of room, and it was said.
    is_full: AtomicBool,
}

impl Carrier {
    /// `None` if the store carries none.
    pub(crate) fn start(
        backend: &Arc<dyn Backend>,
        clock: &Arc<dyn Clock>,
        publisher: impl FnOnce() -> Publisher,
        runtime: &Handle,
    ) -> Option<Arc<Self>> {
        backend.messages()?;
        let (publisher, hubs) = (publisher(), Arc::<Hubs>::default());
        let (queue, queued) = mpsc::channel(MESSAGES_QUEUED_MAX);
        let sink = sink(publisher, Arc::clone(&hubs), Arc::clone(clock));
        let (sender, listener) = (Arc::clone(backend), Arc::clone(backend));
        let tasks = [
            runtime.spawn(send(sender, publisher, queued)).abort_handle(),
            runtime
                .spawn(async move {
                    if let Some(carrier) = listener.messages() {
                        carrier.listen(sink).await;
                    }
                })
                .abort_handle(),
        ];
        Some(Arc::new(Self { queue, hubs, tasks, is_full: AtomicBool::new(false) }))
    }

    pub(crate) fn register(&self, game: GameId, hub: &Arc<Hub>) {
        self.hubs.lock().insert(game, Arc::downgrade(hub));
    }

    /// Takes a message along, or loses it; never waits.
    pub(crate) fn carry(&self, carried: Carried, port: PublishPort) {
        let is_full = self.queue.try_send((carried, port)).is_err();
        if is_full {
            counter!(MESSAGES_LOST_TOTAL, "reason" => "queue").increment(1);
        }
        if self.is_full.swap(is_full, Ordering::Relaxed) != is_full && is_full {
            tracing::warn!(target: TRACE_MESSAGES, "too many messages wait: other processes do not get all");
        }
    }

    /// Sends and hears nothing any more.
    pub(crate) fn stop(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends what is queued; what is queued meanwhile goes together.
async fn send(backend: Arc<dyn Backend>, publisher: Publisher, mut queued: mpsc::Receiver<Outgoing>) {
    let (mut next, mut sending, mut fails) = (0, Vec::new(), false);
    while queued.recv_many(&mut sending, MESSAGES_PER_SENDING).await > 0 {
        let Some(carrier) = backend.messages() else { return };
        let payloads = pack(publisher, next, sending.iter().map(|(carried, _)| carried));
        next += sending.len() as u64;
        let sent = carrier.publish(payloads).await;
        note(&sent, sending.len(), &mut fails);
        for (_, port) in sending.drain(..) {
            port.answer(if sent.is_ok() { Ok(Reply::Nothing) } else { Err(not_carried()) });
        }
    }
}

/// Counts what is lost, and says once that it is.
fn note(sent: &Result<(), BackendError>, messages: usize, fails: &mut bool) {
    match sent {
        Ok(()) if *fails => tracing::info!(target: TRACE_MESSAGES, "messages reach other processes again"),
        Ok(()) => {}
        Err(error) => {
            counter!(MESSAGES_LOST_TOTAL, "reason" => "carrier").increment(messages as u64);
            if !*fails {
                tracing::warn!(target: TRACE_MESSAGES, %error, "messages do not reach other processes");
            }
        }
    }
    *fails = sent.is_err();
}

/// Hands what arrives to its game, if that is open here.
fn sink(me: Publisher, hubs: Arc<Hubs>, clock: Arc<dyn Clock>) -> PayloadSink {
    let arrivals = Mutex::new(Arrivals::new(me));
    Box::new(move |payload| {
        let taken = arrivals.lock().take(payload);
        let Ok(messages) = taken else {
            counter!(MESSAGES_LOST_TOTAL, "reason" => "payload").increment(1);
            tracing::debug!(target: TRACE_MESSAGES, "something that is not ours was notified");
            return;
        };
        for Carried { game, message } in messages {
            let hub = hubs.lock().get(&game).and_then(Weak::upgrade);
            if let Some(hub) = hub {
                hub.deliver(&message, clock.wall());
            }
        }
    })
}
