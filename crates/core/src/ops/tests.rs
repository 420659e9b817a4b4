//! Each call on each kind of entry.

use super::*;
use crate::value::Value;

const AT: Timestamp = Timestamp::from_unix_ms(1_000);

fn stored(json: &str) -> Arc<Entry> {
    let attributes = Attributes { user_ids: vec![7], metadata: r#"{"a":1}"#.into() };
    Arc::new(Entry::default().successor(Value::new(json.to_owned()).ok(), attributes, AT))
}

fn json(entry: &Entry) -> Option<String> {
    entry.value.as_ref().map(|v| String::from_utf8_lossy(v.json()).into_owned())
}

fn write(request: &Request, head: &Arc<Entry>) -> (Arc<Entry>, Reply) {
    match request.apply(StoreKind::Standard, head, AT).expect("accepted") {
        Applied::Write { entry, reply } => (entry, reply),
        Applied::Reply(reply) => panic!("no write, but {reply:?}"),
    }
}

fn increment(delta: i64) -> Request {
    Request::Increment(Increment { delta, attributes: Attributes::default() })
}

fn set(value: &str) -> Set {
    Set { value: Value::new(value.to_owned()).expect("short"), attributes: Attributes::default() }
}

#[test]
fn set_overwrites_and_clears_attributes() {
    let (entry, reply) = write(&Request::Set(set("[2]")), &stored("[1]"));
    assert_eq!((entry.revision, json(&entry)), (2, Some("[2]".into())));
    assert_eq!(entry.attributes, Attributes::default());
    assert_eq!(reply, Reply::Entry(entry));
}

#[test]
fn increment_counts_from_nothing_and_refuses_text() {
    let (entry, _) = write(&increment(5), &Arc::default());
    assert_eq!(json(&entry), Some("5".into()));
    let (entry, _) = write(&increment(-7), &entry);
    assert_eq!(json(&entry), Some("-2".into()));
    for bad in ["\"5\"", "1.5", "[]", "true"] {
        let error = increment(1).apply(StoreKind::Standard, &stored(bad), AT).expect_err(bad);
        assert!(error.text.contains("Error code: 24 Reason: Key value is not numeric."), "{}", error.text);
    }
}

#[test]
fn increment_stays_within_exact_integers() {
    let top = stored(&INTEGER_TOP.to_string());
    assert!(increment(1).apply(StoreKind::Standard, &top, AT).is_err());
    assert_eq!(json(&write(&increment(0), &top).0), Some(INTEGER_TOP.to_string()));
    assert!(
        increment(i64::MIN).validate(StoreKind::Standard).is_err()
            && increment(i64::MAX).validate(StoreKind::Standard).is_err()
    );
    assert!(increment(-INTEGER_TOP).validate(StoreKind::Standard).is_ok());
}
const INTEGER_TOP: i64 = crate::limits::INTEGER_MAX;

#[test]
fn increments_of_ordered_stores_are_exact_over_int64() {
    let add = |delta, head: &Arc<Entry>| match increment(delta).apply(StoreKind::Ordered, head, AT) {
        Ok(Applied::Write { entry, .. }) => Ok(entry),
        Ok(other) => panic!("no write, but {other:?}"),
        Err(error) => Err(error.text.into_string()),
    };
    let past_doubles = add(1, &stored(&INTEGER_TOP.to_string())).expect("in range");
    assert_eq!(json(&past_doubles), Some("9007199254740993".into()));
    let top = add(i64::MAX - INTEGER_TOP - 1, &past_doubles).expect("in range");
    assert_eq!(json(&top), Some(i64::MAX.to_string()));
    assert!(add(1, &top).expect_err("leaves int64").ends_with("(not applied)"));
    assert!(add(1, &stored("[]")).expect_err("no number").contains("Error code: 24"));
    assert_eq!(increment(i64::MAX).validate(StoreKind::Ordered), Ok(()));
}

#[test]
fn ordered_stores_take_numbers_and_scores_alone() {
    let set = |json: &str, user_ids: Vec<i64>| Set {
        attributes: Attributes { user_ids, metadata: Default::default() },
        ..set(json)
    };
    let codes = [set("1", vec![]), set(r#"{"score":1.5}"#, vec![]), set("[1]", vec![]), set("1", vec![7])].map(|set| {
        let update = Update { base: None, result: Some(set.clone()) };
        let codes = [Request::Set(set), Request::Update(update)]
            .map(|request| request.validate(StoreKind::Ordered).map_err(|error| error.code.number()));
        assert_eq!(codes[0], codes[1]);
        codes[0]
    });
    assert_eq!(codes, [Ok(()), Ok(()), Err(Some(103)), Err(Some(517))]);
}

#[test]
fn remove_returns_what_was_there_and_writes_only_then() {
    let there = stored("1");
    let (entry, reply) = write(&Request::Remove, &there);
    assert_eq!((entry.revision, json(&entry), entry.created), (2, None, there.created));
    assert_eq!(reply, Reply::Entry(there));
    assert_eq!(Request::Remove.apply(StoreKind::Standard, &entry, AT), Ok(Applied::Reply(Reply::Entry(entry))));
    assert_eq!(
        Request::Remove.apply(StoreKind::Standard, &Arc::default(), AT),
        Ok(Applied::Reply(Reply::Entry(Arc::default())))
    );
}

#[test]
fn update_writes_or_cancels() {
    let update = Request::Update(Update { base: None, result: Some(set("3")) });
    assert_eq!(json(&write(&update, &stored("1")).0), Some("3".into()));
    assert_eq!(
        Request::Update(Update::NOT_RUN).apply(StoreKind::Standard, &stored("1"), AT),
        Ok(Applied::Reply(Reply::Cancelled))
    );
}

#[test]
fn attributes_at_the_limit_and_beyond() {
    let check = |ids: usize, bytes: usize| {
        let attributes = Attributes { user_ids: vec![1; ids], metadata: vec![b' '; bytes].into() };
        Request::Set(Set { attributes, ..set("1") }).validate(StoreKind::Standard).map_err(|e| e.code)
    };
    assert_eq!(check(4, 300), Ok(()));
    assert_eq!(check(5, 300), Err(ErrorCode::UserIdLimitExceeded));
    assert_eq!(check(4, 301), Err(ErrorCode::AttributeSizeTooLarge));
}

#[test]
fn the_newest_version_is_erased_and_others_are_left_to_where_they_are_kept() {
    let head = stored("[1]");
    let (entry, reply) = write(&Request::RemoveVersion(head.version()), &head);
    assert_eq!((entry.revision, json(&entry), entry.attributes.clone()), (2, None, Attributes::default()));
    assert_eq!(reply, Reply::Nothing);
    let older = VersionId { revision: 0, ..head.version() };
    let leaves = |id, head: &Arc<Entry>| {
        Request::RemoveVersion(id).apply(StoreKind::Standard, head, AT) == Ok(Applied::Reply(Reply::Nothing))
    };
    assert!(leaves(older, &head));
    assert!(leaves(VersionId { updated: AT.next(), ..head.version() }, &head), "another key's history");
    assert!(leaves(entry.version(), &entry), "a tombstone holds nothing that could be erased");
}

#[test]
fn a_call_brings_along_its_value_and_its_metadata() {
    let attributes = Attributes { user_ids: Vec::new(), metadata: r#"{"a":1}"#.into() };
    let set = Set { attributes: attributes.clone(), ..set("[12]") };
    let increment = Request::Increment(Increment { delta: 1, attributes });
    let updated = Request::Update(Update { result: Some(set.clone()), ..Update::NOT_RUN });
    assert_eq!(
        [Request::Set(set), updated, increment, Request::Remove].map(|call| call.payload_bytes()),
        [11, 11, 7, 0]
    );
}
