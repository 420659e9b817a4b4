//! `GetAsync` (spec §2.1): shows the entry; a tombstone and a key that was never written show as nothing.

use std::sync::Arc;

use super::{Applied, Reply};
use crate::entry::Entry;

pub(super) fn apply(head: &Arc<Entry>) -> Applied {
    Applied::Reply(Reply::Entry(Arc::clone(head)))
}
