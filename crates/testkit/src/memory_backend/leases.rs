//! Leases of the shared memory backend.
//!
//! Owns: incarnations, owners, shared keys, who waits, and hints, in their simplest form. Does not own: what a fence guards (`memory_backend`).

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use clawstore_core::backend::{
    BackendError, BackendErrorKind, BackendFuture, Beat, BeatAnswer, GiveBack, Hint, HintSink, HoldLeases, Holder,
    Incarnation, LaneId, LeaseAnswer, LeaseAsk, LeaseRequest, Lock, LockQuery, Peer,
};
use clawstore_core::{Entry, EntryKey};
use tokio::sync::mpsc;

use super::{Answered, CommitBatches, MemoryBackend, Stored, lock};

/// Who hears hints.
#[derive(Debug, Default)]
pub(super) struct HintLines {
    lines: BTreeMap<Incarnation, mpsc::UnboundedSender<Hint>>,
    /// None arrives.
    are_lost: bool,
}

impl MemoryBackend {
    /// Declares an incarnation dead, as if others had watched it stand still.
    pub fn kill(&self, incarnation: Incarnation) {
        lock(&self.stored).end(incarnation);
    }

    /// An incarnation loses its connection, for ever.
    pub fn cut_off(&self, incarnation: Incarnation) {
        lock(&self.stored).cut_off.insert(incarnation);
    }

    /// From now on no hint arrives.
    pub fn lose_hints(&self) {
        lock(&self.hints).are_lost = true;
    }

    /// Incarnations that are alive, with their beats.
    pub fn alive(&self) -> Vec<Peer> {
        lock(&self.stored).peers(None)
    }

    /// Whether a key has an owner that has not given it back, alive or not.
    pub fn has_owner(&self, key: &EntryKey) -> bool {
        lock(&self.stored).owners.contains_key(key)
    }

    /// Whether a key is shared.
    pub fn is_shared_key(&self, key: &EntryKey) -> bool {
        lock(&self.stored).shared.contains_key(key)
    }

    /// A copy of everything, as a standby has it.
    #[must_use]
    pub fn standby(&self) -> Self {
        let last = Arc::new(Mutex::new(lock(&self.last).clone()));
        let stored = Arc::new(Mutex::new(lock(&self.stored).clone()));
        Self { stored, last, ..self.clone() }
    }

    /// A standby takes over: what it does not have is lost.
    pub fn take_over(&self, standby: &Self) {
        let take_overs = lock(&self.stored).take_overs + 1;
        *lock(&self.last) = lock(&standby.last).clone();
        *lock(&self.stored) = Stored { take_overs, ..lock(&standby.stored).clone() };
    }

    /// Forgets the lanes of an incarnation, as the store does a day after its death.
    pub fn forget_lanes(&self, incarnation: Incarnation) {
        lock(&self.last).retain(|lane, _| lane.incarnation != incarnation);
    }
}

impl Stored {
    fn peers(&self, except: Option<Incarnation>) -> Vec<Peer> {
        let others = self.alive.iter().filter(|(incarnation, _)| Some(**incarnation) != except);
        others.map(|(&incarnation, &beats)| Peer { incarnation, beats }).collect()
    }

    /// For ever: joining again does not bring it back.
    fn end(&mut self, incarnation: Incarnation) {
        self.alive.remove(&incarnation);
        self.ended.insert(incarnation);
    }

    fn durable(&self, key: &EntryKey) -> Entry {
        self.entries.get(key).map_or_else(Entry::default, |entry| Entry::clone(entry))
    }

    fn acquire(&mut self, by: Incarnation, ask: LeaseAsk) -> LeaseAnswer {
        let LeaseAsk { key, fence, instead_of } = ask;
        if self.deleted.contains_key(&key.store.game) {
            return LeaseAnswer::Busy;
        }
        if let Some(&shared) = self.shared.get(&key)
            && instead_of != Some(shared)
        {
            return LeaseAnswer::Shared { entry: self.durable(&key), fence: shared };
        }
        if let Some(&(owner, held)) = self.owners.get(&key)
            && owner != by
            && instead_of != Some(held)
            && let Some(&beats) = self.alive.get(&owner)
        {
            let requester = self.wanted.get(&key).filter(|requester| self.alive.contains_key(requester));
            if requester.is_none() {
                self.wanted.insert(key, by);
            }
            return LeaseAnswer::Held { owner: Peer { incarnation: owner, beats }, fence: held };
        }
        self.wanted.remove(&key);
        self.shared.remove(&key);
        self.owners.insert(key.clone(), (by, fence));
        LeaseAnswer::Granted(self.durable(&key))
    }

    /// Who had asked for the key.
    fn release(&mut self, lease: &GiveBack) -> Option<Incarnation> {
        if self.owners.get(&lease.key).is_none_or(|(_, fence)| *fence != lease.fence) {
            return None;
        }
        self.owners.remove(&lease.key);
        if let Some(fence) = lease.share {
            self.shared.insert(lease.key.clone(), fence);
        }
        self.wanted.remove(&lease.key)
    }

