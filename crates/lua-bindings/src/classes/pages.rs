//! `DataStoreVersionPages` and `DataStorePages` (spec §2.11): lists, a page at a time.
//!
//! Owns: the page that is shown, whether it is the last, and the look that fetches the next. Does not own: the looks (`core`).

use clawstore_core::CallError;
use clawstore_core::backend::{SortedItem, VersionInfo};
use clawstore_core::ops::{Look, Reply};
use mlua::{AnyUserData, Lua, MaybeSend, MaybeSync, Table, UserDataFields, UserDataRegistry, Value as LuaValue};

use super::data_store::SERVICE;
use super::{add_method, instance_members, version_info};
use crate::convert::decode;
use crate::methods::{Arguments, Method, Methods, no_results, one};
use crate::shared::Shared;
use crate::vm::{Started, Vm};

/// What a list is made of.
pub(crate) trait Item: Clone + std::fmt::Debug + MaybeSend + MaybeSync + Sized + 'static {
    /// The class of its pages.
    const CLASS: &'static str;
    /// The items of a reply.
    fn items(reply: &Reply) -> &[Self];
    /// Goes on behind this one.
    fn go_on(&self, look: &mut Look);
    /// As scripts see it.
    fn to_lua(&self, lua: &Lua) -> mlua::Result<LuaValue>;
}

impl Item for VersionInfo {
    const CLASS: &'static str = "DataStoreVersionPages";

    fn items(reply: &Reply) -> &[Self] {
        if let Reply::Versions(items) = reply { items } else { &[] }
    }

    fn go_on(&self, look: &mut Look) {
        if let Look::Versions(query) = look {
            query.after = Some(self.id.revision);
        }
    }

    fn to_lua(&self, lua: &Lua) -> mlua::Result<LuaValue> {
        version_info::create(lua, *self)
    }
}

impl Item for SortedItem {
    const CLASS: &'static str = "DataStorePages";

    fn items(reply: &Reply) -> &[Self] {
        if let Reply::Sorted(items) = reply { items } else { &[] }
    }

    fn go_on(&self, look: &mut Look) {
        match look {
            Look::Sorted(query) => query.after = Some((self.number, self.key.clone())),
            Look::Scores(_, after) => *after = Some(self.clone()),
            _ => {}
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
    size: usize,
    page: Vec<T>,
    is_finished: bool,
}

impl<T: Item> Pages<T> {
    fn new(look: Look, size: usize, reply: &Reply) -> Self {
        let mut pages = Self { next: look, size, page: Vec::new(), is_finished: true };
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

    /// One more than a page was asked for: it tells whether there is another page.
    fn show(&mut self, reply: &Reply) {
        let items = T::items(reply);
        self.is_finished = items.len() <= self.size;
        self.page = items.iter().take(self.size).cloned().collect();
        if let Some(last) = self.page.last() {
            last.go_on(&mut self.next);
        }
    }
}

/// What a script gets of pages.
pub(crate) type Shown = fn(&Lua, AnyUserData) -> mlua::Result<LuaValue>;

/// Starts a list of pages of this size. `look` must ask for [`asked_for`] so many items.
pub(crate) fn start<T: Item>(vm: &Vm, lua: &Lua, look: Look, size: usize, shown: Shown) -> Started {
    let op = vm.look(lua, look.clone());
    let convert = move |lua: &Lua, reply: &Reply| {
        let pages = lua.create_any_userdata(Pages::<T>::new(look, size, reply))?;
        shown(lua, pages).map(one)
    };
    Started::With(op, Box::new(convert))
}

/// The pages object.
pub(crate) fn as_pages(_: &Lua, pages: AnyUserData) -> mlua::Result<LuaValue> {
    Ok(LuaValue::UserData(pages))
}

/// An array of the first page, which has the methods of pages as well: for [`Profile::Clawblox`](crate::Profile).
pub(crate) fn as_array(lua: &Lua, pages: AnyUserData) -> mlua::Result<LuaValue> {
    lua.load(include_str!("sorted_array.luau")).set_name("=DataStore").call(pages)
}

/// Items that are asked for to show a page of `size`.
pub(crate) const fn asked_for(size: usize) -> usize {
    size + 1
}

/// The yielding methods of both classes.
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
    let (op, object) = (vm.look(lua, look), arguments.object().clone());
    let convert = move |lua: &Lua, reply: &Reply| {
        object.borrow_mut::<Pages<T>>()?.show(reply);
        no_results(lua, reply)
    };
    Ok(Started::With(op, Box::new(convert)))
}

pub(crate) fn register<T: Item>(
    lua: &Lua,
    registry: &mut UserDataRegistry<Pages<T>>,
    methods: Methods,
) -> mlua::Result<()> {
    instance_members(lua, registry, T::CLASS, &["Pages"])?;
    registry.add_field_method_get("IsFinished", |_, pages| Ok(pages.is_finished));
    add_method(lua, registry, "GetCurrentPage", |lua, pages, ()| pages.current_page(lua).map(Ok))?;
    for (name, function) in methods {
        registry.add_field(name, function);
    }
    Ok(())
}
