//! Who may depend on whom, and with which features.
//!
//! Owns: the table of imports between our crates, what may not be in a crate's tree at all, and features that must be
//! off. Reads `cargo metadata`. Does not own: licences and sources of dependencies (`deny.toml`).

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::Complaint;

/// One crate of the workspace.
struct Rule {
    name: &'static str,
    /// Our crates that it may import.
    imports: &'static [&'static str],
    /// Our crates that its tests may import beside those.
    test_imports: &'static [&'static str],
    /// What may not be anywhere in the tree of what it ships.
    never: &'static [&'static str],
}

const CORE: &str = "clawstore-core";
const ACTORS: &str = "clawstore-actors";
const SQLITE: &str = "clawstore-sqlite";
const POSTGRES: &str = "clawstore-postgres";
const LUA: &str = "clawstore-lua";
const LUAU: &str = "clawstore-luau";
const TESTKIT: &str = "clawstore-testkit";
const FACADE: &str = "clawstore";
const SQL_DRIVERS: [&str; 2] = ["rusqlite", "sqlx"];

/// A new crate gets a row here before it is built for the first time.
const RULES: &[Rule] = &[
    Rule {
        name: CORE,
        imports: &[],
        test_imports: &[TESTKIT],
        never: &["tokio", "sqlx", "rusqlite", "mlua", "ractor", "dashmap", "rand", "metrics", "tracing"],
    },
    Rule { name: TESTKIT, imports: &[CORE], test_imports: &[], never: &["sqlx", "rusqlite", "mlua", "ractor"] },
    Rule { name: ACTORS, imports: &[CORE], test_imports: &[TESTKIT], never: &["sqlx", "rusqlite", "mlua"] },
    Rule { name: SQLITE, imports: &[CORE], test_imports: &[TESTKIT], never: &["sqlx", "mlua", "ractor", "dashmap"] },
    Rule {
        name: POSTGRES,
        imports: &[CORE],
        test_imports: &[TESTKIT],
        never: &["rusqlite", "mlua", "ractor", "dashmap"],
    },
    Rule { name: LUAU, imports: &[], test_imports: &[], never: &["tokio", "sqlx", "rusqlite", "ractor"] },
    Rule { name: LUA, imports: &[CORE, ACTORS], test_imports: &[TESTKIT, LUAU, SQLITE, POSTGRES], never: &SQL_DRIVERS },
    Rule {
        name: FACADE,
        imports: &[CORE, ACTORS, LUA, SQLITE, POSTGRES],
        test_imports: &[TESTKIT, LUAU],
        never: &["clap"],
    },
    Rule { name: "clawstore-cli", imports: &[FACADE, LUAU], test_imports: &[TESTKIT], never: &[TESTKIT] },
    // It measures and kills, and ships nowhere: its baselines speak to SQLite as the backend does, its mutants are backends,
    // its lists are looked at past the façade, and the test kit holds commits for it.
    Rule {
        name: "clawstore-loadgen",
        imports: &[FACADE, LUAU, CORE, ACTORS, SQLITE, POSTGRES, TESTKIT],
        test_imports: &[],
        never: &[],
    },
    // The model of the protocol: it takes the names of mutants from core, and ships nowhere.
    Rule { name: "clawstore-sim", imports: &[CORE], test_imports: &[], never: &["tokio", "sqlx", "rusqlite", "mlua"] },
    Rule { name: "xtask", imports: &[], test_imports: &[], never: &["tokio", "mlua", "rusqlite"] },
];

/// Features that are off in everything that this workspace builds: package, feature, why.
const FEATURES_OFF: &[(&str, &str, &str)] = &[
    ("mlua", "send", "it makes conversions up to twice as slow; hosts that need it are workspaces of their own"),
    (SQLITE, "unsafe-no-sync", "such a build loses acknowledged writes at a power cut"),
];

/// `metadata`: the output of `cargo metadata --format-version 1`.
pub(super) fn check(metadata: &Value) -> Vec<Complaint> {
    let mut found = imports(metadata);
    found.extend(trees(metadata));
    found.extend(features(metadata));
    found
}

fn array<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Packages of this workspace.
fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let ids: HashSet<&str> = array(metadata, "workspace_members").filter_map(Value::as_str).collect();
    array(metadata, "packages").filter(move |package| ids.contains(text(package, "id")))
}

fn imports(metadata: &Value) -> Vec<Complaint> {
    let ours: HashSet<&str> = members(metadata).map(|package| text(package, "name")).collect();
    let mut found = Vec::new();
    for package in members(metadata) {
        let name = text(package, "name");
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            found.push(Complaint::new(name, "has no row in the table of imports (xtask/src/tidy/crates.rs)"));
            continue;
        };
        for dependency in array(package, "dependencies") {
            let (import, is_test) = (text(dependency, "name"), text(dependency, "kind") == "dev");
            let allowed = rule.imports.contains(&import) || (is_test && rule.test_imports.contains(&import));
            if ours.contains(import) && !allowed {
                let part = if is_test { "its tests import" } else { "imports" };
                found.push(Complaint::new(name, format_args!("{part} {import}: not in the table of imports")));
            }
        }
    }
    found
}