    fn wanted_of(&self, owner: Incarnation) -> Vec<LeaseRequest> {
        let lease = |key: &EntryKey| {
            let (_, fence) = self.owners.get(key).filter(|(held_by, _)| *held_by == owner)?;
            Some(LeaseRequest { key: key.clone(), fence: *fence })
        };
        self.wanted.keys().filter_map(lease).collect()
    }

    fn locks(&self, query: &LockQuery) -> Vec<Lock> {
        let name = |of: &Incarnation| -> Box<str> { format!("process {}", of.0).into() };
        let owned = self.owners.iter().map(|(key, (of, fence))| {
            let is_alive = self.alive.contains_key(of);
            (key, *fence, Holder::Server { name: name(of), incarnation: *of, is_alive })
        });
        let shared = self.shared.iter().map(|(key, fence)| (key, *fence, Holder::All));
        let is_meant = |key: &EntryKey| {
            let is_of_store = query.store.as_ref().is_none_or(|store| *store == key.store.name);
            key.store.game == query.game && is_of_store && key.key.starts_with(&*query.prefix)
        };
        let mut locks: Vec<_> = owned.chain(shared).filter(|(key, ..)| is_meant(key)).collect();
        locks.sort_by_key(|(key, ..)| *key);
        let lock = |(key, fence, holder): (&EntryKey, _, _)| {
            let wanted_by = self.wanted.get(key).map(name);
            Lock { key: key.clone(), fence, holder, wanted_by }
        };
        locks.into_iter().take(query.limit).map(lock).collect()
    }
}

impl HoldLeases for MemoryBackend {
    fn join(&self, incarnation: Incarnation) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            if !stored.ended.contains(&incarnation) {
                stored.alive.entry(incarnation).or_default();
            }
            drop(stored);
            for number in 0..self.lanes() {
                let fresh = Answered { seq: 0, digest: 0, outcomes: Vec::new() };
                lock(&self.last).entry(LaneId { incarnation, number }).or_insert(fresh);
            }
            Ok(())
        })
    }

    fn beat(&self, beat: Beat) -> BackendFuture<'_, BeatAnswer> {
        Box::pin(async move {
            let last = lock(&self.last);
            let lanes = beat.lanes.iter().map(|mark| last.get(&mark.lane).map(|last| last.seq)).collect();
            drop(last);
            let mut stored = lock(&self.stored);
            let (me, timeline) = (beat.incarnation, stored.take_overs + 1);
            let Some(beats) = stored.alive.get_mut(&me) else {
                return Ok(BeatAnswer { timeline, lanes, ..BeatAnswer::default() });
            };
            *beats += 1;
            let (peers, wanted) = (stored.peers(Some(me)), stored.wanted_of(me));
            Ok(BeatAnswer { alive: true, peers, wanted, timeline, lanes })
        })
    }

    fn declare_dead(&self, by: Incarnation, seen: Vec<Peer>, is_fast: bool) -> BackendFuture<'_, Vec<Incarnation>> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            if stored.alive.contains_key(&by) {
                for peer in &seen {
                    let has_not_moved = stored.alive.get(&peer.incarnation) == Some(&peer.beats);
                    if has_not_moved && (!is_fast || stored.cut_off.contains(&peer.incarnation)) {
                        stored.end(peer.incarnation);
                    }
                }
            }
            let seen = seen.into_iter().map(|peer| peer.incarnation);
            Ok(seen.filter(|incarnation| !stored.alive.contains_key(incarnation)).collect())
        })
    }

    fn acquire(&self, by: Incarnation, asks: Vec<LeaseAsk>) -> BackendFuture<'_, Vec<LeaseAnswer>> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            if !stored.alive.contains_key(&by) {
                return Err(BackendError::new(BackendErrorKind::Over, "the incarnation is not alive"));
            }
            Ok(asks.into_iter().map(|ask| stored.acquire(by, ask)).collect())
        })
    }

    fn release(&self, leases: Vec<GiveBack>) -> BackendFuture<'_, Vec<Incarnation>> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            let mut askers: Vec<_> = leases.iter().filter_map(|lease| stored.release(lease)).collect();
            askers.sort_unstable();
            askers.dedup();
            Ok(askers)
        })
    }

    fn list_wanted(&self, incarnation: Incarnation) -> BackendFuture<'_, Vec<LeaseRequest>> {
        Box::pin(async move { Ok(lock(&self.stored).wanted_of(incarnation)) })
    }

    fn hint(&self, hints: Vec<(Incarnation, Hint)>) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            let known = lock(&self.hints);
            for (to, hint) in hints {
                if let Some(line) = known.lines.get(&to).filter(|_| !known.are_lost) {
                    // Nobody hears any more.
                    let _ = line.send(hint);
                }
            }
            Ok(())
        })
    }

    fn hear_hints(&self, incarnation: Incarnation, sink: HintSink) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let (line, mut hints) = mpsc::unbounded_channel();
            lock(&self.hints).lines.insert(incarnation, line);
            while let Some(hint) = hints.recv().await {
                sink(hint);
            }
        })
    }

    fn leave(&self, incarnation: Incarnation) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            lock(&self.stored).end(incarnation);
            Ok(())
        })
    }

    fn list_locks(&self, query: LockQuery) -> BackendFuture<'_, Vec<Lock>> {
        Box::pin(async move { Ok(lock(&self.stored).locks(&query)) })
    }
}
