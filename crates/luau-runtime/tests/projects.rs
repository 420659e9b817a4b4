//! Projects on real folders: every rule of the format that is read, and every way in which one can be wrong.

// A failed unwrap is how a test fails.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use clawstore_luau::project::{self, ProjectError};
use clawstore_luau::{Node, PropertyValue};
use tempfile::TempDir;

/// A folder with files in it.
struct Disk(TempDir);

impl Disk {
    /// Writes the files; each script's text is its own path.
    fn with(files: &[&str]) -> Self {
        let disk = Self(TempDir::new().unwrap());
        for file in files {
            disk.write(file, format!("-- {file}"));
        }
        disk
    }

    /// The files, and `default.project.json` with this tree.
    fn with_tree(tree: &str, files: &[&str]) -> Self {
        let disk = Self::with(files);
        disk.write("default.project.json", format!(r#"{{"name": "Test", "tree": {tree}}}"#));
        disk
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn load(&self, path: &str) -> String {
        show(&project::load(self.path(path)).unwrap())
    }

    /// The error of loading the path, and its text without the temporary folder's name.
    fn refused(&self, path: &str) -> (ProjectError, String) {
        let error = project::load(self.path(path)).unwrap_err();
        let text = error.to_string().replace(&format!("{}/", self.0.path().display()), "");
        (error, text)
    }
}

/// A tree as text, one Instance a line: name, class, properties, source.
fn show(node: &Node) -> String {
    fn line(node: &Node, depth: usize, text: &mut String) {
        write!(text, "{:1$}{2} {3}", "", depth * 2, node.name, node.class).unwrap();
        for (name, value) in &node.properties {
            match value {
                PropertyValue::Bool(value) => write!(text, " {name}={value}").unwrap(),
                PropertyValue::Number(value) => write!(text, " {name}={value}").unwrap(),
                PropertyValue::Text(value) => write!(text, " {name}={value:?}").unwrap(),
            }
        }
        if let Some(source) = &node.source {
            assert_eq!(source.chunk, "", "the Instance's full name");
            write!(text, " [{}]", source.text.trim_start_matches("-- ")).unwrap();
        }
        text.push('\n');
        node.children.iter().for_each(|child| line(child, depth + 1, text));
    }
    let mut text = String::new();
    line(node, 0, &mut text);
    text
}

/// Compares without the margin that source code has.
#[track_caller]
fn check(actual: &str, expected: &str) {
    let margin =
        expected.lines().find(|line| !line.trim().is_empty()).map_or(0, |line| line.len() - line.trim_start().len());
    let lines = expected.lines().filter(|line| !line.trim().is_empty());
    let expected: String = lines.map(|line| format!("{}\n", &line[margin..])).collect();
    assert_eq!(actual, expected, "\n{actual}");
}

mod files {
    use super::*;

    #[test]
    fn the_end_of_a_name_gives_the_class() {
        let disk = Disk::with(&[
            "src/A.luau",
            "src/B.lua",
            "src/C.server.luau",
            "src/D.server.lua",
            "src/E.client.luau",
            "src/F.client.lua",
        ]);
        check(
            &disk.load("src"),
            "
            src Folder
              A ModuleScript [src/A.luau]
              B ModuleScript [src/B.lua]
              C Script [src/C.server.luau]
              D Script [src/D.server.lua]
              E LocalScript [src/E.client.luau]
              F LocalScript [src/F.client.lua]
        ",
        );
    }

    #[test]
    fn other_dots_stay_in_the_name() {
        let disk = Disk::with(&["src/init.luau", "src/init.test.luau", "src/Foo.spec.lua", "src/a.b.server.luau"]);
        check(
            &disk.load("src"),
            "
            src ModuleScript [src/init.luau]
              Foo.spec ModuleScript [src/Foo.spec.lua]
              a.b Script [src/a.b.server.luau]
              init.test ModuleScript [src/init.test.luau]
        ",
        );
    }

    #[test]
    fn an_init_file_makes_its_folder_the_script() {
        let disk = Disk::with(&[
            "src/M/init.lua",
            "src/M/Child.luau",
            "src/S/init.server.luau",
            "src/C/init.client.lua",
            "src/E/.keep",
            "src/Both/init.luau",
            "src/Both/init.server.luau",
        ]);
        check(
            &disk.load("src"),
            "
            src Folder
              Both ModuleScript [src/Both/init.luau]
              C LocalScript [src/C/init.client.lua]
              E Folder
              M ModuleScript [src/M/init.lua]
                Child ModuleScript [src/M/Child.luau]
              S Script [src/S/init.server.luau]
        ",
        );
    }

    #[test]
    fn equal_names_are_in_the_order_of_their_files() {
        let files = ["src/A.client.lua", "src/A.lua", "src/A.luau", "src/A.server.lua", "src/A.server.luau"];
        let disk = Disk::with(&[files[3], files[1], files[4], files[2], files[0]]);
        let node = project::load(disk.path("src")).unwrap();
        let order: Vec<_> = node.children.iter().map(|child| &child.source.as_ref().unwrap().text[3..]).collect();
        assert_eq!(order, files);
    }

    #[test]
    fn other_files_are_left_out() {
        let disk = Disk::with(&[
            "src/README.md",
            "src/data.json",
            "src/init.meta.json",
            "src/other.project.json",
            "src/.git/hook.lua",
            "src/.pesde/A.lua",
        ]);
        check(
            &disk.load("src"),
            "
            src Folder
              .pesde Folder
                A ModuleScript [src/.pesde/A.lua]
        ",
        );
    }

    #[test]
    fn a_single_script_is_a_tree() {
        let disk = Disk::with(&["Main.server.luau"]);
        check(&disk.load("Main.server.luau"), "Main Script [Main.server.luau]\n");
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_text() {
        let disk = Disk::with(&[]);
        disk.write("A.luau", "\u{feff}return 1");
        check(&disk.load("A.luau"), "A ModuleScript [return 1]\n");
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let disk = Disk::with(&["model.rbxm"]);
        let (error, text) = disk.refused("model.rbxm");
        assert!(matches!(error, ProjectError::Unsupported { .. }), "{error:?}");
        assert_eq!(text, "model.rbxm: not a script (.luau, .lua), a project (.project.json) or a folder");
        assert!(matches!(disk.refused("nowhere").0, ProjectError::Read { .. }));
    }

    #[test]
    fn text_must_be_utf_8() {
        let disk = Disk::with(&[]);
        disk.write("src/A.luau", b"return '\xff'");
        let (error, text) = disk.refused("src");
        assert!(matches!(error, ProjectError::NotUtf8 { .. }), "{error:?}");
        assert_eq!(text, "src/A.luau: not UTF-8");
    }

    #[cfg(unix)]
    #[test]
    fn names_must_be_utf_8() {
        use std::os::unix::ffi::OsStrExt as _;
        let disk = Disk::with(&["src/A.luau"]);
        fs::write(disk.path("src").join(std::ffi::OsStr::from_bytes(b"\xff.luau")), "").unwrap();
        assert!(matches!(disk.refused("src").0, ProjectError::NotUtf8 { .. }));
    }

    #[cfg(unix)]
    #[test]
    fn a_broken_link_is_named() {
        let disk = Disk::with(&["src/A.luau"]);
        std::os::unix::fs::symlink("nowhere", disk.path("src/B.luau")).unwrap();
        assert!(disk.refused("src").1.starts_with("src/B.luau: "));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_links_to_itself_ends() {
        let disk = Disk::with(&["src/A.luau"]);
        std::os::unix::fs::symlink(".", disk.path("src/again")).unwrap();
        let (error, text) = disk.refused("src");
        assert!(matches!(error, ProjectError::Cycle { .. }), "{error:?}");
        assert_eq!(text, "src/again: contains itself");
    }

    #[test]
    fn depth_and_size_have_limits() {
        let disk = Disk::with(&[]);
        fs::create_dir_all(disk.path(&format!("deep/{}", "d/".repeat(250)))).unwrap();
        assert!(matches!(disk.refused("deep").0, ProjectError::TooDeep { .. }));
        fs::File::create(disk.path("Big.luau")).unwrap().set_len(17 * 1024 * 1024).unwrap();
        assert!(matches!(disk.refused("Big.luau").0, ProjectError::TooLarge { .. }));
    }
}

mod projects {
    use super::*;

    #[test]
    fn a_place() {
        let tree = r#"{
            "$className": "DataModel",
            "ServerScriptService": {"$path": "src/server"},
            "ReplicatedStorage": {
                "$className": "ReplicatedStorage",
                "$ignoreUnknownInstances": true,
                "Shared": {"$path": "src/Shared.luau"},
                "Empty": {"$className": "Folder"}
            },
            "ServerStorage": {},
            "StarterPlayer": {"StarterPlayerScripts": {"$path": "src/client"}}
        }"#;
        let disk =
            Disk::with_tree(tree, &["src/server/Main.server.luau", "src/Shared.luau", "src/client/C.client.luau"]);
        let expected = "
            Test DataModel
              ReplicatedStorage ReplicatedStorage
                Empty Folder
                Shared ModuleScript [src/Shared.luau]
              ServerScriptService Folder
                Main Script [src/server/Main.server.luau]
              ServerStorage ServerStorage
              StarterPlayer StarterPlayer
                StarterPlayerScripts Folder
                  C LocalScript [src/client/C.client.luau]
        ";
        check(&disk.load("default.project.json"), expected);
        check(&disk.load("."), expected);
    }

    #[test]
    fn a_path_may_have_children_and_a_class_beside_it() {
        let tree = r#"{
            "$path": "src",
            "$className": "Configuration",
            "Z": {"$path": "Z.luau", "Below": {"$className": "BoolValue"}},
            "B": {"$path": "src/B.luau", "$className": "ModuleScript"}
        }"#;
        let disk = Disk::with_tree(tree, &["src/A.luau", "src/M.luau", "src/B.luau", "Z.luau"]);
        check(
            &disk.load("."),
            "
            Test Configuration
              A ModuleScript [src/A.luau]
              B ModuleScript [src/B.luau]
              B ModuleScript [src/B.luau]
              M ModuleScript [src/M.luau]
              Z ModuleScript [Z.luau]
                Below BoolValue
        ",
        );
    }

    #[test]
    fn properties_of_scripts_and_value_objects() {
        let tree = r#"{
            "$className": "Folder",
            "A": {"$path": "A.server.luau", "$properties": {"Disabled": true, "LinkedSource": "x"}},
            "B": {"$path": "A.server.luau", "$properties": {"Enabled": false}},
            "C": {"$className": "BoolValue", "$properties": {"Value": true}},
            "D": {"$className": "NumberValue", "$properties": {"Value": {"Float64": 1.5}}},
            "E": {"$className": "StringValue", "$properties": {"Value": {"Type": "String", "Value": "text"}}},
            "F": {"$className": "Vector3Value", "$properties": {"Value": [1, 2, 3]}, "$attributes": {"x": 1}},
            "G": {"$className": "Workspace", "$properties": {"SignalBehavior": "Deferred", "Gravity": 9.8}}
        }"#;
        let disk = Disk::with_tree(tree, &["A.server.luau"]);
        check(
            &disk.load("."),
            r#"
            Test Folder
              A Script Disabled=true [A.server.luau]
              B Script Disabled=true [A.server.luau]
              C BoolValue Value=true
              D NumberValue Value=1.5
              E StringValue Value="text"
              F Vector3Value
              G Workspace SignalBehavior="Deferred"
        "#,
        );
    }

    #[test]
    fn a_nested_project_takes_the_nodes_name() {
        let disk = Disk::with(&["lib/src/init.luau", "lib/src/Child.luau", "Other.luau"]);
        disk.write("lib/default.project.json", r#"{"name": "library", "tree": {"$path": "src"}}"#);
        disk.write("other.project.json", r#"{"tree": {"$path": "Other.luau"}}"#);
        disk.write(
            "game/default.project.json",
            r#"{"tree": {"$className": "DataModel", "ServerStorage": {
                "$className": "ServerStorage",
                "ByFolder": {"$path": "../lib"},
                "ByFile": {"$path": "../other.project.json"}
            }}}"#,
        );
        check(
            &disk.load("game"),
            "
            game DataModel
              ServerStorage ServerStorage
                ByFile ModuleScript [Other.luau]
                ByFolder ModuleScript [lib/src/init.luau]
                  Child ModuleScript [lib/src/Child.luau]
        ",
        );
        check(&disk.load("other.project.json"), "other ModuleScript [Other.luau]\n");
    }

    #[test]
    fn a_project_met_in_a_folder_takes_its_own_name() {
        let disk = Disk::with(&[
            "Packages/Store.lua",
            "Packages/_Index/me_store@1.0.0/store/src/init.luau",
            "Packages/_Index/me_plain@1.0.0/plain/init.lua",
        ]);
        disk.write(
            "Packages/_Index/me_store@1.0.0/store/default.project.json",
            r#"{"name": "ProfileStore", "tree": {"$path": "src"}}"#,
        );
        check(
            &disk.load("Packages"),
            "
            Packages Folder
              Store ModuleScript [Packages/Store.lua]
              _Index Folder
                me_plain@1.0.0 Folder
                  plain ModuleScript [Packages/_Index/me_plain@1.0.0/plain/init.lua]
                me_store@1.0.0 Folder
                  ProfileStore ModuleScript [Packages/_Index/me_store@1.0.0/store/src/init.luau]
        ",
        );
    }

    #[test]
    fn an_optional_path_may_be_missing() {
        let tree = r#"{
            "$className": "Folder",
            "A": {"$path": {"optional": "nowhere"}},
            "B": {"$path": {"optional": "nowhere"}, "$className": "Folder"},
            "C": {"$path": {"optional": "C.luau"}}
        }"#;
        let disk = Disk::with_tree(tree, &["C.luau"]);
        check(
            &disk.load("."),
            "
            Test Folder
              B Folder
              C ModuleScript [C.luau]
        ",
        );
    }

