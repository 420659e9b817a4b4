//! Random sequences: few stores, keys and values, so that calls meet.

use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{DAY, HOUR, SECOND, SLOTS};
use crate::op::{At, Call, CursorOf, Handle, Known, Op, Sequence};
use crate::samples::{Attributes, IDS, METADATA, SAMPLES, Value};

/// Of `length` operations at most. Some are about everything, the others mostly about one part, so that rare things meet.
pub(crate) fn sequences(length: usize) -> impl Strategy<Value = Sequence> {
    let of = |weights| prop::collection::vec(op(weights), 1..length).prop_map(Sequence);
    prop_oneof![
        3 => of(Weights { writes: 14, reads: 8, lists: 10, ordered: 6, operators: 6 }),
        2 => of(Weights { writes: 14, reads: 8, lists: 4, ordered: 1, operators: 12 }),
        1 => of(Weights { writes: 10, reads: 1, lists: 24, ordered: 1, operators: 1 }),
        1 => of(Weights { writes: 1, reads: 1, lists: 1, ordered: 40, operators: 2 }),
    ]
}

/// How often what comes.
#[derive(Clone, Copy)]
struct Weights {
    writes: u32,
    reads: u32,
    lists: u32,
    ordered: u32,
    operators: u32,
}

fn op(weights: Weights) -> impl Strategy<Value = Op> {
    let operators = prop_oneof![
        4 => Just(Op::Snapshot),
        4 => Just(Op::Sweep),
        3 => Just(Op::Restart),
        1 => any::<bool>().prop_map(|purge| Op::Delete { purge }),
    ];
    prop_oneof![
        weights.writes => on_standard(writes()),
        weights.reads => on_standard(reads()),
        weights.lists => on_standard(lists()),
        weights.ordered => on_ordered(),
        6 => (0..SLOTS).prop_map(Op::Turn),
        1 => select(WRONG).prop_map(|(source, error)| Op::Wrong(source, error)),
        6 => times().prop_map(Op::Pass),
        weights.operators => operators,
    ]
}

fn on_standard(calls: impl Strategy<Value = Call>) -> impl Strategy<Value = Op> {
    let handles = prop_oneof![
        8 => Just(Handle::Scoped("A", "global")),
        2 => select(&[
            Handle::Scoped("A", "s"), Handle::Scoped("A", "s/t"), Handle::Scoped("A", "a"), Handle::Scoped("B", "global"),
            Handle::Scoped("AB", "global"), Handle::Global,
        ][..]),
        2 => select(&[
            Handle::AllScopes("A", "global"), Handle::AllScopes("A", "s"), Handle::AllScopes("A", "s/t"),
            Handle::AllScopes("B", "global"),
        ][..]),
    ];
    let keys = prop_oneof![4 => Just("k"), 2 => select(&["l", "k/m", "t/k", "é"][..])];
    (handles, keys, calls, 0..SLOTS).prop_map(|(handle, key, call, slot)| Op::Call { handle, key, call, slot })
}

fn on_ordered() -> impl Strategy<Value = Op> {
    let handles = prop_oneof![4 => Just(Handle::Ordered("A", "global")), 1 => Just(Handle::Ordered("A", "s"))];
    let keys = select(&["k", "l", "m", "n"][..]);
    let bounds = || prop_oneof![2 => Just(None), 3 => (-3_i64..5).prop_map(Some)];
    let sorted = (any::<bool>(), sizes(), bounds(), bounds()).prop_map(|(ascending, size, a, b)| {
        let (min, max) = match (a, b) {
            (Some(a), Some(b)) => (a.min(b), a.max(b)),
            (a, b) => (a.unwrap_or(i64::MIN), b.unwrap_or(i64::MAX)),
        };
        Call::GetSorted { ascending, size, min, max }
    });
    let batch = prop::sample::subsequence(vec!["k", "l", "m", "n", "nobody"], 1..=5).prop_map(Call::BatchGet);
    let calls = prop_oneof![5 => writes(), 2 => gets(), 4 => sorted, 1 => batch];
    (handles, keys, calls, 0..SLOTS).prop_map(|(handle, key, call, slot)| {
        // One fault at a time: which of two is told is nobody's business.
        let fewer = |attributes: Attributes| {
            if attributes.has_no_options() { attributes } else { Attributes { ids: &IDS[0], ..attributes } }
        };
        let call = match call {
            Call::Set(value @ Value::Other(_), _) => Call::Set(value, Attributes::NONE),
            // Few numbers, so that some are equal.
            Call::Set(Value::Integer(number), _) if number.abs() < 10 => {
                Call::Set(Value::Integer(number.rem_euclid(3) - 1), Attributes::NONE)
            }
            Call::Set(value, attributes) => Call::Set(value, fewer(attributes)),
            Call::Update(Some((value @ Value::Other(_), _))) => Call::Update(Some((value, Attributes::NONE))),
            Call::Update(Some((value, attributes))) => Call::Update(Some((value, fewer(attributes)))),
            // Half of all numbers that there are: two of them are too many.
            Call::Increment(delta, _) if delta.abs() == 1 << 53 => Call::Increment(delta << 9, Attributes::NONE),
            Call::Increment(delta, attributes) => Call::Increment(delta, fewer(attributes)),
            other => other,
        };
        Op::Call { handle, key, call, slot }
    })
}

