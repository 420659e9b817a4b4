//! Playing a game with a library in it.
//!
//! Owns: where libraries and games are, a directory per test, starting the program. Does not own: reading what was printed
//! (`played`), any expectation.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::played::Played;

/// 2026-01-01, in seconds: an hour begins.
pub(crate) const START: u64 = 1_767_225_600;

/// A library, and the game that uses it.
pub(crate) struct Library {
    pub(crate) game: &'static str,
    /// Instance, and path below the directory of the libraries.
    pub(crate) mounts: &'static [(&'static str, &'static str)],
}

pub(crate) const PROFILE_STORE: Library =
    Library { game: "profile_store.luau", mounts: &[("ServerScriptService.ProfileStore", "profile-store/src")] };

pub(crate) const PROFILE_SERVICE: Library =
    Library { game: "profile_service.luau", mounts: &[("ServerScriptService.ProfileService", "profileservice/src")] };

/// As the compiler of roblox-ts lays out a game with this package.
pub(crate) const LAPIS: Library = Library {
    game: "lapis.luau",
    mounts: &[
        ("ReplicatedStorage.rbxts_include", "roblox-ts"),
        ("ReplicatedStorage.rbxts_include.node_modules.@rbxts.lapis", "lapis"),
    ],
};

pub(crate) const DATA_STORE_2: Library =
    Library { game: "data_store_2.luau", mounts: &[("ServerScriptService.DataStore2", "datastore2/src")] };

impl Library {
    /// Another game with the same library.
    pub(crate) fn with(&self, game: &'static str) -> Self {
        Self { game, ..*self }
    }
}

pub(crate) fn game(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libraries/games").join(name)
}

fn libraries() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("libraries");
    assert!(place.is_dir(), "{} is not there: run `cargo xtask libraries`", place.display());
    place
}

/// A directory for one test.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Plays in simulated time, with the options that are named in this line beside those of all.
    #[track_caller]
    pub(crate) fn play(&self, library: &Library, options: &str) -> Played {
        let mut command = self.command(library, "report.json");
        // What does not end by itself is ended, and fails at what it did not do.
        command.args(["--clock", "sim", "--max-real", "100s"]).args(options.split_whitespace());
        let output = command.output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{shown}");
        Played::read(&self.path("report.json"))
    }

    /// The program with the game, its library and a report.
    pub(crate) fn command(&self, library: &Library, report: &str) -> Command {
        let mut command = self.program();
        command.arg("run").arg(game(library.game)).args(["--no-status", "--report", report]);
        for (instance, path) in library.mounts {
            command.args(["--mount", &format!("{instance}={}", libraries().join(path).display())]);
        }
        command
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clawstore"));
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command.env_remove("CLAWSTORE_DB").env_remove("DATABASE_URL").env_remove("RUST_LOG");
        command
    }

    /// What is stored in the directory `db`.
    #[track_caller]
    pub(crate) fn stored(&self, store: &str, key: &str) -> serde_json::Value {
        let output = self.program().args(["get", "--db", "db", store, key]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
