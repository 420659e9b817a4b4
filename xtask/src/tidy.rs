//! `cargo xtask tidy`, and a test: the rules of the source tree that no compiler checks.
//!
//! Owns: which files are looked at and the report. Does not own: the rules; they stand by subject in the modules below,
//! each a function from text to complaints with a test that shows it can fail.

mod crates;
mod documents;
mod files;
mod functions;
mod manifests;
mod operations;
mod shipped;
mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;

/// Where sources stand.
const SOURCE_DIRS: [&str; 3] = ["crates", "xtask", "examples"];

/// One broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Complaint {
    place: String,
    text: String,
}

impl Complaint {
    fn new(place: impl fmt::Display, text: impl fmt::Display) -> Self {
        Self { place: place.to_string(), text: text.to_string() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// # Errors
/// If a rule is broken; each is printed before.
pub(crate) fn run() -> Result<()> {
    let complaints = complaints(&shell::root())?;
    for complaint in &complaints {
        println!("    {complaint}");
    }
    if !complaints.is_empty() {
        bail!("{} rules of the source tree are broken (see CONTRIBUTING.md)", complaints.len());
    }
    Ok(())
}

fn complaints(root: &Path) -> Result<Vec<Complaint>> {
    let mut paths = Vec::new();
    for dir in SOURCE_DIRS {
        list_files(&root.join(dir), &mut paths)?;
    }
    let mut found = Vec::new();
    let mut all_functions = Vec::new();
    let mut names = Vec::new();
    for path in &paths {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        if name.ends_with(".rs") {
            let source = source::Source::new(&name, &read(path)?);
            found.extend(files::check(&source));
            all_functions.extend(functions::in_source(&source));
        } else if name.ends_with("Cargo.toml") {
            found.extend(manifests::check_member(&name, &read(path)?));
        }
        names.push(name);
    }
    found.extend(functions::check(&all_functions));
    for name in ["Cargo.toml", ".cargo/config.toml"] {
        found.extend(manifests::check_profiles(name, &read(&root.join(name))?));
    }
    found.extend(documents::check_readme(&read(&root.join("README.md"))?));
    found.extend(documents::check_architecture(&read(&root.join("docs/ARCHITECTURE.md"))?));
    let compatibility = read(&root.join("docs/COMPATIBILITY.md"))?;
    found.extend(operations::check(&names, &compatibility));
    found.extend(documents::check_compatibility(&names, &compatibility));
    let metadata = shell::output(&mut shell::cargo(&["metadata", "--format-version", "1", "--locked"]))?;
    found.extend(crates::check(&serde_json::from_slice(&metadata)?));
    found.extend(shipped::check_all()?);
    found.sort();
    Ok(found)
}

/// All files below a directory, without what was built.
fn list_files(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if !entry.file_type()?.is_dir() {
            paths.push(entry.path());
        } else if name != "target" && !name.to_string_lossy().starts_with('.') {
            list_files(&entry.path(), paths)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let found = complaints(&shell::root()).expect("can be read");
        let lines: Vec<_> = found.iter().map(Complaint::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