fn gets() -> impl Strategy<Value = Call> {
    any::<bool>().prop_map(|cached| Call::Get { cached })
}

fn reads() -> impl Strategy<Value = Call> {
    prop_oneof![
        2 => gets(),
        2 => known().prop_map(Call::GetVersion),
        3 => at().prop_map(Call::GetVersionAtTime),
    ]
}

fn writes() -> impl Strategy<Value = Call> {
    let written = || (values(), attributes());
    prop_oneof![
        6 => written().prop_map(|(value, attributes)| Call::Set(value, attributes)),
        2 => prop_oneof![3 => written().prop_map(Some), 1 => Just(None)].prop_map(Call::Update),
        3 => (deltas(), attributes()).prop_map(|(delta, attributes)| Call::Increment(delta, attributes)),
        3 => Just(Call::Remove),
    ]
}

fn lists() -> impl Strategy<Value = Call> {
    let bounds = || prop_oneof![3 => Just(None), 1 => at().prop_map(Some)];
    let cursors = || prop_oneof![6 => Just(CursorOf::None), 3 => (0..SLOTS).prop_map(CursorOf::Slot), 1 => Just(CursorOf::Garbage)];
    let versions = (any::<bool>(), bounds(), bounds(), sizes())
        .prop_map(|(descending, from, to, size)| Call::ListVersions { descending, from, to, size });
    let prefixes = select(&["", "", "", "k", "k/", "s/", "s/t", "s/t/", "g", "é", "x"][..]);
    let keys = (prefixes, sizes(), cursors(), any::<bool>())
        .prop_map(|(prefix, size, cursor, exclude_deleted)| Call::ListKeys { prefix, size, cursor, exclude_deleted });
    let stores = (select(&["", "", "A", "AB", "x"][..]), sizes(), cursors())
        .prop_map(|(prefix, size, cursor)| Call::ListDataStores { prefix, size, cursor });
    prop_oneof![
        4 => versions,
        4 => keys,
        1 => stores,
        2 => known().prop_map(Call::RemoveVersion),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-3_i64..6).prop_map(Value::Integer),
        1 => select(&[1 << 53, -(1 << 53), 1_000_000][..]).prop_map(Value::Integer),
        3 => (0..SAMPLES.len()).prop_map(|index| Value::Other(&SAMPLES[index])),
    ]
}

fn deltas() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -2_i64..4, 1 => select(&[1 << 53, -(1 << 53)][..])]
}

/// With one fault at most.
fn attributes() -> impl Strategy<Value = Attributes> {
    let good = (0..5_usize, 0..4_usize).prop_map(|(ids, metadata)| (ids, metadata));
    let bad =
        prop_oneof![(5..IDS.len()).prop_map(|ids| (ids, 0)), (4..METADATA.len()).prop_map(|metadata| (0, metadata))];
    let picked = prop_oneof![12 => Just((0, 0)), 6 => good, 1 => bad];
    picked.prop_map(|(ids, metadata)| Attributes { ids: &IDS[ids], metadata: &METADATA[metadata] })
}

