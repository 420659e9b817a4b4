//! `RemoveAsync` (spec §2.6): writes a tombstone and returns what was there. Removing nothing writes nothing.

use std::sync::Arc;

use super::{Applied, Reply};
use crate::clock::Timestamp;
use crate::entry::{Attributes, Entry};

pub(super) fn apply(head: &Arc<Entry>, at: Timestamp) -> Applied {
    let reply = Reply::Entry(Arc::clone(head));
    if head.value.is_none() {
        return Applied::Reply(reply);
    }
    Applied::Write { entry: Arc::new(head.successor(None, Attributes::default(), at)), reply }
}
