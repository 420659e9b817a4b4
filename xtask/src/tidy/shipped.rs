//! Features that are off in what ships, though something else in the workspace turns them on.
//!
//! Owns: the list, and what is looked at. Reads `cargo tree` of one package, as `cargo build --package` resolves it. Does not
//! own: features that nothing in the workspace may turn on (`crates`).

use anyhow::Result;

use super::Complaint;
use crate::shell;

/// What ships: the program and the library.
const SHIPPED: [&str; 2] = ["clawstore-cli", "clawstore"];

/// Package, feature, why it is off.
const FEATURES_OFF: &[(&str, &str, &str)] =
    &[("clawstore-core", "mutants", "it names ways to break the protocol, for the model only")];

pub(super) fn check_all() -> Result<Vec<Complaint>> {
    let mut found = Vec::new();
    for package in SHIPPED {
        found.extend(check(package, &tree(package)?));
    }
    Ok(found)
}

/// One line per package that is built for this one: its name, then its features, comma-separated.
fn tree(package: &str) -> Result<String> {
    let arguments = ["tree", "--locked", "--edges", "no-dev", "--prefix", "none", "--format", "{lib} {f}"];
    let mut command = shell::cargo(&arguments);
    let lines = shell::output(command.args(["--package", package]))?;
    Ok(String::from_utf8(lines)?)
}

fn check(shipped: &str, tree: &str) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (package, feature, why) in FEATURES_OFF {
        let library = package.replace('-', "_");
        let mut lines = tree.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| *name == library);
        let mut features = lines.clone().flat_map(|(_, features)| features.split([',', ' ']));
        if features.any(|on| on == *feature) {
            found.push(Complaint::new(shipped, format_args!("{package} is built with `{feature}`: {why}")));
        }
        if lines.next().is_none() {
            found.push(Complaint::new(shipped, format_args!("{package} is not in its tree: nothing was checked")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tree: &str) -> Vec<String> {
        check("clawstore", tree).iter().map(Complaint::to_string).collect()
    }

    #[test]
    fn a_feature_that_is_on_in_what_ships_is_found() {
        assert_eq!(texts("clawstore \nclawstore_core  (*)\nclawstore_core default\n"), [""; 0]);
        for bad in ["clawstore_core mutants\n", "clawstore_core default,mutants (*)\n"] {
            let found = texts(bad);
            assert!(found.len() == 1 && found[0].contains("`mutants`"), "{found:?}");
        }
        assert!(texts("clawstore \n")[0].contains("nothing was checked"));
    }

    #[test]
    fn it_is_seen_where_it_is_on() {
        let found = check("clawstore-sim", &tree("clawstore-sim").expect("cargo answers"));
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
