//! `ListVersionsAsync` (spec §2.1, §2.7): versions of a key, the current one included, by the time of their writing.

use clawstore_core::CallError;
use clawstore_core::backend::{Kept, VersionInfo, VersionQuery};
use clawstore_core::clock::Timestamp;
use clawstore_core::limits::VERSIONS_PAGE_MAX;
use clawstore_core::ops::Look;
use mlua::{Lua, Value as LuaValue};

use super::Arguments;
use crate::arguments;
use crate::classes::pages;
use crate::shared::Shared;
use crate::vm::{Started, Vm};

const DESCENDING: i64 = 1;
const DIRECTIONS: [(&str, i64); 2] = [("Ascending", 0), ("Descending", DESCENDING)];

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let key = arguments.standard_entry_key()?;
    let descending = match arguments.at(2) {
        LuaValue::Nil => false,
        direction => arguments::enum_value(direction, 2, "SortDirection", &DIRECTIONS)? == DESCENDING,
    };
    let (from, to) = (date(arguments, 3)?, date(arguments, 4)?);
    let size = pages::page_size(arguments.at(5), 5, VERSIONS_PAGE_MAX, VERSIONS_PAGE_MAX)?;
    let query = VersionQuery {
        key,
        descending,
        from: from.map(Timestamp::from_unix_ms),
        // Both ends are included, in milliseconds as they are shown.
        to: to.map(Timestamp::end_of_unix_ms),
        after: None,
        kept: Kept::default(),
        limit: pages::asked_for(size),
    };
    Ok(pages::start::<VersionInfo>(vm, lua, Look::Versions(query), pages::as_pages))
}

/// Unix milliseconds; none for 0.
fn date(arguments: &Arguments, position: usize) -> Result<Option<u64>, CallError> {
    let date = arguments::integer(arguments.at(position), 0, position)?;
    Ok(u64::try_from(date).ok().filter(|date| *date > 0))
}
