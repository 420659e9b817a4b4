//! One operation, one name, one file in every layer.
//!
//! Owns: that each call in `core/src/ops` has its binding, its specification in Luau and its row in the table of what
//! is compatible. Does not own: what these say.

use super::Complaint;

const OPS: &str = "crates/core/src/ops/";
const COMPATIBILITY: &str = "docs/COMPATIBILITY.md";

/// `files`: every file of the tree; `compatibility`: the text of the table.
pub(super) fn check(files: &[String], compatibility: &str) -> Vec<Complaint> {
    let operations: Vec<&str> = files.iter().filter_map(|file| operation(file)).collect();
    let mut found = Vec::new();
    if operations.is_empty() {
        found.push(Complaint::new(OPS, "no operation found: has the directory moved?"));
    }
    for operation in operations {
        for file in [
            format!("crates/lua-bindings/src/methods/{operation}_async.rs"),
            format!("crates/lua-bindings/tests/luau/{operation}_async.luau"),
        ] {
            if !files.contains(&file) {
                found.push(Complaint::new(format_args!("{OPS}{operation}.rs"), format_args!("has no {file}")));
            }
        }
        let method = method_name(operation);
        if !has_row(compatibility, &method) {
            found.push(Complaint::new(COMPATIBILITY, format_args!("has no row for `{method}`")));
        }
    }
    found
}

/// Does a row of a table begin with the method?
fn has_row(table: &str, method: &str) -> bool {
    let begins = |line: &str| {
        let rest = line.strip_prefix("| `").and_then(|cell| cell.strip_prefix(method));
        rest.is_some_and(|rest| rest.starts_with(['`', '(']))
    };
    table.lines().any(begins)
}

/// `get` for `crates/core/src/ops/get.rs`.
fn operation(file: &str) -> Option<&str> {
    let name = file.strip_prefix(OPS)?.strip_suffix(".rs")?;
    (name != "tests" && !name.contains('/')).then_some(name)
}

/// `GetVersionAsync` for `get_version`.
fn method_name(operation: &str) -> String {
    let words = operation.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.chain(["Async".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 4] = [
        "crates/core/src/ops/get_version.rs",
        "crates/core/src/ops/tests.rs",
        "crates/lua-bindings/src/methods/get_version_async.rs",
        "crates/lua-bindings/tests/luau/get_version_async.luau",
    ];
    const TABLE: &str = "| `GetVersionAsync` | same |";

    fn complaints(without: &str, table: &str) -> Vec<String> {
        let files: Vec<_> = FILES.iter().filter(|file| **file != without).map(|file| (*file).to_owned()).collect();
        check(&files, table).iter().map(Complaint::to_string).collect()
    }

    #[test]
    fn an_operation_that_lacks_a_layer_is_found() {
        assert_eq!(complaints("", TABLE), [""; 0]);
        for layer in [FILES[2], FILES[3]] {
            assert_eq!(complaints(layer, TABLE), [format!("{}: has no {layer}", FILES[0])]);
        }
        assert_eq!(complaints("", "| `GetVersionAsync(key)` | same |"), [""; 0]);
        for bad in ["| `GetAsync` |", "| `GetVersionAsyncs` |", "Beside `GetVersionAsync` there is more."] {
            assert_eq!(complaints("", bad), ["docs/COMPATIBILITY.md: has no row for `GetVersionAsync`"]);
        }
    }

    #[test]
    fn a_rule_that_finds_nothing_to_check_says_so() {
        assert!(complaints(FILES[0], TABLE)[0].contains("has the directory moved?"));
    }
}
