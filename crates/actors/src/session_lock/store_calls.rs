//! The session lock's calls to the store.
//!
//! Owns: making them in tasks whose answers come back as messages, hearing hints, and leaving. Does not own: what is asked
//! (`core::lease`).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clawstore_core::backend::{Backend, BackendError, BackendErrorKind, GiveBack, HoldLeases, Incarnation};
use clawstore_core::clock::Moment;
use clawstore_core::lease::LeaseEffect;
use clawstore_core::limits::LEASES_PER_CALL_MAX;
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::{SessionLockActor, SessionMsg, SessionState};
use crate::metric_definitions::TRACE_LEASES;

/// How long leaving is put off for leases that are still to be given back: half of what a process waits for it.
const GIVE_BACK_PATIENCE: Duration = Duration::from_secs(1);

/// The backend's leases. A backend that has some keeps having them.
pub(super) fn leases_of(backend: &dyn Backend) -> Result<&dyn HoldLeases, BackendError> {
    backend.leases().ok_or_else(|| BackendError::new(BackendErrorKind::Internal, "The store has no leases."))
}

impl SessionLockActor {
    /// One call to the store, whose answer comes back as a message.
    pub(super) fn ask_store(&self, me: ActorRef<SessionMsg>, effect: LeaseEffect) {
        let (backend, sent) = (Arc::clone(&self.backend), self.clock.now());
        let next = Incarnation::from_bits(self.entropy.bits());
        let effect = match effect {
            LeaseEffect::Beat(beat) => LeaseEffect::Beat(self.with_lanes(beat)),
            effect => effect,
        };
        #[expect(clippy::disallowed_methods, reason = "at most one of each kind at a time; each ends by its deadline")]
        tokio::spawn(async move {
            let answer = match leases_of(&*backend) {
                Ok(leases) => ask(leases, effect, next, sent).await,
                Err(_) => None,
            };
            if let Some(answer) = answer {
                let _ = me.cast(answer);
            }
        });
    }

    /// Hears the hints for an incarnation, if they are on, and no longer those for the one before.
    pub(super) fn hear_hints(&self, me: &ActorRef<SessionMsg>, state: &mut SessionState, of: Option<Incarnation>) {
        if let Some(before) = state.hearing.take() {
            before.abort();
        }
        let Some(incarnation) = of.filter(|_| self.hints) else { return };
        let (backend, me) = (Arc::clone(&self.backend), me.clone());
        let sink = Box::new(move |hint| drop(me.cast(SessionMsg::Hinted(incarnation, hint))));
        #[expect(clippy::disallowed_methods, reason = "one at a time; ended with the incarnation")]
        let hearing = tokio::spawn(async move {
            if let Ok(leases) = leases_of(&*backend) {
                leases.hear_hints(incarnation, sink).await;
            }
        });
        state.hearing = Some(hearing.abort_handle());
    }

    /// From now on nothing is answered or asked for any more.
    pub(super) fn leave(&self, state: &mut SessionState, left: Option<oneshot::Sender<()>>) {
        state.has_left = true;
        if let Some(hearing) = state.hearing.take() {
            hearing.abort();
        }
        let (backend, me, releasing) = (Arc::clone(&self.backend), state.leases.me(), state.leases.releasing());
        self.standing.incarnation.store(0, Ordering::Release);
        #[expect(clippy::disallowed_methods, reason = "once, at the end; whoever waits for it has a deadline")]
        tokio::spawn(async move {
            if let (Some(me), Ok(leases)) = (me, leases_of(&*backend)) {
                give_back(leases, releasing).await;
                if let Err(error) = leases.leave(me).await {
                    tracing::warn!(target: TRACE_LEASES, %error, "leases stay until this process is taken for dead");
                }
            }
            // Whoever waits for it may have had enough.
            let _ = left.map(|left| left.send(()));
        });
    }
}

/// Gives leases back that are not given back yet, among them those of keys that were never written, which the store forgets. What
/// is not given back in time ends with the incarnation: leaving must not wait for it.
#[expect(clippy::disallowed_methods, reason = "whoever waits for the end has a deadline, and the leaving comes first")]
async fn give_back(leases: &dyn HoldLeases, releasing: Vec<GiveBack>) {
    let all = async {
        for some in releasing.chunks(LEASES_PER_CALL_MAX) {
            leases.release(some.to_vec()).await?;
        }
        Ok::<_, BackendError>(())
    };
    let _ = tokio::time::timeout(GIVE_BACK_PATIENCE, all).await;
}

/// Makes the call that an effect asks for.
async fn ask(leases: &dyn HoldLeases, effect: LeaseEffect, next: Incarnation, sent: Moment) -> Option<SessionMsg> {
    Some(match effect {
        LeaseEffect::Join => SessionMsg::Joined(next, sent, leases.join(next).await),
        LeaseEffect::Beat(beat) => {
            let answer = leases.beat(beat.clone()).await;
            SessionMsg::Beaten(sent, beat, answer)
        }
        LeaseEffect::Acquire(by, asks) => {
            let answer = leases.acquire(by, asks.clone()).await;
            SessionMsg::Acquired(by, asks, answer)
        }
        LeaseEffect::Release(given) => {
            let answer = leases.release(given.clone()).await;
            SessionMsg::Released(given, answer)
        }
        LeaseEffect::DeclareDead(by, seen, is_fast) => {
            SessionMsg::DeclaredDead(leases.declare_dead(by, seen, is_fast).await)
        }
        LeaseEffect::Hint(hints) => {
            if let Err(error) = leases.hint(hints).await {
                tracing::debug!(target: TRACE_LEASES, %error, "hints were lost");
            }
            SessionMsg::HintsSent
        }
        LeaseEffect::ListWanted(of) => SessionMsg::WantedListed(of, leases.list_wanted(of).await),
        LeaseEffect::Leave(me) => {
            if let Err(error) = leases.leave(me).await {
                tracing::warn!(target: TRACE_LEASES, %error, "the leases of before stay until others notice that nobody beats");
            }
            return None;
        }
        _ => return None,
    })
}
