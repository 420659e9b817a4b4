//! Scores of values, and pages against a plain sort.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::entry_key::{GameId, StoreId, StoreKind};

fn value(json: &str) -> Value {
    Value::new(json.to_owned()).expect("short")
}

#[test]
fn a_score_is_a_number_or_a_field_of_a_table() {
    let read = |json: &str| score(&value(json)).map_err(|error| error.text.into_string());
    for (json, expected) in
        [("5", 5.0), ("-0.25", -0.25), (r#"{"name":"Ada","score":12.5}"#, 12.5), (r#"{"score":0}"#, 0.0)]
    {
        assert_eq!(read(json), Ok(expected), "{json}");
    }
    let no_score = "103: A table without a numeric score is not allowed in ordered data stores.";
    for json in ["{}", r#"{"score":null}"#, r#"{"score":"A+"}"#, r#"{"score":{"m":null,"t":"numeric","v":"nan"}}"#] {
        assert_eq!(read(json), Err(no_score.to_owned()), "{json}");
    }
    assert_eq!(read("[1]"), Err("103: Array is not allowed in data stores.".to_owned()));
    assert_eq!(read(r#""5""#), Err("103: string is not allowed in data stores.".to_owned()));
    assert!(read(r#"{"score":1e300}"#).expect_err("too great").starts_with("502"));
}

#[test]
fn backends_sort_by_the_whole_number_below() {
    let read = |json: &str| floor(&value(json)).ok();
    for (json, expected) in
        [("1.5", 1), ("-1.5", -2), (r#"{"score":-0.1}"#, -1), ("9007199254740993", 9_007_199_254_740_993)]
    {
        assert_eq!(read(json), Some(expected), "{json}");
    }
}

fn item(key: usize, quarters: i64) -> SortedItem {
    let value = value(&format!(r#"{{"score":{}}}"#, as_score(quarters) / 4.0));
    SortedItem { key: format!("k{key:03}").into(), number: floor(&value).expect("a score"), value }
}

/// What a backend would answer.
fn ask(stored: &[SortedItem], query: &SortedQuery) -> Vec<SortedItem> {
    let mut items: Vec<_> =
        stored.iter().filter(|item| (query.min..=query.max).contains(&item.number)).cloned().collect();
    items.sort_by(|a, b| (a.number, &a.key).cmp(&(b.number, &b.key)));
    if !query.ascending {
        items.reverse();
    }
    let place = |item: &SortedItem| (item.number, item.key.clone());
    let first = query.after.as_ref().map_or(0, |after| {
        items
            .iter()
            .position(|item| if query.ascending { place(item) > *after } else { place(item) < *after })
            .unwrap_or(items.len())
    });
    items.split_off(first).into_iter().take(query.limit).collect()
}

fn page(stored: &[SortedItem], query: &SortedQuery, after: Option<SortedItem>) -> Vec<SortedItem> {
    let mut page = ScorePage::new(query.clone(), after);
    while let Some(question) = page.question() {
        page.take(ask(stored, &question));
    }
    page.into_items()
}

proptest! {
    /// Many entries share few whole numbers, so that groups end before, at and behind what one question returns.
    #[test]
    fn pages_are_in_the_exact_order(
        scores in prop::collection::vec(-9_i64..9, 0..400),
        ascending in any::<bool>(),
        limit in 1_usize..150,
        (low, high) in (-3_i64..1, 0_i64..3),
    ) {
        let stored: Vec<_> = scores.iter().enumerate().map(|(key, quarters)| item(key, *quarters)).collect();
        let store = Arc::new(StoreId::new(GameId::Number(1), StoreKind::Ordered, b"Top", b"global").expect("legal"));
        let query = SortedQuery { store, ascending, min: low, max: high, after: None, limit };
        let mut expected: Vec<_> =
            stored.iter().filter(|item| (as_score(low)..=as_score(high)).contains(&exact(item))).cloned().collect();
        expected.sort_by(|a, b| order(true, a, b));
        if !ascending {
            expected.reverse();
        }
        let (mut all, mut last) = (Vec::new(), None);
        loop {
            let items = page(&stored, &query, last.take());
            prop_assert!(items.len() <= limit);
            let Some(end) = items.last() else { break };
            last = Some(end.clone());
            all.extend(items);
        }
        prop_assert_eq!(all, expected);
    }
}
