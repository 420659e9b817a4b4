//! Pages against a plain filter of everything, over all prefixes and sizes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::entry_key::StoreKind;

/// What a backend does.
fn answer(stored: &BTreeMap<(String, String), bool>, range: &KeyRange) -> Vec<KeyItem> {
    let item = |((scope, key), is_deleted): (&(String, String), &bool)| {
        let place = KeyPlace { scope: scope.as_str().into(), key: key.as_str().into() };
        KeyItem { place, is_deleted: *is_deleted }
    };
    let items = stored.iter().map(item).filter(|item| range.after < item.place && item.place < range.before);
    items.take(range.limit).collect()
}

fn name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "/", "\u{1}", "\u{d7ff}", "\u{e000}", "\u{10ffff}", "ab"]);
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.concat())
}

fn store(scope: &str) -> Arc<StoreId> {
    Arc::new(StoreId::new(GameId::Number(1), StoreKind::Standard, b"Coins", scope.as_bytes()).expect("legal"))
}

/// Turns pages to the end, through cursors.
fn all(stored: &BTreeMap<(String, String), bool>, mut list: KeyList) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for _ in 0..1_000 {
        let mut page = KeyPage::new(list.clone(), Kept::default());
        while let Some(range) = page.question() {
            page.take(answer(stored, &range));
        }
        let page = page.into_page();
        assert!(page.items.len() <= list.size);
        found.extend(page.items.iter().map(|item| (item.place.scope.to_string(), item.place.key.to_string())));
        let Some(next) = page.next else { return found };
        assert!(list.exclude_deleted || page.items.len() == list.size, "a page is full unless it is the last");
        let cursor = list.cursor(&next);
        list.go_on(cursor.as_bytes()).expect("its own");
    }
    panic!("the list does not end");
}

proptest! {
    #[test]
    fn pages_hold_what_begins_with_the_prefix_once_and_in_order(
        keys in prop::collection::btree_map((name(), name()), any::<bool>(), 0..24),
        prefix in prop_oneof![Just(String::new()), name()],
        size in 1..5usize,
        all_scopes: bool,
        exclude_deleted: bool,
    ) {
        let scope = keys.keys().next().map_or("a", |(scope, _)| scope);
        let is_listed = |(at, key): &(String, String)| {
            if all_scopes { format!("{at}/{key}").starts_with(&prefix) } else { at == scope && key.starts_with(&prefix) }
        };
        let live = keys.iter().filter(|(key, is_deleted)| is_listed(key) && !(exclude_deleted && **is_deleted));
        let expected: Vec<_> = live.map(|(key, _)| key.clone()).collect();
        let list = KeyList {
            store: store(scope), all_scopes, prefix: prefix.as_str().into(), exclude_deleted, after: None, size,
        };
        prop_assert_eq!(all(&keys, list), expected);
    }
}

fn keys_of(deleted: impl Fn(usize) -> bool, count: usize) -> BTreeMap<(String, String), bool> {
    (0..count).map(|number| (("global".to_owned(), format!("k{number:04}")), deleted(number))).collect()
}

fn page(stored: &BTreeMap<(String, String), bool>, exclude_deleted: bool, size: usize) -> Page<KeyItem, KeyPlace> {
    let (store, prefix) = (store("global"), "".into());
    let list = KeyList { store, all_scopes: false, prefix, exclude_deleted, after: None, size };
    let mut page = KeyPage::new(list, Kept::default());
    while let Some(range) = page.question() {
        page.take(answer(stored, &range));
    }
    page.into_page()
}

#[test]
fn a_page_without_removed_keys_looks_at_512() {
    // Spec §2.10: an empty page that is not the last, and its cursor stands behind what was looked at.
    let stored = keys_of(|number| number < 600, 601);
    let first = page(&stored, true, 50);
    assert!(first.items.is_empty());
    assert_eq!(first.next.map(|next| next.key.to_string()).as_deref(), Some("k0511"));
    let few = keys_of(|_| true, 511);
    assert_eq!(page(&few, true, 50).next, None, "everything was looked at");
}

#[test]
fn it_looks_at_512_of_all_parts_together() {
    let keys = |scope: &'static str| (0..300).map(move |n| ((scope.to_owned(), format!("k{n:03}")), true));
    let stored: BTreeMap<_, _> = keys("g").chain(keys("g/h")).collect();
    let (store, prefix) = (store("g"), "g/".into());
    let list = KeyList { store, all_scopes: true, prefix, exclude_deleted: true, after: None, size: 50 };
    let mut page = KeyPage::new(list, Kept::default());
    while let Some(range) = page.question() {
        page.take(answer(&stored, &range));
    }
    let next = page.into_page().next.map(|next| (next.scope.to_string(), next.key.to_string()));
    assert_eq!(next, Some(("g/h".to_owned(), "k211".to_owned())));
}

#[test]
fn a_full_last_page_is_the_last() {
    for exclude_deleted in [false, true] {
        let page = page(&keys_of(|_| false, 50), exclude_deleted, 50);
        assert_eq!((page.items.len(), page.next), (50, None));
    }
}

#[test]
fn stores_are_listed_by_prefix_and_in_pages() {
    let info = |name: &str| StoreInfo { name: name.into(), created: <_>::default(), updated: <_>::default() };
    let stored = ["", "A", "B", "B1", "B2", "C"].map(info);
    let mut list = StoreList { game: GameId::Number(1), prefix: "B".into(), after: None, size: 2 };
    let mut pages = Vec::new();
    loop {
        let query = list.question(Kept::default());
        let found = stored.iter().filter(|store| query.after < store.name && store.name < query.before);
        let page = list.page(found.take(query.limit).cloned().collect());
        pages.push(page.items.iter().map(|store| store.name.to_string()).collect::<Vec<_>>());
        let Some(next) = page.next else { break };
        list.go_on(list.cursor(&next).as_bytes()).expect("its own");
    }
    assert_eq!(pages, [vec!["B", "B1"], vec!["B2"]]);
    list.prefix = "".into();
    assert!(list.go_on(b"rubbish").is_err());
    let query = StoreList { after: None, ..list }.question(Kept::default());
    assert_eq!(&*query.after, "", "the global data store has no name");
}

#[test]
fn a_cursor_that_names_no_place_is_refused() {
    // Of the right query: only its place is wrong.
    let mut keys = KeyList {
        store: store("global"),
        all_scopes: false,
        prefix: "".into(),
        exclude_deleted: false,
        after: None,
        size: 1,
    };
    for place in ["", "global", "global\0k\0", "global\0a\0b"] {
        assert!(keys.go_on(keys.query().cursor(place).as_bytes()).is_err(), "{place:?}");
    }
    assert!(keys.go_on(keys.query().cursor("global\0k").as_bytes()).is_ok());
    let mut stores = StoreList { game: GameId::Number(1), prefix: "".into(), after: None, size: 1 };
    assert!(stores.go_on(stores.query().cursor("a\0").as_bytes()).is_err());
}
