//! Leases over the backend's connections.
//!
//! Owns: which call of the role goes over which connection, and its deadline. Does not own: the statements (`incarnations`,
//! `leases`, `hints`).

use std::pin::Pin;
use std::time::Duration;

use clawstore_core::backend::{
    BackendFuture, Beat, BeatAnswer, GiveBack, Hint, HintSink, HoldLeases, Incarnation, LeaseAnswer, LeaseAsk,
    LeaseRequest, Lock, LockQuery, Peer,
};

use crate::backend::{BEAT_DEADLINE, CALL_DEADLINE, LANES, PgBackend};
use crate::hints::{ListWanted, SendHints, channel, hint_of};
use crate::incarnations::{Beaten, DeclareDead, JoinIncarnation, LeaveIncarnation};
use crate::leases::{AcquireKeys, ListLocks, ReleaseKeys};

/// Half of what a beat may take, so that one behind it on the connection is still in time.
const HINT_DEADLINE: Duration = Duration::from_secs(1);

impl HoldLeases for PgBackend {
    fn join(&self, incarnation: Incarnation) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            let call = JoinIncarnation { incarnation, server: self.server(), lanes: LANES };
            self.control().ask("joining", CALL_DEADLINE, &call).await
        })
    }

    fn beat(&self, beat: Beat) -> BackendFuture<'_, BeatAnswer> {
        Box::pin(async move {
            let Beaten { answer, waits_for_standby } = self.control().ask("a beat", BEAT_DEADLINE, &beat).await?;
            self.control().set_waiting(waits_for_standby);
            if self.is_maintenance_due() {
                self.maintain_versions().await;
            }
            Ok(answer)
        })
    }

    fn declare_dead(&self, by: Incarnation, seen: Vec<Peer>, is_fast: bool) -> BackendFuture<'_, Vec<Incarnation>> {
        Box::pin(async move {
            let call = DeclareDead { by, seen, is_fast };
            self.control().ask("declaring a death", CALL_DEADLINE, &call).await
        })
    }

    fn acquire(&self, by: Incarnation, asks: Vec<LeaseAsk>) -> BackendFuture<'_, Vec<LeaseAnswer>> {
        Box::pin(async move {
            let call = AcquireKeys { stores: self.stores(), by, asks: &asks };
            self.calls().ask("the acquisition of keys", CALL_DEADLINE, &call).await.flatten()
        })
    }

    fn release(&self, leases: Vec<GiveBack>) -> BackendFuture<'_, Vec<Incarnation>> {
        Box::pin(async move {
            let call = ReleaseKeys { stores: self.stores(), leases: &leases };
            self.calls().ask("the release of keys", CALL_DEADLINE, &call).await
        })
    }

    fn list_wanted(&self, incarnation: Incarnation) -> BackendFuture<'_, Vec<LeaseRequest>> {
        Box::pin(
            async move { self.control().ask("listing wanted keys", HINT_DEADLINE, &ListWanted(incarnation)).await },
        )
    }

    fn hint(&self, hints: Vec<(Incarnation, Hint)>) -> BackendFuture<'_, ()> {
        Box::pin(async move { self.control().ask("sending hints", HINT_DEADLINE, &SendHints(hints)).await })
    }

    fn hear_hints(&self, incarnation: Incarnation, sink: HintSink) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let sink = Box::new(move |payload: &str| {
                if let Some(hint) = hint_of(payload) {
                    sink(hint);
                }
            });
            self.control().listen(channel(incarnation), sink).await;
        })
    }

    fn leave(&self, incarnation: Incarnation) -> BackendFuture<'_, ()> {
        Box::pin(async move { self.control().ask("leaving", CALL_DEADLINE, &LeaveIncarnation(incarnation)).await })
    }

    fn list_locks(&self, query: LockQuery) -> BackendFuture<'_, Vec<Lock>> {
        Box::pin(async move { self.calls().ask_about_game("listing locks", &ListLocks(&query)).await })
    }
}
