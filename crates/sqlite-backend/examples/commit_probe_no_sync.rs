//! `commit_probe` as a target of its own, so that a build with `unsafe-no-sync` does not replace the honest one.

#[path = "commit_probe.rs"]
mod commit_probe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    commit_probe::main()
}
