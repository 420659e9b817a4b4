//! Finding and reading scripts.
//!
//! Owns: which files a path names (`decisions.md` 30), and refusing them before anything is opened. Does not own: running
//! them.

use std::fs;
use std::path::{Path, PathBuf};

use clawstore_luau::mlua::Error;
use clawstore_luau::mlua::chunk::Compiler;

use crate::exit::LoadError;

const SERVER_SCRIPTS: [&str; 2] = [".server.luau", ".server.lua"];

/// A script that compiles.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) name: String,
    pub(super) source: String,
}

/// The script at `path`, or all server scripts in that folder and below, in order of their paths.
pub(super) fn load(path: &Path) -> Result<Vec<Script>, LoadError> {
    let metadata = fs::metadata(path).map_err(|error| LoadError(format!("{}: {error}", path.display())))?;
    if !metadata.is_dir() {
        return Ok(vec![read(path, path.file_name().unwrap_or(path.as_os_str()).as_ref())?]);
    }
    let mut files = Vec::new();
    find(path, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(LoadError(format!("{}: there is no *.server.luau in this folder", path.display())));
    }
    files.iter().map(|file| read(file, file.strip_prefix(path).unwrap_or(file))).collect()
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let problem = |error| LoadError(format!("{}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(problem)? {
        let entry = entry.map_err(problem)?;
        // Links are not followed: they may lead in circles.
        if entry.file_type().map_err(problem)?.is_dir() {
            find(&entry.path(), files)?;
        } else if SERVER_SCRIPTS.iter().any(|ending| entry.file_name().to_string_lossy().ends_with(ending)) {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn read(path: &Path, name: &Path) -> Result<Script, LoadError> {
    let source = fs::read_to_string(path).map_err(|error| LoadError(format!("{}: {error}", path.display())))?;
    let name = name.with_extension("").to_string_lossy().into_owned();
    match Compiler::new().compile(&source) {
        Ok(_) => Ok(Script { name, source }),
        // The message begins with the number of the line.
        Err(Error::SyntaxError { message, .. }) => Err(LoadError(format!("{}:{message}", path.display()))),
        Err(error) => Err(LoadError(format!("{}: {error}", path.display()))),
    }
}
