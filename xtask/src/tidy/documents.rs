//! Documents that something depends on.
//!
//! Owns: the form of the README's quick start, which people copy and continuous integration runs; the length of the
//! architecture document; that each row of what is compatible names its specification. Does not own: what they say.

use super::Complaint;

const README: &str = "README.md";
const QUICK_START: &str = "## Quick start";
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
const COMPATIBILITY: &str = "docs/COMPATIBILITY.md";
/// Last column of the tables there.
const SPEC: &str = "Spec";
/// Instead of a specification, where there is nothing to show.
const NOTHING: &str = "–";
/// Longer than this nobody reads it in one go.
const ARCHITECTURE_LINES_MAX: usize = 400;

/// The quick start is two fenced blocks of one command each: play, and test.
pub(super) fn check_readme(text: &str) -> Vec<Complaint> {
    let blocks = quick_start(text);
    let commands: Vec<&str> =
        blocks.iter().filter_map(|block| <[&str; 1]>::try_from(block.as_slice()).ok()).map(|[c]| c).collect();
    let complain = |text| vec![Complaint::new(README, text)];
    match commands[..] {
        _ if commands.len() != blocks.len() || blocks.len() != 2 => {
            complain("the quick start must have two fenced blocks of one command each")
        }
        [play, test] if play.starts_with("cargo run --release -- run ") && test.starts_with("cargo xtask test") => {
            Vec::new()
        }
        _ => complain("the quick start must play the example game, then run the tests"),
    }
}

/// The fenced blocks of the section, line by line.
fn quick_start(text: &str) -> Vec<Vec<&str>> {
    let section =
        text.lines().skip_while(|line| *line != QUICK_START).skip(1).take_while(|line| !line.starts_with("## "));
    let (mut blocks, mut open) = (Vec::new(), None);
    for line in section {
        match (&mut open, line.starts_with("```")) {
            (None, true) => open = Some(Vec::new()),
            (Some(_), true) => blocks.extend(open.take()),
            (Some(block), false) => block.push(line),
            (None, false) => {}
        }
    }
    blocks
}

pub(super) fn check_architecture(text: &str) -> Option<Complaint> {
    let lines = text.lines().count();
    let text = || format!("{lines} lines: at most {ARCHITECTURE_LINES_MAX}");
    (lines > ARCHITECTURE_LINES_MAX).then(|| Complaint::new(ARCHITECTURE, text()))
}

/// Each row of a table whose second column says how compatible something is names files of `files` in its last one.
pub(super) fn check_compatibility(files: &[String], text: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    let mut is_of_verdicts = false;
    for (line, previous) in text.lines().zip(std::iter::once("").chain(text.lines())) {
        let Some(cells) = cells(line) else { continue };
        let complain = |text: String| Complaint::new(COMPATIBILITY, format_args!("{text}: {}", cells[0]));
        if !previous.starts_with('|') {
            is_of_verdicts = cells.get(1).is_some_and(|verdict| verdict.is_empty());
            if is_of_verdicts && cells.last() != Some(&SPEC) {
                found.push(complain(format!("a table without a last column `{SPEC}`")));
            }
        } else if is_of_verdicts && !cells[0].starts_with("---") {
            found.extend(row_fault(files, &cells).map(complain));
        }
    }
    found
}

/// The cells of a row. Code in them has no bars.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}

fn row_fault(files: &[String], cells: &[&str]) -> Option<String> {
    let [_, verdict, _, spec] = cells else { return Some("a row without four cells".to_owned()) };
    if *spec == NOTHING {
        return (!matches!(*verdict, "different" | "missing")).then(|| format!("`{verdict}` without a specification"));
    }
    let missing = |name: &&str| {
        let file = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
        let path = file.map(|file| match file.ends_with(".luau") {
            true => format!("/tests/luau/{file}"),
            false => format!("/{file}"),
        });
        !path.is_some_and(|path| files.iter().any(|file| file.ends_with(&path)))
    };
    spec.split(", ").find(missing).map(|name| format!("a row names {name}, which is no file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readme(blocks: &str) -> String {
        format!("# A\n```sh\nelsewhere\n```\n{QUICK_START}\n{blocks}\n## B\n```sh\nelsewhere\n```\n")
    }

    const PLAY: &str = "Text.\n```sh\ncargo run --release -- run game.luau\n```\n";
    const TEST: &str = "```sh\ncargo xtask test --install\n```\n";

    #[test]
    fn a_quick_start_of_another_form_is_found() {
        assert_eq!(check_readme(&readme(&format!("{PLAY}{TEST}"))), []);
        let two_commands = "```sh\ncargo xtask test\ncargo xtask tidy\n```\n";
        for bad in [PLAY.to_owned(), format!("{PLAY}{TEST}{TEST}"), format!("{PLAY}{two_commands}"), String::new()] {
            assert!(check_readme(&readme(&bad))[0].text.contains("two fenced blocks"), "{bad}");
        }
        assert!(check_readme(&readme(&format!("{TEST}{PLAY}")))[0].text.contains("then run the tests"));
    }

    #[test]
    fn a_row_without_its_specification_is_found() {
        let files = ["crates/a/tests/luau/get.luau".to_owned(), "crates/a/src/budget/tests.rs".to_owned()];
        let complaints = |rows: &str| {
            check_compatibility(
                &files,
                &format!("# A\n\n| Call | | Notes | Spec |\n| --- | --- | --- | --- |\n{rows}\n"),
            )
        };
        let good = "| `Get` | same | | `get.luau`, `budget/tests.rs` |\n| B | different | Not here. | – |";
        assert_eq!(complaints(good), []);
        for (bad, fault) in [
            ("| `Get` | same | | `set.luau` |", "`set.luau`, which is no file: `Get`"),
            ("| `Get` | same | | `get.luau`, `gets.rs` |", "`gets.rs`, which is no file"),
            ("| `Get` | same | | get.luau |", "get.luau, which is no file"),
            ("| `Get` | same | | |", "which is no file"),
            ("| `Get` | same | |", "without four cells"),
            ("| `Get` | same | | – |", "`same` without a specification"),
        ] {
            let found = complaints(&format!("{good}\n{bad}"));
            assert!(found.len() == 1 && found[0].text.contains(fault), "{bad}: {found:?}");
        }
        let unspecified = check_compatibility(&files, "| Call | | Notes |\n| --- | --- | --- |\n");
        assert!(unspecified[0].text.contains("without a last column `Spec`"));
        assert_eq!(check_compatibility(&files, "| Question | Choice |\n| --- | --- |\n| Why? | So. |"), []);
    }

    #[test]
    fn a_long_architecture_document_is_found() {
        assert_eq!(check_architecture(&"a\n".repeat(400)), None);
        assert!(check_architecture(&"a\n".repeat(401)).is_some());
    }
}
