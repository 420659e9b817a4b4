//! Leases of the shared memory backend.
//!
//! Owns: incarnations, owners and who waits, in their simplest form. Does not own: what a fence guards (`memory_backend`).

use clawstore_core::backend::{
    BackendError, BackendErrorKind, BackendFuture, Beat, BeatAnswer, HoldLeases, Incarnation, LaneId, LeaseAnswer,
    LeaseRequest, Peer,
};
use clawstore_core::{Entry, EntryKey};

use super::{Answered, CommitBatches, MemoryBackend, Stored, lock};

impl MemoryBackend {
    /// Declares an incarnation dead, as if others had watched it stand still.
    pub fn kill(&self, incarnation: Incarnation) {
        lock(&self.stored).end(incarnation);
    }

    /// Incarnations that are alive, with their beats.
    pub fn alive(&self) -> Vec<Peer> {
        lock(&self.stored).peers(None)
    }

    /// Whether a key has an owner that has not given it back, alive or not.
    pub fn has_owner(&self, key: &EntryKey) -> bool {
        lock(&self.stored).owners.contains_key(key)
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

    fn acquire(&mut self, by: Incarnation, request: LeaseRequest) -> LeaseAnswer {
        let LeaseRequest { key, fence } = request;
        if self.deleted.contains_key(&key.store.game) {
            return LeaseAnswer::Busy;
        }
        if let Some((owner, _)) = self.owners.get(&key)
            && *owner != by
            && let Some(&beats) = self.alive.get(owner)
        {
            let peer = Peer { incarnation: *owner, beats };
            let requester = self.wanted.get(&key).filter(|requester| self.alive.contains_key(requester));
            if requester.is_none() {
                self.wanted.insert(key, by);
            }
            return LeaseAnswer::Held(peer);
        }
        self.wanted.remove(&key);
        self.owners.insert(key.clone(), (by, fence));
        LeaseAnswer::Granted(self.entries.get(&key).map_or_else(Entry::default, |entry| Entry::clone(entry)))
    }

    fn release(&mut self, lease: &LeaseRequest) {
        if self.owners.get(&lease.key).is_some_and(|(_, fence)| *fence == lease.fence) {
            self.owners.remove(&lease.key);
            self.wanted.remove(&lease.key);
        }
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
            let mut stored = lock(&self.stored);
            let me = beat.incarnation;
            let Some(beats) = stored.alive.get_mut(&me) else { return Ok(BeatAnswer::default()) };
            *beats += 1;
            let lease = |key: &EntryKey| {
                let (_, fence) = stored.owners.get(key).filter(|(owner, _)| *owner == me)?;
                Some(LeaseRequest { key: key.clone(), fence: *fence })
            };
            let wanted = stored.wanted.keys().filter_map(lease).collect();
            Ok(BeatAnswer { alive: true, peers: stored.peers(Some(me)), wanted })
        })
    }

    fn declare_dead(&self, by: Incarnation, seen: Vec<Peer>) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            if stored.alive.contains_key(&by) {
                let dead = stored.peers(None).into_iter().filter(|peer| seen.contains(peer));
                dead.for_each(|peer| stored.end(peer.incarnation));
            }
            Ok(())
        })
    }

    fn acquire(&self, by: Incarnation, requests: Vec<LeaseRequest>) -> BackendFuture<'_, Vec<LeaseAnswer>> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            if !stored.alive.contains_key(&by) {
                return Err(BackendError::new(BackendErrorKind::Over, "the incarnation is not alive"));
            }
            Ok(requests.into_iter().map(|request| stored.acquire(by, request)).collect())
        })
    }

    fn release(&self, leases: Vec<LeaseRequest>) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            let mut stored = lock(&self.stored);
            leases.iter().for_each(|lease| stored.release(lease));
            Ok(())
        })
    }

    fn leave(&self, incarnation: Incarnation) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            lock(&self.stored).end(incarnation);
            Ok(())
        })
    }
}
