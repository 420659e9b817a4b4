//! The pages classes (spec §2.11): lists, a page at a time.
//!
//! Owns: the page that is shown, whether it is the last, and the look that fetches the next. Does not own: the looks and where
//! they go on (`core`), what an item shows (`version_info`, `listed`).

use clawstore_core::backend::{SortedItem, VersionInfo};
use clawstore_core::ops::{Look, Reply};
use clawstore_core::{CallError, ErrorCode};
use mlua::{AnyUserData, Lua, MaybeSend, MaybeSync, Table, UserDataFields, UserDataRegistry, Value as LuaValue};

use super::data_store::SERVICE;
use super::{add_method, instance_members, version_info};
use crate::arguments;
use crate::convert::decode;
use crate::methods::{Arguments, Method, Methods, no_results, one};
use crate::shared::Shared;
use crate::vm::{Started, Vm};

/// What a list is made of.
pub(crate) trait Item: Clone + std::fmt::Debug + MaybeSend + MaybeSync + Sized + 'static {
    /// The class of its pages.
    const CLASS: &'static str;
    /// What the `Cursor` of such pages is, while they are not at their end. Classes without one have no such member.
    const CURSOR: Option<fn(&Look) -> String> = None;
    /// The items of a reply, and whether they are the last; from then on, `look` asks for the page behind them.
    fn turn(look: &mut Look, reply: &Reply) -> (Vec<Self>, bool);
    /// As scripts see it.
    fn to_lua(&self, lua: &Lua) -> mlua::Result<LuaValue>;
}

/// A page of items of which one more than fits was asked for: it tells whether there is another page.
fn cut<T: Clone>(items: &[T], limit: usize) -> (Vec<T>, bool) {
    let size = limit.saturating_sub(1);
    (items.iter().take(size).cloned().collect(), items.len() <= size)
}

impl Item for VersionInfo {
    const CLASS: &'static str = "DataStoreVersionPages";

    fn turn(look: &mut Look, reply: &Reply) -> (Vec<Self>, bool) {
        let (Look::Versions(query), Reply::Versions(items)) = (look, reply) else { return (Vec::new(), true) };
        let (page, is_last) = cut(items, query.limit);
        query.after = page.last().map(|last| last.id.updated).or(query.after);
        (page, is_last)
    }

    fn to_lua(&self, lua: &Lua) -> mlua::Result<LuaValue> {
        version_info::create(lua, *self)
    }
}

impl Item for SortedItem {
    const CLASS: &'static str = "DataStorePages";

    fn turn(look: &mut Look, reply: &Reply) -> (Vec<Self>, bool) {
        let Reply::Sorted(items) = reply else { return (Vec::new(), true) };
        match look {
            Look::Sorted(query) => {
                let (page, is_last) = cut(items, query.limit);
                let last = page.last().map(|last| (last.number, last.key.clone()));
                query.after = last.or_else(|| query.after.take());
                (page, is_last)
            }
            Look::Scores(query, after) => {
                let (page, is_last) = cut(items, query.limit);
                *after = page.last().cloned().or_else(|| after.take());
                (page, is_last)
            }
            _ => (Vec::new(), true),
        }
    }

    fn to_lua(&self, lua: &Lua) -> mlua::Result<LuaValue> {
        let item = lua.create_table_with_capacity(0, 2)?;
        item.raw_set("key", &*self.key)?;
        item.raw_set("value", decode(lua, self.value.json())?)?;
        Ok(LuaValue::Table(item))
    }
}

/// A list as far as it has been looked at.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    /// Fetches the page after this one.
    next: Look,
    page: Vec<T>,
    is_finished: bool,
}

impl<T: Item> Pages<T> {
    fn new(look: Look, reply: &Reply) -> Self {
        let mut pages = Self { next: look, page: Vec::new(), is_finished: true };
        pages.show(reply);
        pages
    }

