//! SIGTERM: the program ends in order, and every player's last word is stored.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use clawstore::{Clawstore, Database, GameId};

use crate::support::saved;

/// The game of the program.
const GAME: GameId = GameId::Uuid(0x51c0_ffee_0000_4000_8000_0000_0000_0004);
const PLAYERS: i64 = 30;

/// The program dies with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sigterm_loses_no_save() {
    for mode in ["polling", "scheduler"] {
        let directory = tempfile::tempdir().unwrap();
        let players = PLAYERS.to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_clawblox-host"))
            .args(["play", "--seconds", "600", "--autosave", "1", "--players", &players, "--mode", mode, "--db"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = Program(child);
        let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut last = BTreeMap::new();
        // Some have come and gone by then.
        lines.by_ref().find(|line| line == "playing").unwrap();
        while last.len() < 3 {
            note(&mut last, &lines.next().unwrap());
        }
        let killed = Command::new("kill").args(["-TERM", &program.0.id().to_string()]).status().unwrap();
        assert!(killed.success());
        lines.for_each(|line| note(&mut last, &line));
        assert!(program.0.wait().unwrap().success());
        assert_eq!(last.len(), usize::try_from(PLAYERS).unwrap(), "{last:?}");

        let store = Clawstore::builder().database(Database::directory(directory.path())).open().unwrap();
        let game = store.game(GAME).unwrap();
        let stored: BTreeMap<_, _> = last.keys().map(|user_id| (*user_id, saved(&game, *user_id).unwrap())).collect();
        assert_eq!(stored, last);
    }
}

/// `player 7 left with 42`
fn note(last: &mut BTreeMap<i64, f64>, line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    if let ["player", user_id, "left", "with", money] = words[..] {
        last.insert(user_id.parse().unwrap(), money.parse().unwrap());
    }
}
