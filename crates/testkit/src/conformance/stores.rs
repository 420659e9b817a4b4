//! Stores of a game are listed by name, with the times of their writes.

use std::sync::Arc;
use std::time::Duration;

use clawstore_core::backend::{BEHIND_ANY_NAME, Kept, Previous, StoreInfo, StoresQuery};
use clawstore_core::{GameId, StoreId, StoreKind};

use super::{Subject, at, first, json, key_in, next, row, store, store_of};

fn all() -> StoresQuery {
    let (after, before) = ("".into(), BEHIND_ANY_NAME.into());
    StoresQuery { game: GameId::Number(1), after, before, kept: Kept::default(), limit: 100 }
}

async fn infos(subject: &Subject, query: StoresQuery) -> Vec<StoreInfo> {
    subject.backend.list_game_stores(query).await.expect("a list")
}

async fn names(subject: &Subject, query: StoresQuery) -> String {
    infos(subject, query).await.iter().map(|store| &*store.name).collect::<Vec<_>>().join(" ")
}

async fn write(subject: &mut Subject, stores: &[Arc<StoreId>]) {
    subject.commit(stores.iter().map(|store| row(&key_in(store, "k"), 0, &first("1"))).collect()).await;
}

/// In byte order, each once whatever the number of its scopes; of the game alone, and standard ones alone.
pub async fn game_stores_are_listed_by_name(mut subject: Subject) {
    assert_eq!(names(&subject, all()).await, "");
    let game = GameId::Number(1);
    let stores = [
        store("b", "global"),
        store("a", "global"),
        store("a", "other"),
        store("B", "global"),
        store("é", "global"),
        store_of(game, StoreKind::Ordered, "ordered", "global"),
        store_of(GameId::Number(2), StoreKind::Standard, "theirs", "global"),
        Arc::new(StoreId::global(game)),
    ];
    write(&mut subject, &stores).await;
    assert_eq!(names(&subject, all()).await, "B a b é", "the global store has no name to stand behind the bound");
    assert_eq!(names(&subject, StoresQuery { game: GameId::Number(2), ..all() }).await, "theirs");
    assert_eq!(names(&subject, StoresQuery { game: GameId::Number(3), ..all() }).await, "");
}

/// Neither bound is included, nor has it to exist.
pub async fn game_stores_are_listed_between_bounds(mut subject: Subject) {
    write(&mut subject, &["a", "b", "ba", "bb", "c"].map(|name| store(name, "global"))).await;
    let between =
        |after: &str, before: &str, limit| StoresQuery { after: after.into(), before: before.into(), limit, ..all() };
    assert_eq!(names(&subject, between("a", "c", 100)).await, "b ba bb");
    assert_eq!(names(&subject, between("aa", "bab", 100)).await, "b ba");
    assert_eq!(names(&subject, between("b", BEHIND_ANY_NAME, 2)).await, "ba bb");
    assert_eq!(names(&subject, between("c", BEHIND_ANY_NAME, 2)).await, "");
    assert_eq!(names(&subject, between("c", "a", 2)).await, "");
    assert_eq!(names(&subject, between("", "z", 0)).await, "");
    assert_eq!(names(&subject, between("", "z", usize::MAX)).await, "a b ba bb c");
}

/// A removed key makes it one that holds something, for as long as its tombstone is kept.
pub async fn an_empty_store_is_not_listed(mut subject: Subject) {
    let (removed, live) = (key_in(&store("Removed", "s"), "k"), key_in(&store("Zzz", "global"), "k"));
    let written = subject.write_new(&removed, "1").await;
    subject.write_new(&live, "1").await;
    let tombstone = subject.write_next(&removed, &written, None, Previous::Overwritten).await;
    let since = |tombstones_since| StoresQuery { kept: Kept { tombstones_since, ..Kept::default() }, ..all() };
    assert_eq!(names(&subject, since(tombstone.updated)).await, "Removed Zzz");
    assert_eq!(names(&subject, since(tombstone.updated.next())).await, "Zzz");
    assert_eq!(names(&subject, StoresQuery { limit: 1, ..since(tombstone.updated.next()) }).await, "Zzz");
}

/// Since its first write, in any scope; until its last, or a minute before it at most.
pub async fn a_store_tells_when_it_was_written(mut subject: Subject) {
    let keys = ["one", "two"].map(|scope| key_in(&store("Coins", scope), "k"));
    let first = subject.write_new(&keys[0], "1").await;
    subject.write_new(&key_in(&store("Other", "global"), "k"), "1").await;
    let mut newest = first.clone();
    for minutes in [0, 1, 2, 10] {
        newest = newest.successor(json("2"), newest.attributes.clone(), at(5_000 + minutes * 60_000));
        subject.commit(vec![row(&keys[0], newest.revision - 1, &newest)]).await;
        let listed = infos(&subject, all()).await;
        assert_eq!(listed.iter().map(|store| &*store.name).collect::<Vec<_>>(), ["Coins", "Other"]);
        assert_eq!(listed[0].created, first.updated);
        let behind = listed[0].updated.later(Duration::from_secs(60));
        assert!(listed[0].updated <= newest.updated && newest.updated <= behind, "{listed:?}, {newest:?}");
        assert_eq!((listed[1].created, listed[1].updated), (first.updated, first.updated));
    }
    // A scope that is written to later does not make it younger; a removal is a write.
    let late = next(&newest, json("3"));
    let late = clawstore_core::Entry { revision: 1, created: late.updated, ..late };
    subject.commit(vec![row(&keys[1], 0, &late)]).await;
    let tombstone = late.successor(None, late.attributes.clone(), at(20 * 60_000));
    subject.commit(vec![row(&keys[1], 1, &tombstone)]).await;
    let coins = infos(&subject, all()).await.remove(0);
    assert_eq!(coins.created, first.updated);
    assert!(coins.updated <= tombstone.updated && tombstone.updated <= coins.updated.later(Duration::from_secs(60)));
}
