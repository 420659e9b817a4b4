//! Rojo projects, folders and single scripts as trees of Instances.
//!
//! Owns: the subset of Rojo's format that is read here, how files and folders become [`Node`]s, and where a `--mount`
//! goes. Does not own: what a tree becomes in a VM (`Runtime::load_tree`).
//!
//! The subset. In a project: `$className`, `$path` (a file, a folder or another project, relative to the file that
//! names it, or `{"optional": PATH}`), `$properties` (`Disabled`, `Enabled`, the `Value` of value objects and the
//! `SignalBehavior` of `Workspace`; others are ignored), `$ignoreUnknownInstances`, `$attributes` and `$id` (accepted,
//! without effect). On disk: `X.luau` or `X.lua` is a ModuleScript, `X.server.*` a Script, `X.client.*` a LocalScript, a
//! folder with an `init` file is that script, a folder with `default.project.json` is that project, and files of other
//! kinds are left out.
//!
//! Invariants:
//! * Siblings are sorted by name, so that the same files always give the same tree.
//! * Whatever is on disk, the answer is a tree or an error that names the file: no panic, no endless loop.

mod error;
mod folder;
mod json;

pub use error::ProjectError;

use std::path::{Path, PathBuf};

use crate::tree::Node;

/// Levels of Instances, folders and projects inside one another. Real trees have some ten.
const DEPTH_MAX: usize = 200;

/// Instances in one tree: a place of the largest games has fewer scripts and folders, a mounted `/` has more.
const INSTANCES_MAX: usize = 100_000;

/// Bytes of one script or project file; Roblox takes far less in a script.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The class of a tree's root that stands for `game`.
const GAME_CLASS: &str = "DataModel";

/// Reads a project file, a folder or a single script.
///
/// A folder with a `default.project.json` is that project. The root is named by the project, else by the file.
///
/// # Errors
/// [`ProjectError`], naming the file and, in a project, the node.
pub fn load(path: impl AsRef<Path>) -> Result<Node, ProjectError> {
    Loader::default().given(path.as_ref(), None)
}

/// A game without anything in it: the root for a first [`mount`].
#[must_use]
pub fn empty_game() -> Node {
    Node::of_class("game", GAME_CLASS)
}

/// Puts a file, a folder or a project at an Instance's place, such as `ServerScriptService.ProfileStore`. What is
/// mounted gets the place's last name. Parents that are missing become Folders, the first name is a service. A folder
/// that is mounted where an Instance is already adds its children to that Instance.
///
/// # Errors
/// [`ProjectError`]: what [`load`] refuses, a root that is no game, a place that does not name an Instance below
/// `game`, or one that is taken.
pub fn mount(root: &mut Node, place: &str, path: impl AsRef<Path>) -> Result<(), ProjectError> {
    let refuse = |reason| ProjectError::Mount { place: place.to_owned(), reason };
    if root.class != GAME_CLASS {
        return Err(refuse("the project's root is not a DataModel"));
    }
    let names: Vec<&str> = place.strip_prefix("game.").unwrap_or(place).split('.').collect();
    let Some((last, parents)) = names.split_last().filter(|_| names.iter().all(|name| !name.is_empty())) else {
        return Err(refuse("an empty name"));
    };
    let mounted = Loader::default().given(path.as_ref(), Some(last))?;
    if mounted.class == GAME_CLASS {
        return Err(ProjectError::PlaceInside { file: path.as_ref().to_owned() });
    }
    let mut parent = root;
    for (depth, name) in parents.iter().enumerate() {
        parent = parent.child_or_new(name, if depth == 0 { name } else { "Folder" });
    }
    let exists = parents.is_empty() || parent.children.iter().any(|child| child.name == *last);
    if !exists {
        parent.children.push(mounted);
    } else if mounted.class == "Folder" {
        let instance = parent.child_or_new(last, last);
        instance.children.extend(mounted.children);
        instance.sort();
    } else {
        return Err(refuse("there is an Instance already, and only a folder can be merged into it"));
    }
    parent.sort();
    Ok(())
}

/// Reads files into nodes, and keeps count.
#[derive(Default)]
struct Loader {
    /// Folders and projects that are being read, outermost first, without symbolic links.
    open: Vec<PathBuf>,
    /// Levels above the node that is being read.
    depth: usize,
    /// Nodes so far.
    instances: usize,
}

impl Loader {
    /// Reads a folder or project, unless it is being read already.
    fn enter<T>(
        &mut self,
        path: &Path,
        read: impl FnOnce(&mut Self) -> Result<T, ProjectError>,
    ) -> Result<T, ProjectError> {
        let real = path.canonicalize().map_err(|source| ProjectError::Read { file: path.to_owned(), source })?;
        if self.open.contains(&real) {
            return Err(ProjectError::Cycle { file: path.to_owned() });
        }
        self.open.push(real);
        let node = self.deeper(path, read);
        self.open.pop();
        node
    }

    /// Counts a level of the tree and an Instance.
    fn deeper<T>(
        &mut self,
        file: &Path,
        read: impl FnOnce(&mut Self) -> Result<T, ProjectError>,
    ) -> Result<T, ProjectError> {
        if self.depth == DEPTH_MAX {
            return Err(ProjectError::TooDeep { file: file.to_owned(), limit: DEPTH_MAX });
        }
        if self.instances == INSTANCES_MAX {
            return Err(ProjectError::TooMany { file: file.to_owned(), limit: INSTANCES_MAX });
        }
        self.instances += 1;
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }
}

impl Node {
    /// An Instance without properties or children.
    fn of_class(name: &str, class: &str) -> Self {
        Self {
            name: name.to_owned(),
            class: class.to_owned(),
            properties: Vec::new(),
            source: None,
            children: Vec::new(),
        }
    }

    /// The first child of that name; a new one of that class if there is none.
    fn child_or_new(&mut self, name: &str, class: &str) -> &mut Self {
        let index = self.children.iter().position(|child| child.name == name).unwrap_or_else(|| {
            let at = self.children.partition_point(|child| child.name.as_str() <= name);
            self.children.insert(at, Self::of_class(name, class));
            at
        });
        &mut self.children[index]
    }

    /// Puts the children into their order. Equal names keep theirs.
    fn sort(&mut self) {
        self.children.sort_by(|a, b| a.name.cmp(&b.name));
    }
}
