//! Documents that something depends on.
//!
//! Owns: the form of the README's quick start, which people copy and continuous integration runs; the length of the
//! architecture document. Does not own: what they say.

use super::Complaint;

const README: &str = "README.md";
const QUICK_START: &str = "## Quick start";
const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";
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
    fn a_long_architecture_document_is_found() {
        assert_eq!(check_architecture(&"a\n".repeat(400)), None);
        assert!(check_architecture(&"a\n".repeat(401)).is_some());
    }
}
