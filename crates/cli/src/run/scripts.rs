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
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) source: String,
}

/// The script at `path`, or all server scripts in that folder and below, in order of their paths.
pub(crate) fn load(path: &Path) -> Result<Vec<Script>, LoadError> {
    let metadata = fs::metadata(path).map_err(|error| LoadError(format!("{}: {error}", path.display())))?;
    if !metadata.is_dir() {
        return Ok(vec![read(path, path.file_name().unwrap_or(path.as_os_str()).as_ref())?]);
    }
    let files = files_ending_with(path, &SERVER_SCRIPTS)?;
    if files.is_empty() {
        return Err(LoadError(format!("{}: there is no *.server.luau in this folder", path.display())));
    }
    files.iter().map(|file| read(file, file.strip_prefix(path).unwrap_or(file))).collect()
}

/// Files in a folder and below whose names end with one of these, in order of their paths; the path itself if it is such a
/// file.
pub(crate) fn files_ending_with(path: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, LoadError> {
    let is_one = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        endings.iter().any(|ending| name.ends_with(ending))
    };
    if path.is_file() {
        return Ok(if is_one(path) { vec![path.to_owned()] } else { Vec::new() });
    }
    let mut files = Vec::new();
    find(path, &is_one, &mut files)?;
    files.sort();
    Ok(files)
}

fn find(folder: &Path, is_one: &impl Fn(&Path) -> bool, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let problem = |error| LoadError(format!("{}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(problem)? {
        let entry = entry.map_err(problem)?;
        let path = entry.path();
        // Links are not followed: they may lead in circles.
        if entry.file_type().map_err(problem)?.is_dir() {
            find(&path, is_one, files)?;
        } else if is_one(&path) {
            files.push(path);
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
