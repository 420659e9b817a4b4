//! Reading ahead: values that will be asked for soon are read many at a time.
//!
//! Owns: `prefetch` of keys and `preload` of stores into the cache of reads. Does not own: the reads and the cache
//! (`client`, `reads`). What is read ahead is shown for 4 s, as what was read (`decisions.md` 9): it takes no lease.

use std::sync::Arc;

use clawstore_core::backend::{BackendError, KeyItem, KeyRange};
use clawstore_core::key_machine::Writer;
use clawstore_core::ops::Reply;
use clawstore_core::{EntryKey, StoreId};
use tokio::sync::oneshot;

use crate::call_port::ReplyTo;
use crate::game::Game;

/// Keys that are on their way at once, values and all: one of the reader's calls to the store.
const KEYS_AT_ONCE: usize = 256;

impl Game {
    /// Reads keys into the cache; says how many of them hold a value. A key that cannot be read is left out: the call that
    /// needs it will say why.
    pub async fn prefetch(self: &Arc<Self>, keys: &[EntryKey]) -> usize {
        let mut found = 0;
        for some in keys.chunks(KEYS_AT_ONCE) {
            let answers: Vec<_> = some.iter().map(|key| self.read_ahead(key)).collect();
            for answer in answers {
                found += usize::from(answer.await.is_some_and(|bytes| bytes > 0));
            }
        }
        found
    }

    /// Reads all keys of stores into the cache, until half of its ceiling is filled; says how many were read.
    ///
    /// # Errors
    /// If the keys of a store cannot be listed.
    pub async fn preload(self: &Arc<Self>, stores: &[Arc<StoreId>]) -> Result<usize, BackendError> {
        let (mut loaded, mut room) = (0, self.config.cache_bytes / 2);
        for store in stores {
            let mut last: Option<Arc<str>> = None;
            loop {
                let after = last.take().unwrap_or_default();
                let kept = self.config.versioning.kept(store, self.clock.wall());
                let range = KeyRange::of_scope(Arc::clone(store), &after, kept, KEYS_AT_ONCE);
                let page = self.reader.backend().list_keys(range).await?;
                let live = page.iter().filter(|item| !item.is_deleted);
                let key = |item: &KeyItem| EntryKey { store: Arc::clone(store), key: Arc::clone(&item.place.key) };
                let answers: Vec<_> = live.map(|item| self.read_ahead(&key(item))).collect();
                for answer in answers {
                    if let Some(bytes) = answer.await {
                        loaded += 1;
                        room = room.saturating_sub(bytes);
                    }
                }
                if page.len() < KEYS_AT_ONCE {
                    break;
                }
                if room == 0 {
                    return Ok(loaded);
                }
                last = page.last().map(|item| Arc::clone(&item.place.key));
            }
        }
        Ok(loaded)
    }

    /// Starts a read; it ends with the bytes of the value, `None` if it failed.
    fn read_ahead(self: &Arc<Self>, key: &EntryKey) -> impl Future<Output = Option<usize>> + use<> {
        let writer = Writer { vm: self.new_vm(), op: 0 };
        let (reply, answer) = oneshot::channel();
        let at_hand = self.read(key, writer, true, || ReplyTo::Task(reply));
        async move {
            let result = match at_hand {
                Some(result) => result,
                None => answer.await.ok()?,
            };
            match result {
                Ok(Reply::Entry(entry)) => Some(entry.payload_bytes()),
                _ => None,
            }
        }
    }
}
