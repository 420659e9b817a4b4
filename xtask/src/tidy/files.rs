//! Rules for one file.
//!
//! Owns: module docs, file length, forbidden leftovers, where metric names stand. Does not own: rules for functions
//! (`functions`) or between files.

use super::Complaint;
use super::source::Source;

/// Above this a file is too long; what it should stay under is [`FILE_LINES_TARGET`].
const FILE_LINES_MAX: usize = 600;
/// A file that grows beyond it is due to be split.
const FILE_LINES_TARGET: usize = 400;

const METRICS_FILE: &str = "crates/actors/src/metric_definitions.rs";
/// Metric names begin so; so do the crates, as log filters name them.
const METRIC_PREFIX: &str = "clawstore_";
const CRATE_NAMES: [&str; 8] = ["core", "actors", "sqlite", "lua", "luau", "testkit", "loadgen", "cli"];

pub(super) fn check(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    found.extend(module_docs(source));
    found.extend(module_file(source));
    found.extend(length(source));
    found.extend(leftovers(source));
    found.extend(ignored_tests(source));
    found.extend(metric_names(source));
    found
}

fn module_docs(source: &Source) -> Option<Complaint> {
    let opens = source.text.starts_with("//!");
    (!opens).then(|| Complaint::new(&source.name, "does not open with `//!`: what it owns, and what it does not"))
}

fn module_file(source: &Source) -> Option<Complaint> {
    let text = "a module `foo` is `foo.rs`, with its parts in `foo/`";
    source.name.ends_with("/mod.rs").then(|| Complaint::new(&source.name, text))
}

fn length(source: &Source) -> Option<Complaint> {
    let lines = source.production_lines();
    let text = || format!("{lines} lines without tests: at most {FILE_LINES_MAX}, better {FILE_LINES_TARGET}");
    (lines > FILE_LINES_MAX && !source.is_test_file()).then(|| Complaint::new(&source.name, text()))
}

fn leftovers(source: &Source) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (number, line) in source.code.lines().enumerate() {
        for leftover in ["todo!", "unimplemented!"] {
            if line.contains(leftover) {
                found.push(Complaint::new(place(source, number), format!("`{leftover}` was left behind")));
            }
        }
    }
    found
}

/// A test that does not run proves nothing. The exception is the part of a test that its parent runs in a child
/// process, under a name that says so; the parent fails if it did not run.
fn ignored_tests(source: &Source) -> Vec<Complaint> {
    let lines: Vec<&str> = source.code.lines().collect();
    let ignored = lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("#[ignore"));
    let is_child = |at: usize| {
        let function = lines[at..].iter().find_map(|line| line.split_once("fn "));
        function.is_some_and(|(_, name)| name.starts_with("child_"))
    };
    let bad = ignored.filter(|(at, _)| !is_child(*at));
    let text = "an ignored test: only `child_*`, which another test starts in a process of its own, may be";
    bad.map(|(at, _)| Complaint::new(place(source, at), text)).collect()
}

fn metric_names(source: &Source) -> Vec<Complaint> {
    if source.name == METRICS_FILE || !source.name.starts_with("crates/") {
        return Vec::new();
    }
    let is_metric = |literal: &str| {
        let Some(rest) = literal.strip_prefix(METRIC_PREFIX) else { return false };
        let word = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        !CRATE_NAMES.contains(&word)
    };
    let bad = source.literals.iter().filter(|(_, literal)| is_metric(literal));
    let text = |literal: &str| format!("the metric name {literal:?} belongs into {METRICS_FILE}");
    bad.map(|(line, literal)| Complaint::new(place(source, line - 1), text(literal))).collect()
}

fn place(source: &Source, line_from_0: usize) -> String {
    format!("{}:{}", source.name, line_from_0 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "//! Owns: nothing.\n";

    fn complaints(name: &str, text: &str) -> Vec<String> {
        check(&Source::new(name, text)).iter().map(Complaint::to_string).collect()
    }

    #[track_caller]
    fn expect_one(name: &str, text: &str, place: &str, part: &str) {
        let found = complaints(name, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("{place}: ")) && found[0].contains(part), "{found:?}");
    }

    #[test]
    fn a_file_without_docs_is_found() {
        expect_one("crates/a/src/a.rs", "use std::fmt;\n//! late\n", "crates/a/src/a.rs", "//!");
        expect_one("crates/a/src/a.rs", "", "crates/a/src/a.rs", "//!");
        assert_eq!(complaints("crates/a/src/a.rs", GOOD), [""; 0]);
    }

    #[test]
    fn a_module_file_of_the_old_kind_is_found() {
        expect_one("crates/a/src/b/mod.rs", GOOD, "crates/a/src/b/mod.rs", "foo.rs");
    }

    #[test]
    fn a_long_file_is_found_unless_it_is_tests() {
        let long = format!("{GOOD}{}", "const A: u8 = 0;\n".repeat(600));
        expect_one("crates/a/src/a.rs", &long, "crates/a/src/a.rs", "601 lines");
        assert_eq!(complaints("crates/a/tests/a.rs", &long), [""; 0]);
        let tests = format!("{GOOD}#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: u8 = 0;\n".repeat(600));
        assert_eq!(complaints("crates/a/src/a.rs", &tests), [""; 0]);
    }

    #[test]
    fn leftovers_are_found_in_code_only() {
        for leftover in ["todo!()", "unimplemented!(\"later\")"] {
            expect_one("a.rs", &format!("{GOOD}fn a() {{\n    {leftover}\n}}\n"), "a.rs:3", "left behind");
            assert_eq!(complaints("a.rs", &format!("{GOOD}// {leftover}\nconst A: &str = \"todo!\";\n")), [""; 0]);
        }
    }

    #[test]
    fn an_ignored_test_is_found_unless_its_parent_starts_it() {
        let test = |name| format!("{GOOD}#[test]\n#[ignore = \"slow\"]\nfn {name}() {{}}\n");
        expect_one("a.rs", &test("slow_one"), "a.rs:3", "child_*");
        assert_eq!(complaints("a.rs", &test("child_second_writer")), [""; 0]);
    }

    #[test]
    fn a_metric_name_elsewhere_is_found() {
        let name = |prefix: &str| format!("{GOOD}const A: &str = \"{prefix}calls_total\";\n");
        expect_one("crates/a/src/a.rs", &name(METRIC_PREFIX), "crates/a/src/a.rs:2", "metric_definitions");
        assert_eq!(complaints(METRICS_FILE, &name(METRIC_PREFIX)), [""; 0]);
        assert_eq!(complaints("crates/cli/src/a.rs", &name("clawstore_actors=debug,")), [""; 0]);
        assert_eq!(complaints("crates/cli/src/a.rs", &name("clawstore::")), [""; 0]);
    }
}
