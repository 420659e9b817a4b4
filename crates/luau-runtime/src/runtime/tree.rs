//! A tree of plain data becomes Instances. Owns the conversion; the prelude builds (`tree.luau`).

use mlua::{Lua, Result, Table, Thread, Value};

use crate::error::RuntimeError;
use crate::executor::ScriptId;
use crate::runtime::Runtime;
use crate::tree::{Node, PropertyValue};

impl Runtime {
    /// Builds a tree and then starts its Scripts in tree order, each in a thread and an environment of its own. The root
    /// `DataModel` stands for `game` and children that are services for those services; a root of another class goes
    /// into `ServerScriptService`. As on Roblox, LocalScripts, disabled Scripts and Scripts in storage services do not
    /// run.
    ///
    /// # Errors
    /// [`RuntimeError::Load`] if a Script that would run does not compile; then none has run. ModuleScripts are compiled
    /// when they are required.
    pub fn load_tree(&mut self, root: &Node) -> std::result::Result<Vec<ScriptId>, RuntimeError> {
        let tree = to_table(&self.executor.lua, root)?;
        let (threads, name, message): (Option<Vec<Thread>>, Option<String>, Option<String>) =
            self.host.load_tree.call(tree)?;
        let Some(threads) = threads else {
            let (name, message) = (name.unwrap_or_default(), message.unwrap_or_default());
            return Err(RuntimeError::Load { name, message });
        };
        Ok(threads.into_iter().map(|thread| self.executor.start(thread)).collect())
    }
}

fn to_table(lua: &Lua, node: &Node) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("name", node.name.as_str())?;
    table.raw_set("class", node.class.as_str())?;
    let properties = lua.create_table()?;
    for (index, (name, value)) in node.properties.iter().enumerate() {
        let value = match value {
            PropertyValue::Bool(truth) => Value::Boolean(*truth),
            PropertyValue::Number(number) => Value::Number(*number),
            PropertyValue::Text(text) => Value::String(lua.create_string(text)?),
        };
        properties.raw_set(index + 1, lua.create_sequence_from([Value::String(lua.create_string(name)?), value])?)?;
    }
    table.raw_set("properties", properties)?;
    if let Some(source) = &node.source {
        table.raw_set("source", source.text.as_str())?;
        table.raw_set("chunk", source.chunk.as_str())?;
    }
    let children = node.children.iter().map(|child| to_table(lua, child)).collect::<Result<Vec<_>>>()?;
    table.raw_set("children", children)?;
    Ok(table)
}
