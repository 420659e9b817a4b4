//! Rust text as the rules see it: code without comments and texts, texts without code, production without tests.
//!
//! Owns: telling these apart, which is all of Rust's grammar that is needed here. Does not own: any rule.

use std::iter::Peekable;
use std::str::CharIndices;

/// One `.rs` file.
#[derive(Debug)]
pub(super) struct Source {
    /// Path from the root, with `/`.
    pub(super) name: String,
    pub(super) text: String,
    /// The text with every comment and the inside of every literal made blank; lines and columns stay.
    pub(super) code: String,
    /// String literals: line (from 1) and content as written.
    pub(super) literals: Vec<(usize, String)>,
}

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let (code, literals) = Scanner::new(text).scan();
        Self { name: name.to_owned(), text: text.to_owned(), code, literals }
    }

    /// A file of tests only.
    pub(super) fn is_test_file(&self) -> bool {
        self.name.split('/').any(|part| part == "tests" || part == "benches") || self.name.ends_with("/tests.rs")
    }

    /// Lines of the file without those of its test modules.
    pub(super) fn production_lines(&self) -> usize {
        let lines: Vec<&str> = self.code.lines().collect();
        let (mut count, mut at) = (0, 0);
        while at < lines.len() {
            if lines[at].trim() == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| is_inline_module(next)) {
                at += 1 + block_lines(&lines[at + 1..]);
            } else {
                (count, at) = (count + 1, at + 1);
            }
        }
        count
    }
}

fn is_inline_module(line: &str) -> bool {
    let line = line.trim_start_matches("pub(crate) ").trim();
    line.starts_with("mod ") && line.ends_with('{')
}

/// How many lines the block takes that opens in the first line. Needs code without literals.
pub(super) fn block_lines(lines: &[&str]) -> usize {
    let mut depth = 0_usize;
    for (at, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if c == '}' && depth == 0 {
                return at + 1;
            }
        }
    }
    lines.len()
}

struct Scanner<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    code: String,
    literals: Vec<(usize, String)>,
    line: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let chars = text.char_indices().peekable();
        Self { text, chars, code: String::with_capacity(text.len()), literals: Vec::new(), line: 1 }
    }

    fn scan(mut self) -> (String, Vec<(usize, String)>) {
        while let Some(&(at, c)) = self.chars.peek() {
            let rest = &self.text[at..];
            if rest.starts_with("//") {
                self.blank_until(|rest| rest.starts_with('\n'));
            } else if rest.starts_with("/*") {
                self.block_comment();
            } else if let Some(hashes) = raw_string(rest).filter(|_| !self.in_word()) {
                self.raw_literal(hashes);
            } else if c == '"' {
                self.literal();
            } else if c == '\'' && is_char_literal(rest) {
                self.char_literal();
            } else {
                self.keep();
            }
        }
        (self.code, self.literals)
    }

    fn in_word(&self) -> bool {
        self.code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
    }

    fn next(&mut self, keep: bool) -> Option<char> {
        let (_, c) = self.chars.next()?;
        self.line += usize::from(c == '\n');
        self.code.push(if keep || c == '\n' { c } else { ' ' });
        Some(c)
    }

    fn keep(&mut self) {
        self.next(true);
    }

    fn position(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |&(at, _)| at)
    }

    fn blank_until(&mut self, end: impl Fn(&str) -> bool) {
        while self.position() < self.text.len() && !end(&self.text[self.position()..]) {
            self.next(false);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            let rest = &self.text[self.position()..];
            let (open, close) = (rest.starts_with("/*"), rest.starts_with("*/"));
            if self.next(false).is_none() {
                return;
            }
            if open || close {
                self.next(false);
                depth = if open { depth + 1 } else { depth - 1 };
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn literal(&mut self) {
        self.keep();
        let (begin, line) = (self.position(), self.line);
        while let Some(&(at, c)) = self.chars.peek() {
            if c == '"' {
                self.literals.push((line, self.text[begin..at].to_owned()));
                self.keep();
                return;
            }
            self.next(false);
            if c == '\\' {
                self.next(false);
            }
        }
    }

    fn raw_literal(&mut self, hashes: usize) {
        self.blank_until(|rest| rest.starts_with('"'));
        self.keep();
        let end = format!("\"{}", "#".repeat(hashes));
        let (begin, line) = (self.position(), self.line);
        self.blank_until(|rest| rest.starts_with(&end));
        let content = self.text[begin..self.position()].to_owned();
        self.literals.push((line, content));
        for _ in 0..end.len() {
            self.keep();
        }
    }

    fn char_literal(&mut self) {
        self.keep();
        if self.next(false) == Some('\\') {
            self.next(false);
        }
        self.blank_until(|rest| rest.starts_with('\''));
        self.keep();
    }
}

/// The number of hashes if a raw string begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let inner = ["br", "cr", "r"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    inner[hashes..].starts_with('"').then_some(hashes)
}

/// Tells `'a'` and `'\n'` from the lifetime `'a`.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank() {
        let text = "let a = \"x { \\\" }\"; // {\nlet b = '{'; /* { /* { */ */ let c: &'a str = r#\"\"{\"#;\nhr\"{\"";
        let source = Source::new("a.rs", text);
        assert_eq!(source.code.matches('{').count(), 0, "{}", source.code);
        assert_eq!(source.code.lines().count(), text.lines().count());
        assert_eq!(source.code.len(), text.len());
        let literals = [(1, "x { \\\" }".to_owned()), (2, "\"{".to_owned()), (3, "{".to_owned())];
        assert_eq!(source.literals, literals);
        assert!(source.code.contains("let c: &'a str"));
    }

    #[test]
    fn test_modules_do_not_count() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\n";
        assert_eq!(Source::new("a.rs", text).production_lines(), 2);
        let outside = "fn a() {}\n#[cfg(test)]\nmod tests;\n";
        assert_eq!(Source::new("a.rs", outside).production_lines(), 3, "tests in a file of their own");
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        let is_test = |name| Source::new(name, "").is_test_file();
        assert!(is_test("crates/core/tests/model.rs") && is_test("crates/core/src/lane/tests.rs"));
        assert!(!is_test("crates/core/src/lane.rs") && !is_test("crates/testkit/src/conformance.rs"));
    }
}
