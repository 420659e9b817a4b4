//! The inside of a project file. Owns: the keys of a node and what they mean. Does not own: what a `$path` leads to
//! (`folder.rs`).

use std::path::Path;

use serde_json::{Map, Value};

use super::folder::read_text;
use super::{GAME_CLASS, Loader, ProjectError};
use crate::tree::{Node, PropertyValue};

/// Keys that are accepted and change nothing here: they tell Studio's plugin what to do, or name what is not there.
const WITHOUT_EFFECT: [&str; 3] = ["$ignoreUnknownInstances", "$attributes", "$id"];

/// A node in a project file, for messages.
struct At<'a> {
    file: &'a Path,
    /// `tree`, then the keys that lead to the node, joined by dots.
    node: String,
}

impl At<'_> {
    fn refuse(&self, message: impl Into<String>) -> ProjectError {
        ProjectError::Node { file: self.file.to_owned(), node: self.node.clone(), message: message.into() }
    }
}

/// Reads a project file. `name` is what the node is to be called; without it the project's `name` is, or `fallback`.
pub(super) fn read(loader: &mut Loader, file: &Path, name: Option<&str>, fallback: &str) -> Result<Node, ProjectError> {
    let text = read_text(file)?;
    let json: Value =
        serde_json::from_str(&text).map_err(|source| ProjectError::Json { file: file.to_owned(), source })?;
    let project = At { file, node: "project".to_owned() };
    let Value::Object(fields) = &json else { return Err(project.refuse("not a JSON object")) };
    let own_name = text_of(&project, fields, "name")?.unwrap_or(fallback);
    let tree = fields.get("tree").ok_or_else(|| project.refuse("no 'tree'"))?;
    let at = At { file, node: "tree".to_owned() };
    let root = node(loader, &at, name.unwrap_or(own_name), tree, None)?;
    root.ok_or_else(|| at.refuse("its optional $path does not exist"))
}

/// One node with everything below it; nothing if all it has is an optional `$path` that leads nowhere.
fn node(
    loader: &mut Loader,
    at: &At<'_>,
    name: &str,
    value: &Value,
    parent_class: Option<&str>,
) -> Result<Option<Node>, ProjectError> {
    loader.deeper(at.file, |loader| {
        let Value::Object(fields) = value else { return Err(at.refuse("not a JSON object")) };
        let class = text_of(at, fields, "$className")?;
        let mut node = match (from_path(loader, at, name, fields)?, class) {
            (Some(node), None) => node,
            (Some(node), Some(class)) => with_class(at, node, class)?,
            (None, Some(class)) => Node::of_class(name, class),
            (None, None) if fields.contains_key("$path") => return Ok(None),
            (None, None) => match inferred_class(parent_class, name) {
                Some(class) => Node::of_class(name, class),
                None => return Err(at.refuse("has neither $className nor $path")),
            },
        };
        if parent_class.is_some() && node.class == GAME_CLASS {
            return Err(ProjectError::PlaceInside { file: at.file.to_owned() });
        }
        properties(at, fields, &mut node)?;
        children(loader, at, fields, &mut node)?;
        Ok(Some(node))
    })
}

fn children(
    loader: &mut Loader,
    at: &At<'_>,
    fields: &Map<String, Value>,
    parent: &mut Node,
) -> Result<(), ProjectError> {
    for (key, value) in fields {
        if key.starts_with('$') {
            let known = ["$className", "$path", "$properties"].contains(&key.as_str());
            if !known && !WITHOUT_EFFECT.contains(&key.as_str()) {
                return Err(at.refuse(format!("unknown key '{key}'")));
            }
            continue;
        }
        let below = At { file: at.file, node: format!("{}.{key}", at.node) };
        parent.children.extend(node(loader, &below, key, value, Some(&parent.class))?);
    }
    parent.sort();
    Ok(())
}

/// What the node's `$path` leads to, if it has one and it is not an optional one that leads nowhere.
fn from_path(
    loader: &mut Loader,
    at: &At<'_>,
    name: &str,
    fields: &Map<String, Value>,
) -> Result<Option<Node>, ProjectError> {
    let (path, optional) = match fields.get("$path") {
        None => return Ok(None),
        Some(Value::String(path)) => (path, false),
        Some(Value::Object(path)) => match path.get("optional") {
            Some(Value::String(path)) => (path, true),
            _ => return Err(at.refuse("$path has no text 'optional'")),
        },
        Some(_) => return Err(at.refuse("$path is not a text")),
    };
    let path = at.file.parent().unwrap_or_else(|| Path::new("")).join(path);
    // Not `exists`: that would also hide what cannot be read.
    if optional && matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let refuse =
        |source| ProjectError::Path { file: at.file.to_owned(), node: at.node.clone(), source: Box::new(source) };
    loader.given(&path, Some(name)).map(Some).map_err(refuse)
}

/// Gives what came from a `$path` the class that the node asks for: a plain folder can become anything.
fn with_class(at: &At<'_>, node: Node, class: &str) -> Result<Node, ProjectError> {
    if node.class != "Folder" && node.class != class {
        let message = format!("its $className is {class}, but its $path gives a {}", node.class);
        return Err(at.refuse(message));
    }
    Ok(Node { class: class.to_owned(), ..node })
}

/// The class that goes without saying: of services, and of the few Instances that always have the same place.
fn inferred_class<'a>(parent_class: Option<&str>, name: &'a str) -> Option<&'a str> {
    match (parent_class?, name) {
        (GAME_CLASS, _) => Some(name),
        ("StarterPlayer", "StarterPlayerScripts" | "StarterCharacterScripts") | ("Workspace", "Terrain") => Some(name),
        _ => None,
    }
}

fn properties(at: &At<'_>, fields: &Map<String, Value>, node: &mut Node) -> Result<(), ProjectError> {
    let Some(value) = fields.get("$properties") else { return Ok(()) };
    let Value::Object(properties) = value else { return Err(at.refuse("$properties is not a JSON object")) };
    for (name, value) in properties {
        let value = scalar(value);
        match (name.as_str(), value) {
            ("Disabled" | "Enabled", Some(PropertyValue::Bool(set))) => {
                let disabled = PropertyValue::Bool(set == (name == "Disabled"));
                node.properties.push(("Disabled".to_owned(), disabled));
            }
            ("Disabled" | "Enabled", _) => return Err(at.refuse(format!("{name} is neither true nor false"))),
            ("Value", Some(value)) | ("SignalBehavior", Some(value @ PropertyValue::Text(_))) => {
                node.properties.push((name.clone(), value));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The plain value of a property, also where its type is spelled out: `{"Bool": true}`, or, in old projects,
/// `{"Type": "Bool", "Value": true}`. Nothing if it is of a type that is not kept here.
fn scalar(value: &Value) -> Option<PropertyValue> {
    match value {
        Value::Bool(value) => Some(PropertyValue::Bool(*value)),
        Value::Number(value) => value.as_f64().map(PropertyValue::Number),
        Value::String(value) => Some(PropertyValue::Text(value.clone())),
        Value::Object(typed) if typed.len() == 1 => typed.values().next().and_then(scalar),
        Value::Object(typed) => typed.get("Value").and_then(scalar),
        Value::Null | Value::Array(_) => None,
    }
}

/// A text under a key of a node; nothing if the key is not there.
fn text_of<'a>(at: &At<'_>, fields: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, ProjectError> {
    match fields.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(at.refuse(format!("{key} is not a text"))),
    }
}