/// What each crate's tree contains, dev-dependencies left out.
fn trees(metadata: &Value) -> Vec<Complaint> {
    let names: HashMap<&str, &str> = array(metadata, "packages").map(|p| (text(p, "id"), text(p, "name"))).collect();
    let nodes: HashMap<&str, &Value> =
        array(&metadata["resolve"], "nodes").map(|node| (text(node, "id"), node)).collect();
    let mut found = Vec::new();
    for package in members(metadata) {
        let name = text(package, "name");
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else { continue };
        let (mut seen, mut next) = (HashSet::new(), vec![text(package, "id")]);
        while let Some(id) = next.pop() {
            if !seen.insert(id) {
                continue;
            }
            if let Some(node) = nodes.get(id) {
                next.extend(array(node, "deps").filter(|dep| ships(dep)).map(|dep| text(dep, "pkg")));
            }
        }
        let tree: HashSet<&str> = seen.iter().filter_map(|id| names.get(id).copied()).collect();
        let bad = rule.never.iter().filter(|never| tree.contains(*never));
        found.extend(
            bad.map(|never| Complaint::new(name, format_args!("its tree has {never}, which it must be free of"))),
        );
    }
    found
}

fn ships(dependency: &Value) -> bool {
    array(dependency, "dep_kinds").any(|kind| text(kind, "kind") != "dev")
}

/// Cargo unifies features over what is built together, so a feature that one crate turns on is on for all.
fn features(metadata: &Value) -> Vec<Complaint> {
    let names: HashMap<&str, &str> = array(metadata, "packages").map(|p| (text(p, "id"), text(p, "name"))).collect();
    let mut found = Vec::new();
    for node in array(&metadata["resolve"], "nodes") {
        let name = names.get(text(node, "id")).copied().unwrap_or_default();
        let on = |feature: &str| array(node, "features").any(|f| f.as_str() == Some(feature));
        for (package, feature, why) in FEATURES_OFF {
            if name == *package && on(feature) {
                found.push(Complaint::new(name, format_args!("is built with `{feature}`: {why}")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Packages by name with what they depend on and how; ids are names. The first two are ours.
    fn metadata(dependencies: &[(&str, &str, Option<&str>)], features: &[(&str, &str)]) -> Value {
        let names = [ACTORS, CORE, "mlua", "between", "tokio", SQLITE];
        let of = |name: &str| dependencies.iter().filter(move |(from, ..)| *from == name).copied().collect::<Vec<_>>();
        let packages: Vec<_> = names
            .iter()
            .map(|name| {
                let dependencies: Vec<_> =
                    of(name).iter().map(|(_, to, kind)| json!({ "name": to, "kind": kind })).collect();
                json!({ "id": name, "name": name, "dependencies": dependencies })
            })
            .collect();
        let nodes: Vec<_> = names
            .iter()
            .map(|name| {
                let dep =
                    |(_, to, kind): &(&str, &str, Option<&str>)| json!({ "pkg": to, "dep_kinds": [{ "kind": kind }] });
                let deps: Vec<_> = of(name).iter().map(dep).collect();
                let on: Vec<_> = features.iter().filter(|(of, _)| of == name).map(|(_, feature)| feature).collect();
                json!({ "id": name, "deps": deps, "features": on })
            })
            .collect();
        json!({ "workspace_members": [ACTORS, CORE], "packages": packages, "resolve": { "nodes": nodes } })
    }

    fn complaints(dependencies: &[(&str, &str, Option<&str>)], features: &[(&str, &str)]) -> Vec<String> {
        check(&metadata(dependencies, features)).iter().map(Complaint::to_string).collect()
    }

    #[test]
    fn what_is_allowed_passes() {
        let dependencies = [(ACTORS, CORE, None), (ACTORS, "tokio", None), (CORE, "between", None)];
        assert_eq!(complaints(&dependencies, &[("mlua", "luau")]), [""; 0]);
    }

    #[test]
    fn an_import_against_the_direction_is_found() {
        let found = complaints(&[(CORE, ACTORS, None)], &[]);
        assert_eq!(found, ["clawstore-core: imports clawstore-actors: not in the table of imports"]);
        let found = complaints(&[(CORE, ACTORS, Some("dev"))], &[]);
        assert_eq!(found, ["clawstore-core: its tests import clawstore-actors: not in the table of imports"]);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let mut metadata = metadata(&[], &[]);
        metadata["workspace_members"] = json!(["between"]);
        assert!(check(&metadata)[0].text.contains("no row"));
    }

    #[test]
    fn what_core_must_not_have_is_found_at_any_depth_but_not_in_tests() {
        let found = complaints(&[(CORE, "between", None), ("between", "tokio", None)], &[]);
        assert_eq!(found, ["clawstore-core: its tree has tokio, which it must be free of"]);
        let found = complaints(&[(CORE, "between", Some("build")), ("between", "tokio", None)], &[]);
        assert_eq!(found.len(), 1, "what builds it counts");
        assert_eq!(complaints(&[(CORE, "between", Some("dev")), ("between", "tokio", None)], &[]), [""; 0]);
    }

    #[test]
    fn a_feature_that_must_be_off_is_found() {
        let found = complaints(&[], &[("mlua", "send"), (SQLITE, "unsafe-no-sync")]);
        assert!(found.len() == 2 && found[0].contains("`send`") && found[1].contains("`unsafe-no-sync`"), "{found:?}");
    }
}
