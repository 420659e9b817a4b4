//! Tells cargo that the migrations are part of this crate: the macro that reads them cannot.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