fn known() -> impl Strategy<Value = Known> {
    prop_oneof![5 => (0..6_usize).prop_map(Known::OfKey), 1 => (0..10_usize).prop_map(Known::OfAnother)]
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![
        8 => (0..6_usize, -1_i64..2).prop_map(|(back, by)| At::Version(back, by)),
        1 => (-1_i64..2).prop_map(At::Now),
        1 => (599_999_i64..600_002).prop_map(At::Now),
        1 => select(&[0, -1, 1][..]).prop_map(At::Is),
    ]
}

fn sizes() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1_i64..4, 2 => Just(100), 1 => select(&[0, -1, 101, 2_000][..])]
}

/// From one tick to more than history is kept.
fn times() -> impl Strategy<Value = i64> {
    let ticks = |ticks: u64| i64::try_from(ticks).unwrap();
    let steps = vec![
        1,
        10_000,
        SECOND,
        4 * SECOND,
        5 * SECOND,
        60 * SECOND,
        HOUR - 1,
        HOUR,
        6 * HOUR,
        DAY,
        7 * DAY,
        7 * DAY + 1,
        23 * DAY,
        29 * DAY,
        30 * DAY,
        30 * DAY + 1,
        31 * DAY,
    ];
    let forward = select(steps).prop_map(ticks);
    let back = select(vec![SECOND, HOUR]).prop_map(move |back| -ticks(back));
    let seconds = (1..8_u64).prop_map(move |seconds| ticks(seconds * SECOND));
    prop_oneof![12 => forward, 4 => seconds, 1 => back]
}

/// Calls that are refused whatever is stored (spec §1.1, §3, §4, §5.2).
const WRONG: &[(&str, &str)] = &[
    (r#"ds("A"):GetAsync("")"#, "101: Key name can't be empty."),
    (r#"ds("A"):SetAsync(string.rep("k", 51), 1)"#, "102: Key name exceeds the 50 character limit."),
    (r#"ds("A"):SetAsync("k", nil)"#, "Argument 2 missing or nil"),
    (r#"ds("A"):GetAsync(nil)"#, "Argument 1 missing or nil"),
    (
        r#"ds("A"):SetAsync("k", print)"#,
        "104: Cannot store function in data store. Data stores can only accept valid UTF-8 characters.",
    ),
    (
        r#"ds("A"):SetAsync("k", { a = { print } })"#,
        "104: Cannot store Dictionary in data store. Data stores can only accept valid UTF-8 characters.",
    ),
    (
        r#"update(ds("A"), "k", { print })"#,
        "104: Cannot store Array in data store. Data stores can only accept valid UTF-8 characters.",
    ),
    (
        r#"ds("A"):SetAsync("k", "\xff")"#,
        "104: Cannot store string in data store. Data stores can only accept valid UTF-8 characters.",
    ),
    (r#"ods("A"):SetAsync("k", {})"#, "103: Array is not allowed in data stores."),
    (r#"ods("A"):GetSortedAsync(true, 0)"#, "106: PageSize must be within a predefined range."),
    (r#"ods("A"):GetSortedAsync(true, 101)"#, "106: PageSize must be within a predefined range."),
    (r#"ods("A"):GetSortedAsync(true, 10, 0.5)"#, "106: MinValue must be an integer."),
    (r#"ods("A"):GetSortedAsync(true, 10, 1, "x")"#, "106: MaxValue must be an integer."),
    (r#"ods("A"):GetSortedAsync(true, 10, 2, 1)"#, "107: MaxValue must be greater or equal to MinValue."),
    (r#"every_scope("A"):GetAsync("k")"#, "With AllScopes a key must be of the form scope/key"),
    (r#"every_scope("A"):GetAsync("k/")"#, "101: Key name can't be empty."),
    (r#"every_scope("A"):GetAsync("/k")"#, "DataStore scope can't be empty string"),
    (r#"ds("")"#, "DataStore name can't be empty string"),
    (r#"ds(string.rep("n", 51))"#, "DataStore name is too long"),
    (r#"ds("A"):ListVersionsAsync("k", "Sideways")"#, "Unable to cast value to Enum.SortDirection"),
    (r#"ds("A"):IncrementAsync("k", "x")"#, "Unable to cast string to int"),
    (r#"update(ds("A"), "", 1)"#, "101: Key name can't be empty."),
];
