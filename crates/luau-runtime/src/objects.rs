//! The userdata types behind Instances, signals, connections, enums and data types.
//!
//! Owns: that such values are real userdata, so that `typeof` and `type` answer as on Roblox. Does not own what they
//! do: an object carries no data here. The prelude keeps its state in tables keyed by the object and hands in the
//! metamethods as Luau functions, which is also why errors raised by them are Lua strings.

use mlua::{Error, Function, Lua, MetaMethod, Result, Table, UserDataFields};

/// One of the prelude's types; `KIND` is its index in [`KINDS`].
struct Object<const KIND: usize>;

/// Calls `define_kind` for the type of this name: one row per type.
macro_rules! kinds {
    ($($index:literal $name:literal),* $(,)?) => {
        const KINDS: &[&str] = &[$($name),*];

        /// Gives type `name` its metamethods and returns the function that makes objects of it.
        pub(crate) fn define(lua: &Lua, name: &str, metamethods: Table) -> Result<Function> {
            match name {
                $($name => define_kind::<$index>(lua, metamethods),)*
                _ => Err(Error::runtime(format!("no userdata type is called {name}"))),
            }
        }
    };
}

kinds! {
    0 "Instance", 1 "RBXScriptSignal", 2 "RBXScriptConnection", 3 "EnumItem", 4 "Enum", 5 "Enums", 6 "DateTime", 7 "Random",
    8 "Vector2", 9 "Vector3", 10 "CFrame", 11 "Color3", 12 "UDim", 13 "UDim2",
}

fn define_kind<const KIND: usize>(lua: &Lua, metamethods: Table) -> Result<Function> {
    let pairs = metamethods.pairs::<String, Function>().collect::<Result<Vec<_>>>()?;
    lua.register_userdata_type::<Object<KIND>>(|registry| {
        registry.add_meta_field(MetaMethod::Type, KINDS[KIND]);
        for (name, function) in pairs {
            registry.add_meta_field(name, function);
        }
    })?;
    lua.create_function(|lua, ()| lua.create_any_userdata(Object::<KIND>))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typeof_and_metamethods_are_those_given() {
        let lua = Lua::new();
        let metamethods: Table = lua
            .load("return { __index = function(_, key) error('no ' .. key, 0) end, __tostring = function() return 'it' end }")
            .eval()
            .unwrap();
        let make = define(&lua, "EnumItem", metamethods).unwrap();
        let check = lua
            .load(
                "local make = ...
                 local a, b = make(), make()
                 assert(typeof(a) == 'EnumItem' and type(a) == 'userdata' and tostring(a) == 'it')
                 assert(a == a and a ~= b and ({ [a] = 1 })[a] == 1)
                 local ok, message = pcall(function() return a.size end)
                 assert(not ok and message == 'no size' and type(message) == 'string')",
            )
            .into_function()
            .unwrap();
        check.call::<()>(make).unwrap();
    }

    #[test]
    fn an_unknown_type_is_refused() {
        let lua = Lua::new();
        assert!(define(&lua, "Vector9", lua.create_table().unwrap()).is_err());
    }
}
