//! What can be wrong with a project. Owns the texts; each names the file and, in a project, the node.

use std::path::PathBuf;

/// Why a project, a folder or a script could not be read, or not be mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// The system refused, or the file is not there.
    #[error("{file}: {source}")]
    Read {
        /// The file or folder.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text or a name that is not UTF-8.
    #[error("{file}: not UTF-8")]
    NotUtf8 {
        /// The file or folder.
        file: PathBuf,
    },
    /// More bytes than a script or project file may have.
    #[error("{file}: larger than {limit} bytes")]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The most, in bytes.
        limit: u64,
    },
    /// The project file is not JSON; the text names line and column.
    #[error("{file}: {source}")]
    Json {
        /// The project file.
        file: PathBuf,
        /// The parser's message.
        source: serde_json::Error,
    },
    /// A part of a project that is not what the format asks for.
    #[error("{file}: {node}: {message}")]
    Node {
        /// The project file.
        file: PathBuf,
        /// The node's place in the file, such as `tree.ServerScriptService.Main`.
        node: String,
        /// What is wrong.
        message: String,
    },
    /// A `$path` that cannot be read; `source` says what is wrong there.
    #[error("{file}: {node}: $path: {source}")]
    Path {
        /// The project file.
        file: PathBuf,
        /// The node's place in the file.
        node: String,
        /// What is wrong with the path or with what is there.
        source: Box<Self>,
    },
    /// A file that is neither a script nor a project was named.
    #[error("{file}: not a script (.luau, .lua), a project (.project.json) or a folder")]
    Unsupported {
        /// The file.
        file: PathBuf,
    },
    /// A folder or project contains itself.
    #[error("{file}: contains itself")]
    Cycle {
        /// The folder or project that is reached for the second time.
        file: PathBuf,
    },
    /// A whole game inside another tree.
    #[error("{file}: a project of class DataModel cannot be a part of another tree")]
    PlaceInside {
        /// The project file, or the file that holds it.
        file: PathBuf,
    },
    /// More levels than a tree may have.
    #[error("{file}: more than {limit} levels deep")]
    TooDeep {
        /// Where the limit was reached.
        file: PathBuf,
        /// The most levels.
        limit: usize,
    },
    /// More Instances than a tree may have.
    #[error("{file}: more than {limit} Instances")]
    TooMany {
        /// Where the limit was reached.
        file: PathBuf,
        /// The most Instances.
        limit: usize,
    },
    /// Nothing can be mounted at this place.
    #[error("cannot mount at '{place}': {reason}")]
    Mount {
        /// The place as it was given.
        place: String,
        /// Why not.
        reason: &'static str,
    },
}
