//! The enums of the API: `SortDirection` and `DataStoreRequestType` (spec §6.6), for hosts that have none of their own.
//!
//! Owns: their items, one userdata each per VM, so that `==` and table keys work. Does not own: what an argument may be instead
//! of an item (`arguments`).

use clawstore_core::CallError;
use clawstore_core::budget::BudgetType;
use mlua::{AnyUserData, Lua, MetaMethod, Table, UserDataFields, UserDataMethods, UserDataRegistry, Value as LuaValue};

use super::{add_method, guarded, no_other_members_of};

/// Names with their items, in the order of their values.
const ENUMS: [(&str, &[(&str, u32)]); 2] =
    [("SortDirection", &[("Ascending", 0), ("Descending", 1)]), ("DataStoreRequestType", &REQUEST_TYPES)];

/// `Enum.DataStoreRequestType`.
pub(crate) const REQUEST_TYPES: [(&str, u32); BudgetType::ALL.len()] = {
    let (mut items, mut value) = ([("", 0); BudgetType::ALL.len()], 0);
    while value < items.len() {
        items[value] = (BudgetType::ALL[value].name(), value as u32);
        value += 1;
    }
    items
};

/// The enums of one VM.
#[derive(Debug)]
pub(crate) struct Enums {
    /// By name.
    enums: Table,
}

/// What scripts see as `Enum.SortDirection`.
#[derive(Debug)]
pub(crate) struct Enum {
    name: &'static str,
    /// By name.
    items: Table,
    /// In order.
    list: Table,
}

/// What scripts see as `Enum.SortDirection.Ascending`.
#[derive(Debug)]
pub(crate) struct EnumItem {
    enum_type: AnyUserData,
    enum_name: &'static str,
    name: &'static str,
    value: u32,
}

impl Enum {
    fn described(&self) -> String {
        format!("\"Enum.{}\"", self.name)
    }
}

impl EnumItem {
    fn full_name(&self) -> String {
        format!("Enum.{}.{}", self.enum_name, self.name)
    }
}

impl Enums {
    /// Makes all items. The classes are registered.
    pub(crate) fn new(lua: &Lua) -> mlua::Result<Self> {
        let enums = lua.create_table()?;
        for (name, names) in ENUMS {
            let (items, list) = (lua.create_table()?, lua.create_table()?);
            let made = lua.create_any_userdata(Enum { name, items: items.clone(), list: list.clone() })?;
            for &(item, value) in names {
                let made = EnumItem { enum_type: made.clone(), enum_name: name, name: item, value };
                let made = lua.create_any_userdata(made)?;
                items.raw_set(item, &made)?;
                list.raw_push(made)?;
            }
            enums.raw_set(name, made)?;
        }
        Ok(Self { enums })
    }

    /// The enum of a name.
    pub(crate) fn get(&self, name: &str) -> Option<AnyUserData> {
        self.enums.raw_get(name).ok()
    }

    /// The item of a name.
    pub(crate) fn item(&self, name: &str, item: &str) -> Option<AnyUserData> {
        self.get(name)?.borrow::<Enum>().ok()?.items.raw_get(item).ok()
    }
}

pub(crate) fn register_enum(lua: &Lua, registry: &mut UserDataRegistry<Enum>) -> mlua::Result<()> {
    registry.add_meta_field("__type", "Enum");
    no_other_members_of(lua, registry, Enum::described)?;
    // Items are members of one enum, not of the class.
    registry.add_meta_field("__index", guarded(lua, |_, (this, name)| item_of(&this, &name))?);
    add_method(lua, registry, "GetEnumItems", |lua, this, ()| {
        let items: mlua::Result<Vec<AnyUserData>> = this.list.sequence_values().collect();
        lua.create_sequence_from(items?).map(Ok)
    })?;
    registry.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.name));
    Ok(())
}

fn item_of(this: &AnyUserData, name: &LuaValue) -> mlua::Result<Result<LuaValue, CallError>> {
    let this = this.borrow::<Enum>()?;
    Ok(match this.items.raw_get(name)? {
        LuaValue::Nil => {
            let name = name.to_string()?;
            Err(CallError::argument(format_args!("{name} is not a valid member of {}", this.described())))
        }
        item => Ok(item),
    })
}

pub(crate) fn register_item(lua: &Lua, registry: &mut UserDataRegistry<EnumItem>) -> mlua::Result<()> {
    registry.add_meta_field("__type", "EnumItem");
    registry.add_field_method_get("Name", |_, item| Ok(item.name));
    registry.add_field_method_get("Value", |_, item| Ok(item.value));
    registry.add_field_method_get("EnumType", |_, item| Ok(item.enum_type.clone()));
    registry.add_meta_method(MetaMethod::ToString, |_, item, ()| Ok(item.full_name()));
    no_other_members_of(lua, registry, |item| format!("\"{}\"", item.full_name()))
}
