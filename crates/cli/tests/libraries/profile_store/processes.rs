//! ProfileStore in two processes on one Postgres, in real time.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use clawstore_testkit::postgres::Database;
use rustix::process::{Pid, Signal, kill_process};

use crate::played::Played;
use crate::support::{PROFILE_STORE, Place};

/// A process that plays until it is told to end. Killed if the test fails.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(place: &Place, url: &str, job: &str) -> Self {
        let mut command = place.command(&PROFILE_STORE, &format!("{job}.json"));
        command.args(["--db", url, "--job-id", job, "--player", "7:Ann@0s", "--max-real", "60s"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended without {text:?}");
        }
    }

    /// Tells it to end, and reads its report.
    fn end(mut self, place: &Place, job: &str) -> Played {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        std::io::copy(&mut self.lines, &mut std::io::sink()).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        Played::read(&place.path(&format!("{job}.json")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_session_is_handed_over_between_processes() {
    let (place, database) = (Place::new(), Database::create());
    let url = database.url();
    let mut first = Running::start(&place, &url, "first");
    first.wait_for("has 7 0 1");
    let mut second = Running::start(&place, &url, "second");
    second.wait_for("has 7");
    let (first, second) = (first.end(&place, "first"), second.end(&place, "second"));
    first.expect_calm();
    second.expect_calm();
    let (ends, has) = (first.first("", "ends"), second.first("", "has"));
    assert_eq!((has.coins(), has.loads()), (ends.coins(), 2));
    assert!(has.coins() > 0, "what the first one had not saved arrives");
    let wait = second.wait("");
    assert!((5.0..10.0).contains(&wait), "{wait} s");
    assert_eq!(second.first("", "ends").coins(), second.all("saved").last().unwrap().coins());
}