    /// Its items, in fresh tables.
    fn current_page(&self, lua: &Lua) -> mlua::Result<Table> {
        let page = lua.create_table_with_capacity(self.page.len(), 0)?;
        for item in &self.page {
            page.raw_push(item.to_lua(lua)?)?;
        }
        Ok(page)
    }

    fn show(&mut self, reply: &Reply) {
        (self.page, self.is_finished) = T::turn(&mut self.next, reply);
    }
}

/// What a script gets of pages.
pub(crate) type Shown = fn(&Lua, AnyUserData) -> mlua::Result<LuaValue>;

/// Starts a list with its first page.
pub(crate) fn start<T: Item>(vm: &Vm, lua: &Lua, look: Look, shown: Shown) -> Started {
    let first = look.clone();
    let convert = move |lua: &Lua, reply: &Reply| {
        let pages = lua.create_any_userdata(Pages::<T>::new(look, reply))?;
        shown(lua, pages).map(one)
    };
    vm.look_with(lua, first, Box::new(convert))
}

/// The pages object.
pub(crate) fn as_pages(_: &Lua, pages: AnyUserData) -> mlua::Result<LuaValue> {
    Ok(LuaValue::UserData(pages))
}

/// An array of the first page, which has the methods of pages as well: for [`Profile::Clawblox`](crate::Profile).
pub(crate) fn as_array(lua: &Lua, pages: AnyUserData) -> mlua::Result<LuaValue> {
    lua.load(include_str!("sorted_array.luau")).set_name("=DataStore").call(pages)
}

/// Items that a query asks for to show a page of `size`.
pub(crate) const fn asked_for(size: usize) -> usize {
    size + 1
}

/// The size of a page: the default for 0, the most there is for more (spec §2.10).
///
/// # Errors
/// 106 for a negative one.
pub(crate) fn page_size(value: &LuaValue, position: usize, default: usize, most: usize) -> Result<usize, CallError> {
    match arguments::integer(value, 0, position)? {
        0 => Ok(default),
        ..0 => Err(ErrorCode::PageSizeLesser.error("PageSize must be within a predefined range.")),
        size => Ok(usize::try_from(size).map_or(most, |size| size.min(most))),
    }
}

/// The yielding methods of all pages.
pub(crate) const fn methods<T: Item>() -> &'static [Method] {
    &[Method { service: SERVICE, name: "AdvanceToNextPageAsync", start: advance::<T>, finish: no_results }]
}

fn advance<T: Item>(vm: &Shared<Vm>, lua: &Lua, arguments: &Arguments) -> Result<Started, CallError> {
    let look = {
        let pages = arguments.this::<Pages<T>>()?;
        if pages.is_finished {
            // To the letter: spec §2.11.
            return Err(CallError::argument("No pages to advance to"));
        }
        pages.next.clone()
    };
    let object = arguments.object().clone();
    let convert = move |lua: &Lua, reply: &Reply| {
        object.borrow_mut::<Pages<T>>()?.show(reply);
        no_results(lua, reply)
    };
    Ok(vm.look_with(lua, look, Box::new(convert)))
}

pub(crate) fn register<T: Item>(
    lua: &Lua,
    registry: &mut UserDataRegistry<Pages<T>>,
    methods: Methods,
) -> mlua::Result<()> {
    instance_members(lua, registry, T::CLASS, &["Pages"])?;
    registry.add_field_method_get("IsFinished", |_, pages| Ok(pages.is_finished));
    if let Some(cursor) = T::CURSOR {
        // Cleared at the end: spec §2.11.
        let shown = move |pages: &Pages<T>| if pages.is_finished { String::new() } else { cursor(&pages.next) };
        registry.add_field_method_get("Cursor", move |_, pages| Ok(shown(pages)));
    }
    add_method(lua, registry, "GetCurrentPage", |lua, pages, ()| pages.current_page(lua).map(Ok))?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}
