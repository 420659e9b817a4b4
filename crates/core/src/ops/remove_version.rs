//! `RemoveVersionAsync` (spec §2.7): a version is gone for good. This is the part that the key's order decides: the newest
//! revision is erased by a tombstone that keeps nothing of it; any other is deleted where versions are (`actors`), once what
//! was accepted before is durable.

use std::sync::Arc;

use super::{Applied, Reply};
use crate::clock::Timestamp;
use crate::entry::{Attributes, Entry, VersionId};

pub(super) fn apply(id: VersionId, head: &Arc<Entry>, at: Timestamp) -> Applied {
    if head.value.is_none() || head.version() != id {
        return Applied::Reply(Reply::Nothing);
    }
    let entry = Arc::new(head.successor(None, Attributes::default(), at));
    Applied::Write { entry, reply: Reply::Nothing }
}
