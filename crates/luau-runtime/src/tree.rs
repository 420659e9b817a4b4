//! A tree of Instances as plain data: what a project describes, before any VM exists.
//!
//! Owns: the data. Does not own: where it comes from (`project.rs`) or what it becomes (`Runtime::load_tree`).

/// The value of a property in a project.
#[derive(Clone, Debug, PartialEq)]
pub enum PropertyValue {
    /// A boolean, such as `Disabled`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
}

/// The source text of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Luau text.
    pub text: String,
    /// What error messages and tracebacks call it; empty for the Instance's full name (`ServerScriptService.Main`).
    pub chunk: String,
}

/// One Instance with everything below it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The Instance's `Name`.
    pub name: String,
    /// Its class. The root's `DataModel` stands for `game`, and a service's class for the service.
    pub class: String,
    /// Properties to set, in this order. Those the class does not have are left out, with a debug line.
    pub properties: Vec<(String, PropertyValue)>,
    /// Of a Script, LocalScript or ModuleScript.
    pub source: Option<Source>,
    /// In the order in which scripts start.
    pub children: Vec<Node>,
}
