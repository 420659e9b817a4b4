//! JSON over several lines.
//!
//! Owns: white space between tokens. The tokens stay as they are stored: reading them as numbers would change some.

const INDENT: &str = "  ";

/// `json` is valid and compact, as values are stored.
pub(super) fn pretty(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if in_string {
            text.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        let newline = |text: &mut String, depth: usize| {
            text.push('\n');
            text.push_str(&INDENT.repeat(depth));
        };
        match c {
            '{' | '[' if chars.peek().is_some_and(|next| matches!(next, '}' | ']')) => {
                text.push(c);
                text.extend(chars.next());
            }
            '{' | '[' => {
                text.push(c);
                depth += 1;
                newline(&mut text, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                newline(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                in_string = c == '"';
                text.push(c);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_as_they_are() {
        let check = |json, expected: &str| assert_eq!(pretty(json), expected);
        check("1e400", "1e400");
        check("{}", "{}");
        check(
            r#"{"a":[1,{"b":[]}],"c, d: {":"\"}\\"}"#,
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c, d: {\": \"\\\"}\\\\\"\n}",
        );
        check("12345678901234567890.10", "12345678901234567890.10");
    }
}
