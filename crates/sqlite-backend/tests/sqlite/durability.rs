//! An answer comes after the data sync of its batch, and a failed sync ends the backend: seen from the system calls.
//!
//! The check is a function of a trace. It is run on the backend as it ships and on one that does not sync, where it
//! must find the fault: a check that cannot fail proves nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{succeed, this_binary};

const CALLS: &str = "trace=write,writev,pwrite64,pwritev,fsync,fdatasync";
const COMMITS: usize = 60;

/// Builds an example of this crate into the target directory that this test was built into.
fn build(example: &str, features: &[&str]) -> PathBuf {
    // <target>/<profile>/deps/<this test>
    let target = this_binary().ancestors().nth(3).expect("a target directory").to_owned();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--example", example, "--target-dir"]).arg(&target);
    command.arg("--features").arg(features.join(","));
    succeed(command.current_dir(env!("CARGO_MANIFEST_DIR")));
    target.join("debug/examples").join(example)
}

/// Runs a probe under strace; what it answered, and the trace.
fn run_traced(probe: &Path, options: &[&str]) -> (Vec<String>, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let trace = dir.path().join("trace");
    let mut strace = Command::new("strace");
    // -y prints the path behind each descriptor. Standard output is a pipe, which `output` reads.
    strace.args(["-f", "-y", "-qq", "-e", CALLS]).args(options).arg("-o").arg(&trace);
    let output = succeed(strace.arg(probe).arg(dir.path().join("db")).arg(COMMITS.to_string()));
    let answers = String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect();
    (answers, std::fs::read_to_string(trace).expect("a trace"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    WalWritten,
    WalSynced,
    Answered,
}

/// Writes count from when they begin, syncs when they have ended well, answers from when they begin.
fn events(trace: &str) -> Vec<Event> {
    let mut pending: HashMap<&str, bool> = HashMap::new();
    let mut events = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let done = call.trim_end().ends_with("= 0");
        let sync = call.starts_with("fsync(") || call.starts_with("fdatasync(");
        let resumed_sync = call.starts_with("<... fsync resumed") || call.starts_with("<... fdatasync resumed");
        if resumed_sync {
            if pending.remove(thread) == Some(true) && done {
                events.push(Event::WalSynced);
            }
        } else if sync && call.contains("<unfinished") {
            pending.insert(thread, call.contains("-wal>"));
        } else if sync && done && call.contains("-wal>") {
            events.push(Event::WalSynced);
        } else if call.starts_with("write") || call.starts_with("pwrite") {
            if call.contains("-wal>") {
                events.push(Event::WalWritten);
            } else if call.contains("\"Committed\\n\"") {
                events.push(Event::Answered);
            }
        }
    }
    events
}

/// Every answer follows a sync of the WAL that follows the last write of its batch. Gives the number of answers.
fn check_synced_before_answered(trace: &str) -> Result<usize, String> {
    let (mut answers, mut written, mut synced) = (0, false, false);
    for event in events(trace) {
        match event {
            Event::WalWritten => (written, synced) = (true, false),
            Event::WalSynced => synced = true,
            Event::Answered if !written => return Err(format!("answer {answers} came without a write")),
            Event::Answered if !synced => return Err(format!("answer {answers} came before its data sync")),
            Event::Answered => {
                answers += 1;
                written = false;
            }
        }
    }
    Ok(answers)
}

#[test]
fn every_answer_follows_the_sync_of_its_batch() {
    let (answers, trace) = run_traced(&build("commit_probe", &[]), &[]);
    assert_eq!(answers, ["Committed"; COMMITS]);
    assert_eq!(check_synced_before_answered(&trace), Ok(COMMITS));
}

#[test]
fn the_check_finds_a_build_that_does_not_sync() {
    let (answers, trace) = run_traced(&build("commit_probe_no_sync", &["unsafe-no-sync"]), &[]);
    assert_eq!(answers, ["Committed"; COMMITS], "it answers all the same");
    let found = check_synced_before_answered(&trace);
    assert_eq!(found, Err("answer 0 came before its data sync".to_owned()));
}

#[test]
fn a_failed_sync_ends_the_backend() {
    // Only one sync fails, the 40th of the thread that writes: beyond those of opening, which are another thread's. The
    // next ones would succeed again.
    let (answers, _) = run_traced(&build("commit_probe", &[]), &["-e", "inject=fsync,fdatasync:error=EIO:when=40"]);
    let committed = answers.iter().take_while(|answer| *answer == "Committed").count();
    assert!((1..COMMITS).contains(&committed), "{answers:?}");
    assert!(answers[committed..].iter().all(|answer| answer == "Halted"), "{answers:?}");
    assert_eq!(answers.len(), COMMITS, "nobody is left waiting");
}

#[test]
fn the_check_reads_traces_of_threads() {
    let write = "11 pwrite64(5</d/clawstore.db-wal>, \"x\", 4096, 32) = 4096\n";
    let answer = "10 write(1<pipe:[7]>, \"Committed\\n\", 10) = 10\n";
    let begun = "11 fdatasync(5</d/clawstore.db-wal> <unfinished ...>\n";
    let ended = "11 <... fdatasync resumed>) = 0\n";
    let failed = "11 <... fdatasync resumed>) = -1 EIO (Input/output error)\n";
    let other = "11 fdatasync(4</d/clawstore.db>) = 0\n";
    let check = |parts: &[&str]| check_synced_before_answered(&parts.concat());
    assert_eq!(check(&[write, begun, ended, answer]), Ok(1));
    let early = Err("answer 0 came before its data sync".to_owned());
    assert_eq!(check(&[write, begun, answer, ended]), early);
    assert_eq!(check(&[write, begun, failed, answer]), early);
    assert_eq!(check(&[write, other, answer]), early);
    assert_eq!(check(&[write, begun, ended, write, answer]), early);
    assert_eq!(check(&[answer]), Err("answer 0 came without a write".to_owned()));
}
