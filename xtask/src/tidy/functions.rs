//! Functions stay short.
//!
//! Owns: finding functions, their length, and the list of those that were too long when the rule came. Does not own:
//! how they are made shorter.

use super::Complaint;
use super::source::{Source, block_lines};

/// Longest function, from its first line to its closing brace.
const LINES_MAX: usize = 70;

/// Longer ones, counted: file and how many. The list only gets shorter; an entry that is no longer needed fails too.
const EXCEPTIONS: &[(&str, usize)] = &[];

/// One function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    file: String,
    line: usize,
    name: String,
    lines: usize,
}

pub(super) fn in_source(source: &Source) -> Vec<Function> {
    let lines: Vec<&str> = source.code.lines().collect();
    let named = lines.iter().enumerate().filter_map(|(at, line)| Some((at, function_name(line)?)));
    let found = named.filter_map(|(at, name)| {
        let lines = function_lines(&lines[at..])?;
        Some(Function { file: source.name.clone(), line: at + 1, name: name.to_owned(), lines })
    });
    found.collect()
}

/// The name, if a function begins in this line.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        if let Some(name) = rest.strip_prefix("fn ") {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            return Some(&name[..end]);
        }
        let word = ["pub ", "const ", "async ", "unsafe ", "extern "].iter().find_map(|word| rest.strip_prefix(word));
        rest = match word {
            Some(after) => after.trim_start_matches(['"', ' ']),
            None => rest.strip_prefix("pub(")?.split_once(") ")?.1,
        };
    }
}

/// How many lines it takes; `None` for a declaration without a body.
fn function_lines(lines: &[&str]) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                ';' if depth == 0 => return None,
                '{' if depth == 0 => return Some(at + block_lines(&lines[at..])),
                _ => {}
            }
        }
    }
    None
}

pub(super) fn check(functions: &[Function]) -> Vec<Complaint> {
    check_against(EXCEPTIONS, functions)
}

fn check_against(exceptions: &[(&str, usize)], functions: &[Function]) -> Vec<Complaint> {
    let mut found = Vec::new();
    let allowed = |file: &str| exceptions.iter().find(|(name, _)| *name == file).map_or(0, |(_, count)| *count);
    let long: Vec<&Function> = functions.iter().filter(|function| function.lines > LINES_MAX).collect();
    let count = |file: &str| long.iter().filter(|function| function.file == file).count();
    for function in &long {
        if count(&function.file) > allowed(&function.file) {
            let text = format!("`{}` has {} lines: at most {LINES_MAX}", function.name, function.lines);
            found.push(Complaint::new(format_args!("{}:{}", function.file, function.line), text));
        }
    }
    for (file, allowed) in exceptions {
        if count(file) < *allowed {
            found.push(Complaint::new(file, "has fewer long functions than its exception allows: lower the number"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, body_lines: usize) -> String {
        format!(
            "    pub(crate) async fn {name}(\n        a: [u8; 2],\n    ) {{\n{}    }}\n",
            "a();\n".repeat(body_lines)
        )
    }

    fn long_ones(exceptions: &[(&str, usize)], text: &str) -> Vec<String> {
        let functions = in_source(&Source::new("a.rs", text));
        check_against(exceptions, &functions).iter().map(Complaint::to_string).collect()
    }

    #[test]
    fn functions_are_found_with_their_length() {
        let text = "fn a() {}\n    fn declared(\n        &self,\n    ) -> u8;\npub const fn b() {\n}\nlet fn_x = 1;\n\
                    pub(crate) unsafe extern \"C\" fn c() {}\n";
        let found = in_source(&Source::new("a.rs", text));
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(found, [("a", 1, 1), ("b", 5, 2), ("c", 8, 1)]);
    }

    #[test]
    fn a_long_function_is_found() {
        assert_eq!(long_ones(&[], &function("fits", 66)), [""; 0]);
        let found = long_ones(&[], &function("too_long", 67));
        assert_eq!(found, ["a.rs:1: `too_long` has 71 lines: at most 70"]);
    }

    #[test]
    fn exceptions_are_counted_and_only_get_fewer() {
        let (one, two) = (function("x", 80), function("x", 80) + &function("y", 80));
        assert_eq!(long_ones(&[("a.rs", 1)], &one), [""; 0]);
        assert_eq!(long_ones(&[("a.rs", 1)], &two).len(), 2, "another long one");
        let found = long_ones(&[("a.rs", 2)], &one);
        assert!(found[0].contains("lower the number"), "{found:?}");
    }
}
