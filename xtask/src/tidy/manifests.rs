//! Rules for manifests.
//!
//! Owns: shared lints in every crate, and unwinding panics in every profile. Does not own: who depends on whom
//! (`crates`).

use super::Complaint;

/// A crate's own manifest, not of a workspace of its own.
pub(super) fn check_member(name: &str, text: &str) -> Vec<Complaint> {
    let mut found = check_profiles(name, text);
    let is_member = sections(text).all(|(header, _)| header != "[workspace]");
    let has_lints = sections(text).any(|(header, line)| header == "[lints]" && squeeze(line) == "workspace=true");
    if is_member && !has_lints {
        found.push(Complaint::new(name, "lacks `[lints] workspace = true`"));
    }
    found
}

/// Supervision of key actors needs panics that unwind.
pub(super) fn check_profiles(name: &str, text: &str) -> Vec<Complaint> {
    let aborts = |line: &str| {
        let line = squeeze(line.split('#').next().unwrap_or_default());
        line.contains("panic=\"abort\"") || line.contains("panic='abort'") || line.contains("panic=abort")
    };
    let bad = text.lines().enumerate().filter(|(_, line)| aborts(line));
    let text = "panics must unwind in every profile: supervision of key actors needs them";
    bad.map(|(at, _)| Complaint::new(format_args!("{name}:{}", at + 1), text)).collect()
}

/// Each line with the header above it; headers come too, as their own line.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut header = "";
    text.lines().map(move |line| {
        let line = line.trim();
        if line.starts_with('[') {
            header = line;
        }
        (header, line)
    })
}

fn squeeze(line: &str) -> String {
    line.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";

    fn texts(found: Vec<Complaint>) -> Vec<String> {
        found.iter().map(Complaint::to_string).collect()
    }

    #[test]
    fn a_crate_without_the_shared_lints_is_found() {
        assert_eq!(texts(check_member("crates/a/Cargo.toml", GOOD)), [""; 0]);
        for bad in ["[package]\nname = \"a\"\n", "[lints]\n[dependencies]\nworkspace = true\n"] {
            let found = texts(check_member("crates/a/Cargo.toml", bad));
            assert!(found.len() == 1 && found[0].contains("[lints]"), "{found:?}");
        }
        assert_eq!(texts(check_member("examples/a/Cargo.toml", "[workspace]\n[package]\n")), [""; 0]);
    }

    #[test]
    fn a_profile_that_aborts_is_found() {
        for bad in ["[profile.release]\npanic = \"abort\"\n", "[build]\nrustflags = [\"-C\", \"panic=abort\"]\n"] {
            let found = texts(check_profiles("Cargo.toml", bad));
            assert!(found.len() == 1 && found[0].starts_with("Cargo.toml:2: "), "{found:?}");
        }
        assert_eq!(
            texts(check_profiles("Cargo.toml", "# never set `panic = \"abort\"`\npanic = \"unwind\"\n")),
            [""; 0]
        );
    }
}