    /// The whole text is the contract here: it has to say where to look.
    #[track_caller]
    fn refused(tree: &str, expected: &str) {
        let disk = Disk::with_tree(tree, &["A.luau"]);
        assert_eq!(disk.refused(".").1.replace("./", ""), expected);
    }

    #[test]
    fn errors_name_the_file_and_the_node() {
        let file = "default.project.json";
        refused("1", &format!("{file}: tree: not a JSON object"));
        refused(r#"{"$className": 1}"#, &format!("{file}: tree: $className is not a text"));
        refused(r#"{"$className": "Folder", "A": true}"#, &format!("{file}: tree.A: not a JSON object"));
        refused(
            r#"{"$className": "DataModel", "Workspace": {"A": {}}}"#,
            &format!("{file}: tree.Workspace.A: has neither $className nor $path"),
        );
        refused(r#"{"$pth": "src"}"#, &format!("{file}: tree: has neither $className nor $path"));
        refused(r#"{"$className": "Folder", "$pth": "src"}"#, &format!("{file}: tree: unknown key '$pth'"));
        refused(r#"{"$path": 1}"#, &format!("{file}: tree: $path is not a text"));
        refused(r#"{"$path": {"optional": 1}}"#, &format!("{file}: tree: $path has no text 'optional'"));
        refused(r#"{"$path": {"optional": "x"}}"#, &format!("{file}: tree: its optional $path does not exist"));
        refused(
            r#"{"$path": "A.luau", "$className": "Script"}"#,
            &format!("{file}: tree: its $className is Script, but its $path gives a ModuleScript"),
        );
        refused(
            r#"{"$className": "Folder", "$properties": []}"#,
            &format!("{file}: tree: $properties is not a JSON object"),
        );
        refused(
            r#"{"$path": "A.luau", "$properties": {"Disabled": "yes"}}"#,
            &format!("{file}: tree: Disabled is neither true nor false"),
        );
        refused(
            r#"{"$className": "Folder", "A": {"$path": "nowhere"}}"#,
            &format!("{file}: tree.A: $path: nowhere: No such file or directory (os error 2)"),
        );
        refused(
            r#"{"$className": "Folder", "A": {"$className": "DataModel"}}"#,
            &format!("{file}: a project of class DataModel cannot be a part of another tree"),
        );
    }

    #[test]
    fn bad_files_are_refused() {
        let disk = Disk::with(&[]);
        let check = |content: &[u8], expected: &str| {
            disk.write("default.project.json", content);
            let text = disk.refused(".").1;
            assert!(text.starts_with(&format!("./default.project.json: {expected}")), "{text}");
        };
        check(b"", "EOF while parsing a value at line 1 column 0");
        check(b"{\"tree\": ", "EOF while parsing a value");
        check(b"[]", "project: not a JSON object");
        check(b"{}", "project: no 'tree'");
        check(b"{\"name\": 1, \"tree\": {}}", "project: name is not a text");
        check(b"\xff", "not UTF-8");
        check("{\"tree\":".repeat(200).as_bytes(), "recursion limit exceeded");
        check(format!("{}{}", r#"{"tree":{"#, r#""a":{"#.repeat(100_000)).as_bytes(), "recursion limit exceeded");
    }

    #[test]
    fn projects_that_contain_each_other_end() {
        let disk = Disk::with(&[]);
        disk.write("a/default.project.json", r#"{"tree": {"$className": "Folder", "B": {"$path": "../b"}}}"#);
        disk.write("b/default.project.json", r#"{"tree": {"$className": "Folder", "A": {"$path": "../a"}}}"#);
        let (_, text) = disk.refused("a");
        assert!(text.ends_with("a: contains itself"), "{text}");
        assert!(text.contains("tree.B") && text.contains("tree.A"), "{text}");
        disk.write("c/default.project.json", r#"{"tree": {"$path": "."}}"#);
        assert!(disk.refused("c/default.project.json").1.ends_with(": contains itself"));
        assert!(disk.refused("c").1.ends_with(": contains itself"));
    }

    #[test]
    fn the_same_library_twice_is_no_cycle() {
        let tree = r#"{"$className": "Folder", "A": {"$path": "lib"}, "B": {"$path": "lib"}}"#;
        let disk = Disk::with_tree(tree, &["lib/init.luau"]);
        check(
            &disk.load("."),
            "
            Test Folder
              A ModuleScript [lib/init.luau]
              B ModuleScript [lib/init.luau]
        ",
        );
    }

    #[test]
    fn a_place_inside_a_folder_is_refused() {
        let disk = Disk::with(&["src/A.luau"]);
        disk.write("src/place/default.project.json", r#"{"tree": {"$className": "DataModel"}}"#);
        let (error, text) = disk.refused("src");
        assert!(matches!(error, ProjectError::PlaceInside { .. }), "{error:?}");
        assert!(text.starts_with("src/place: "), "{text}");
    }
}

mod mounts {
    use super::*;

    #[test]
    fn parents_that_are_missing_are_made() {
        let disk = Disk::with(&["lib/init.luau", "lib/Child.luau", "Main.server.luau"]);
        let mut game = project::empty_game();
        project::mount(&mut game, "ServerScriptService.Vendor.Deep.ProfileStore", disk.path("lib")).unwrap();
        project::mount(&mut game, "game.ServerScriptService.Main", disk.path("Main.server.luau")).unwrap();
        check(
            &show(&game),
            "
            game DataModel
              ServerScriptService ServerScriptService
                Main Script [Main.server.luau]
                Vendor Folder
                  Deep Folder
                    ProfileStore ModuleScript [lib/init.luau]
                      Child ModuleScript [lib/Child.luau]
        ",
        );
    }

    #[test]
    fn a_project_is_mounted_under_the_places_name() {
        let disk = Disk::with_tree(r#"{"$path": "src"}"#, &["src/init.luau"]);
        let mut game = project::empty_game();
        project::mount(&mut game, "ReplicatedStorage.Lib", disk.path(".")).unwrap();
        check(
            &show(&game),
            "
            game DataModel
              ReplicatedStorage ReplicatedStorage
                Lib ModuleScript [src/init.luau]
        ",
        );
    }

    #[test]
    fn a_folder_is_merged_into_what_is_there() {
        let tree = r#"{"$className": "DataModel", "ServerScriptService": {"Z": {"$path": "Z.luau"}}}"#;
        let disk = Disk::with_tree(tree, &["Z.luau", "more/A.luau", "more/B.luau"]);
        let mut game = project::load(disk.path(".")).unwrap();
        project::mount(&mut game, "ServerScriptService", disk.path("more")).unwrap();
        project::mount(&mut game, "ServerStorage", disk.path("more")).unwrap();
        project::mount(&mut game, "ServerScriptService.Z", disk.path("more")).unwrap();
        check(
            &show(&game),
            "
            Test DataModel
              ServerScriptService ServerScriptService
                A ModuleScript [more/A.luau]
                B ModuleScript [more/B.luau]
                Z ModuleScript [Z.luau]
                  A ModuleScript [more/A.luau]
                  B ModuleScript [more/B.luau]
              ServerStorage ServerStorage
                A ModuleScript [more/A.luau]
                B ModuleScript [more/B.luau]
        ",
        );
    }

    #[test]
    fn places_that_cannot_be_mounted_at() {
        let disk = Disk::with(&["lib/A.luau", "Main.server.luau"]);
        disk.write("place/default.project.json", r#"{"tree": {"$className": "DataModel"}}"#);
        let refused = |place: &str, path: &str| {
            let mut game = project::empty_game();
            project::mount(&mut game, "ServerStorage.Taken", disk.path("lib/A.luau")).unwrap();
            project::mount(&mut game, place, disk.path(path)).unwrap_err()
        };
        for place in ["", ".", "A..B", "game.", "A.", ".A"] {
            assert_eq!(refused(place, "lib").to_string(), format!("cannot mount at '{place}': an empty name"));
        }
        for place in ["ServerStorage.Taken", "ServerScriptService"] {
            assert!(matches!(refused(place, "Main.server.luau"), ProjectError::Mount { .. }), "{place}");
        }
        assert!(matches!(refused("ServerStorage.Place", "place"), ProjectError::PlaceInside { .. }));
        assert!(matches!(refused("ServerStorage.X", "nowhere"), ProjectError::Read { .. }));
        let mut library = project::load(disk.path("lib")).unwrap();
        assert!(matches!(project::mount(&mut library, "A.B", disk.path("lib")), Err(ProjectError::Mount { .. })));
    }
}
