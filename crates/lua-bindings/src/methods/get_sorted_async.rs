//! `GetSortedAsync` (spec §3.2): entries of an ordered store by their number.

use clawstore_core::backend::{SortedItem, SortedQuery};
use clawstore_core::limits::{SORTED_PAGE_DEFAULT, SORTED_PAGE_MAX};
use clawstore_core::ops::Look;
use clawstore_core::{CallError, ErrorCode};
use mlua::{Lua, Value as LuaValue};

use super::Arguments;
use crate::arguments;
use crate::classes::ordered_data_store::OrderedDataStore;
use crate::classes::pages;
use crate::profile::{Profile, SCORES_PAGE_MAX};
use crate::shared::Shared;
use crate::vm::{Started, Vm};

pub(crate) fn start(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let store = arguments.this::<OrderedDataStore>()?.0.clone();
    let ascending = arguments::boolean(arguments.at(1), 1)?;
    let profile = vm.options.profile;
    let size = page_size(arguments.at(2), profile)?;
    let min = bound(arguments.at(3), ErrorCode::MinValueInvalid, "MinValue")?.unwrap_or(i64::MIN);
    let max = bound(arguments.at(4), ErrorCode::MaxValueInvalid, "MaxValue")?.unwrap_or(i64::MAX);
    if max < min {
        return Err(ErrorCode::MinMaxOrderInvalid.error("MaxValue must be greater or equal to MinValue."));
    }
    let query = SortedQuery { store, ascending, min, max, after: None, limit: pages::asked_for(size) };
    let (look, shown): (_, pages::Shown) = match profile {
        Profile::Roblox => (Look::Sorted(query), pages::as_pages),
        Profile::Clawblox => (Look::Scores(query, None), pages::as_array),
    };
    Ok(pages::start::<SortedItem>(vm, lua, look, shown))
}

fn page_size(value: &LuaValue, profile: Profile) -> Result<usize, CallError> {
    if value.is_nil() {
        return Ok(SORTED_PAGE_DEFAULT);
    }
    let refuse = |code: ErrorCode| Err(code.error("PageSize must be within a predefined range."));
    match arguments::integer(value, 0, 2)? {
        ..1 => refuse(ErrorCode::PageSizeLesser),
        size => match usize::try_from(size) {
            Ok(size) if size <= SORTED_PAGE_MAX => Ok(size),
            Ok(size) if profile == Profile::Clawblox => Ok(size.min(SCORES_PAGE_MAX)),
            _ => refuse(ErrorCode::PageSizeGreater),
        },
    }
}

/// A whole number, or none.
fn bound(value: &LuaValue, code: ErrorCode, name: &str) -> Result<Option<i64>, CallError> {
    match value {
        LuaValue::Nil => Ok(None),
        LuaValue::Integer(number) => Ok(Some(*number)),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "beyond int64 there is nothing: the last number stands for it"
        )]
        LuaValue::Number(number) if number.fract() == 0.0 => Ok(Some(*number as i64)),
        _ => Err(code.error(format_args!("{name} must be an integer."))),
    }
}
