//! `types.d.luau` says what there is: each declared member is there, each member that is there is declared, and the types are
//! legal Luau of known names.
#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

#[path = "support/host.rs"]
mod host;
#[path = "support/place.rs"]
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use host::{Host, Kind, Store};
use mlua::{Function, Lua};
use place::Place;

const TYPES: &str = include_str!("../types.d.luau");

/// A declared class.
#[derive(Debug, Default)]
struct Class {
    base: Option<String>,
    /// Names with their types: a function's without its `self`.
    members: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Declarations {
    aliases: Vec<String>,
    classes: BTreeMap<String, Class>,
}

/// The file is simple: one declaration or member a line.
fn parse(text: &str) -> Declarations {
    let mut found = Declarations::default();
    let mut open = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--")) {
        if let Some(declared) = line.strip_prefix("declare class ") {
            let (name, base) =
                declared.split_once(" extends ").map_or((declared, None), |(name, base)| (name, Some(base)));
            let class = Class { base: base.map(str::to_owned), members: BTreeMap::new() };
            assert!(found.classes.insert(name.to_owned(), class).is_none(), "{name} is declared twice");
            open = Some(name.to_owned());
        } else if line == "end" {
            open = None;
        } else if let Some(name) = &open {
            let (member, of_type) = member(line);
            let class = found.classes.get_mut(name).unwrap();
            assert!(class.members.insert(member, of_type).is_none(), "{name} has it twice: {line}");
        } else {
            assert!(line.starts_with("type "), "neither in a class nor a type: {line}");
            found.aliases.push(line.to_owned());
        }
    }
    assert!(open.is_none(), "{open:?} does not end");
    found
}

fn member(line: &str) -> (String, String) {
    let Some(function) = line.strip_prefix("function ") else {
        let (name, of_type) = line.split_once(": ").unwrap();
        return (name.to_owned(), of_type.to_owned());
    };
    let (name, rest) = function.split_once("(self").unwrap_or_else(|| panic!("no method: {line}"));
    let parameters = rest.strip_prefix(", ").unwrap_or(rest);
    // The parameters end where their parenthesis does.
    let mut depth = 1;
    let end = parameters.find(|letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        depth == 0
    });
    let (parameters, result) = parameters.split_at(end.unwrap_or_else(|| panic!("no end: {line}")));
    let result = result.strip_prefix("): ").unwrap_or_else(|| panic!("no result: {line}"));
    (name.to_owned(), format!("({parameters}) -> {result}"))
}

impl Declarations {
    /// A member of a class or of what it extends.
    fn has(&self, class: &str, member: &str) -> bool {
        let declared = &self.classes[class];
        declared.members.contains_key(member) || declared.base.as_ref().is_some_and(|base| self.has(base, member))
    }
}

/// Puts an object of each class into the global table `objects`.
const OBJECTS: &str = r#"
    local stores, memory = DataStoreService, MemoryStoreService
    local s, scores = store("Types"), stores:GetOrderedDataStore("Types")
    s:SetAsync("k", 1)
    scores:SetAsync("k", 1)
    local map = memory:GetHashMap("Map")
    map:SetAsync("k", 1, 60)
    local versions, keys, listing = s:ListVersionsAsync("k"), s:ListKeysAsync(), stores:ListDataStoresAsync()
    local connection = MessagingService:SubscribeAsync("t", print)
    connection:Disconnect()
    objects = {
        DataStoreService = stores, DataStore = s, OrderedDataStore = scores, DataStoreOptions = DataStoreOptions(),
        DataStoreGetOptions = DataStoreGetOptions(), DataStoreSetOptions = DataStoreSetOptions(),
        DataStoreIncrementOptions = DataStoreIncrementOptions(), DataStoreKeyInfo = select(2, s:GetAsync("k")),
        DataStoreListingPages = listing, DataStoreInfo = listing:GetCurrentPage()[1],
        DataStoreKeyPages = keys, DataStoreKey = keys:GetCurrentPage()[1],
        DataStoreVersionPages = versions, DataStoreObjectVersionInfo = versions:GetCurrentPage()[1],
        DataStorePages = scores:GetSortedAsync(true, 1), MemoryStoreService = memory,
        MemoryStoreSortedMap = memory:GetSortedMap("Map"), MemoryStoreQueue = memory:GetQueue("Queue"),
        MemoryStoreHashMap = map, MemoryStoreHashMapPages = map:ListItemsAsync(1),
        MessagingService = MessagingService, RBXScriptConnection = connection,
        EnumSortDirection = directions, EnumDataStoreRequestType = requestTypes, EnumItem = directions.Ascending,
    }
    function has(class, member)
        return (pcall(function() return objects[class][member] end))
    end
