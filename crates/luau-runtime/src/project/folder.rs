//! Files and folders as nodes. Owns: what each kind of file name stands for, and how text is read. Does not own: what
//! is inside a project file (`json.rs`).

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::{FILE_BYTES_MAX, GAME_CLASS, Loader, ProjectError};
use crate::tree::{Node, Source};

/// The project that a folder stands for.
const DEFAULT_PROJECT: &str = "default.project.json";

/// The end of a project's file name.
const PROJECT_SUFFIX: &str = ".project.json";

/// The files that make their folder a script. The first that is there counts, and none becomes a child.
const INIT_FILES: [&str; 6] =
    ["init.luau", "init.lua", "init.server.luau", "init.server.lua", "init.client.luau", "init.client.lua"];

/// One entry of a folder.
struct Entry {
    name: String,
    is_folder: bool,
}

impl Loader {
    /// Reads what somebody named: a command line or a `$path`. `name` is the node's; without it the file or the
    /// project gives one.
    pub(super) fn given(&mut self, path: &Path, name: Option<&str>) -> Result<Node, ProjectError> {
        let node = if is_folder(path)? { self.folder(path, name).map(Some) } else { self.file(path, name) };
        node?.ok_or_else(|| ProjectError::Unsupported { file: path.to_owned() })
    }

    /// A folder: a project, a script with children, or a Folder.
    fn folder(&mut self, path: &Path, name: Option<&str>) -> Result<Node, ProjectError> {
        self.enter(path, |loader| {
            let entries = entries(path)?;
            let has_file = |name: &str| entries.iter().any(|entry| !entry.is_folder && entry.name == name);
            if has_file(DEFAULT_PROJECT) {
                return loader.project(&path.join(DEFAULT_PROJECT), name);
            }
            let own_name = match name {
                Some(name) => name.to_owned(),
                None => folder_name(path)?,
            };
            let mut node = match INIT_FILES.iter().find(|init| has_file(init)).map(|init| (*init, script(init))) {
                Some((init, Some((_, class)))) => script_node(&path.join(init), &own_name, class)?,
                _ => Node::of_class(&own_name, "Folder"),
            };
            for entry in &entries {
                node.children.extend(loader.entry(path, entry)?);
            }
            node.sort();
            Ok(node)
        })
    }

    /// What an entry of a folder adds to it.
    fn entry(&mut self, folder: &Path, entry: &Entry) -> Result<Option<Node>, ProjectError> {
        let path = folder.join(&entry.name);
        let node = match entry {
            Entry { is_folder: true, .. } => Some(self.folder(&path, None)?),
            Entry { name, .. } if INIT_FILES.contains(&name.as_str()) || name.ends_with(PROJECT_SUFFIX) => None,
            Entry { .. } => self.file(&path, None)?,
        };
        match node {
            Some(node) if node.class == GAME_CLASS => Err(ProjectError::PlaceInside { file: path }),
            node => Ok(node),
        }
    }

    /// A script or a project; nothing if the file is of another kind.
    fn file(&mut self, path: &Path, name: Option<&str>) -> Result<Option<Node>, ProjectError> {
        let Some(file_name) = path.file_name() else { return Ok(None) };
        let file_name = file_name.to_str().ok_or_else(|| ProjectError::NotUtf8 { file: path.to_owned() })?;
        if file_name.ends_with(PROJECT_SUFFIX) {
            return self.project(path, name).map(Some);
        }
        let Some((stem, class)) = script(file_name) else { return Ok(None) };
        self.deeper(path, |_| script_node(path, name.unwrap_or(stem), class)).map(Some)
    }

    /// A project. It is named by whoever named the path, else by its `name`, else by the folder or the file.
    fn project(&mut self, path: &Path, name: Option<&str>) -> Result<Node, ProjectError> {
        let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let fallback = match file_name.strip_suffix(PROJECT_SUFFIX) {
            Some(stem) if file_name != DEFAULT_PROJECT => stem.to_owned(),
            _ => folder_name(path.parent().unwrap_or(path))?,
        };
        self.enter(path, |loader| super::json::read(loader, path, name, &fallback))
    }
}

/// The Instance name and class that a script's file name stands for. Other dots belong to the name.
fn script(file_name: &str) -> Option<(&str, &'static str)> {
    let stem = file_name.strip_suffix(".luau").or_else(|| file_name.strip_suffix(".lua"))?;
    let server = stem.strip_suffix(".server").map(|name| (name, "Script"));
    let client = || stem.strip_suffix(".client").map(|name| (name, "LocalScript"));
    server.or_else(client).or(Some((stem, "ModuleScript")))
}

fn script_node(path: &Path, name: &str, class: &str) -> Result<Node, ProjectError> {
    let source = Source { text: read_text(path)?, chunk: String::new() };
    Ok(Node { source: Some(source), ..Node::of_class(name, class) })
}

/// A folder's entries, sorted. What version control keeps in `.git` is no part of a game.
fn entries(folder: &Path) -> Result<Vec<Entry>, ProjectError> {
    let refuse = |source| ProjectError::Read { file: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(ProjectError::NotUtf8 { file: path });
        };
        if name != ".git" {
            entries.push(Entry { name: name.to_owned(), is_folder: is_folder(&path)? });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn is_folder(path: &Path) -> Result<bool, ProjectError> {
    let about = fs::metadata(path).map_err(|source| ProjectError::Read { file: path.to_owned(), source })?;
    Ok(about.is_dir())
}

/// A folder's own name, also of `.` and `..`.
fn folder_name(path: &Path) -> Result<String, ProjectError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let real = path.canonicalize().map_err(|source| ProjectError::Read { file: path.to_owned(), source })?;
    let name = real.file_name().unwrap_or_default();
    name.to_str().map(str::to_owned).ok_or_else(|| ProjectError::NotUtf8 { file: path.to_owned() })
}

/// A file's text, without the byte order mark that some editors write.
pub(super) fn read_text(path: &Path) -> Result<String, ProjectError> {
    let refuse = |source| ProjectError::Read { file: path.to_owned(), source };
    // A pipe or a device would block, or never end.
    if !fs::metadata(path).map_err(refuse)?.is_file() {
        return Err(ProjectError::Unsupported { file: path.to_owned() });
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(refuse)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ProjectError::TooLarge { file: path.to_owned(), limit: FILE_BYTES_MAX });
    }
    let text = String::from_utf8(bytes).map_err(|_| ProjectError::NotUtf8 { file: path.to_owned() })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