"#;

/// All texts in quotes in the sources that could be names of members.
fn names_in_sources() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for folder in ["classes", "methods"] {
        for file in fs::read_dir(source.join(folder)).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let quoted = text.split('"').filter(|word| !word.is_empty());
            names.extend(quoted.filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic())).map(str::to_owned));
        }
    }
    names
}

#[test]
fn members_are_declared_and_declared_members_are_there() {
    let declared = parse(TYPES);
    let store = Store::on(&Place::memory());
    let host = Host::new(&store.game(1), Kind::Scheduler);
    let globals = host.lua.globals();
    globals.set("MemoryStoreService", host.bindings.service("MemoryStoreService").unwrap()).unwrap();
    globals.set("directions", host.bindings.enumeration("SortDirection").unwrap()).unwrap();
    globals.set("requestTypes", host.bindings.enumeration("DataStoreRequestType").unwrap()).unwrap();
    host.start("objects", OBJECTS);
    host.run();
    let has: Function = globals.get("has").unwrap();
    let objects: mlua::Table = globals.get("objects").unwrap();
    let mut names = names_in_sources();
    assert!(names.contains("GetSortedAsync") && names.contains("IsFinished"), "{names:?}");
    names.extend(declared.classes.values().flat_map(|class| class.members.keys().cloned()));
    let mut wrong = Vec::new();
    for class in declared.classes.keys().filter(|class| objects.contains_key(class.as_str()).unwrap()) {
        for name in &names {
            let is_there: bool = has.call((class.as_str(), name.as_str())).unwrap();
            if is_there != declared.has(class, name) {
                wrong.push(format!(
                    "{class}.{name} is {}",
                    if is_there { "not declared" } else { "declared and not there" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Those of which no script has an object, because all objects are of a class that extends them.
    let others: Vec<_> =
        declared.classes.keys().filter(|class| !objects.contains_key(class.as_str()).unwrap()).collect();
    assert_eq!(others, ["Enum", "GlobalDataStore", "Instance", "Pages"]);
    for pair in objects.pairs::<String, mlua::Value>() {
        let (class, _) = pair.unwrap();
        assert!(declared.classes.contains_key(&class), "{class} is not declared");
    }
}

#[test]
fn types_are_legal_and_known() {
    let declared = parse(TYPES);
    let mut source = String::new();
    for alias in &declared.aliases {
        source.push_str(&format!("{alias}\n"));
    }
    for (name, class) in &declared.classes {
        let base = class.base.as_ref().map_or_else(String::new, |base| format!("{base} & "));
        let members: Vec<_> = class.members.iter().map(|(name, of_type)| format!("{name}: {of_type}")).collect();
        source.push_str(&format!("type {name} = {base}{{ {} }}\n", members.join(", ")));
    }
    Lua::new().load(&source).into_function().unwrap_or_else(|error| panic!("{error}\n{source}"));
    let mut known: BTreeSet<_> = ["any", "boolean", "number", "string"].into_iter().collect();
    known.extend(declared.classes.keys().map(String::as_str));
    known.extend(declared.aliases.iter().filter_map(|alias| alias.split_whitespace().nth(1)));
    let types = declared.classes.values().flat_map(|class| class.members.values().chain(&class.base));
    let bodies = declared.aliases.iter().filter_map(|alias| alias.split_once(" = ")).map(|(_, body)| body);
    for of_type in types.map(String::as_str).chain(bodies) {
        // A word before a colon names a parameter or a field.
        let words = of_type.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric() && letter != '?');
        for word in words.filter(|word| !word.ends_with(':')) {
            let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
            assert!(word.is_empty() || known.contains(word), "`{word}` is not known, in {of_type}");
        }
    }
}
