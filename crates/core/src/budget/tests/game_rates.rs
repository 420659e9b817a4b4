//! What all servers of a game may do together.

use super::*;

#[test]
fn a_game_has_rates_that_grow_with_its_users() {
    let cases = [
        (StoreKind::Standard, Request::Get, "StandardRead", 300, 40),
        (
            StoreKind::Standard,
            Request::Increment(crate::ops::Increment { delta: 1, attributes: Default::default() }),
            "StandardWrite",
            300,
            20,
        ),
        (StoreKind::Standard, Request::Remove, "StandardRemove", 300, 40),
        (StoreKind::Ordered, Request::Get, "OrderedRead", 300, 40),
        (
            StoreKind::Ordered,
            Request::Increment(crate::ops::Increment { delta: 1, attributes: Default::default() }),
            "OrderedWrite",
            300,
            20,
        ),
        (StoreKind::Ordered, Request::Remove, "OrderedRemove", 300, 40),
    ];
    for (kind, request, name, base, per_user) in cases {
        let charge = Charge::of(kind, &request);
        check_rate(&charge, name, base, per_user);
    }
    check_rate(&Charge::LIST, "StandardList", 300, 2);
    check_rate(&Charge::SORTED, "OrderedList", 300, 2);
}

fn check_rate(charge: &Charge, name: &str, base: u32, per_user: u32) {
    let mut rates = GameRates::new(Limits::Roblox);
    for users in [0, 1, 10] {
        for _ in 0..if users == 0 { base } else { per_user * (users - users / 10) } {
            assert_eq!(rates.admit(start(), users, None, charge), Room::Now, "{name}");
        }
        let Room::Refused(error) = rates.admit(start(), users, None, charge) else { panic!("{name} has no limit") };
        let text = format!(
            "502: API Services rejected request with error. {name}ExperienceThrottled: {name} request throttled by \
             experience limits. (not applied)"
        );
        assert_eq!((&*error.text, error.code.name()), (&*text, &*format!("{name}ExperienceThrottled")));
    }
    assert_eq!(rates.admit(at(61), 0, None, charge), Room::Now, "a minute later");
}

#[test]
fn an_update_is_a_read_and_a_write_of_its_game_or_neither() {
    let (mut rates, key) = (GameRates::new(Limits::Roblox), key(StoreKind::Standard, "k"));
    let of = |request: &Request| Charge::of(StoreKind::Standard, request);
    for _ in 0..300 {
        assert_eq!(rates.admit(start(), 0, None, &of(&Request::Get)), Room::Now);
    }
    for _ in 0..400 {
        let refused = rates.admit(start(), 0, Some(&key), &of(&Request::Update(Update::NOT_RUN)));
        assert_eq!(refused, Room::Refused(CallError::experience_throttled(RequestType::StandardRead)));
    }
    let set = Request::Set(Set { value: Value::integer(1), attributes: Default::default() });
    for _ in 0..300 {
        assert_eq!(rates.admit(start(), 0, Some(&key), &of(&set)), Room::Now, "those refused have taken no writes");
    }
}

#[test]
fn a_key_takes_four_megabytes_of_writes_a_minute() {
    let (mut rates, hot) = (GameRates::new(Limits::Roblox), key(StoreKind::Standard, "hot"));
    let write = |bytes: usize| Charge {
        bytes: CALL_OVERHEAD_BYTES + bytes,
        ..Charge::of(
            StoreKind::Standard,
            &Request::Set(Set { value: Value::integer(1), attributes: Default::default() }),
        )
    };
    let mut admit = |now, key: &EntryKey, bytes| rates.admit(now, 1_000, Some(key), &write(bytes));
    assert_eq!(admit(start(), &hot, 4_194_304 - 1_025), Room::Now, "but one KB, rounded up, and one more");
    assert_eq!(admit(start(), &hot, 1_025), Room::In(Duration::from_secs(61)), "two KB");
    assert_eq!(admit(start(), &hot, 1_024), Room::Now);
    assert_eq!(admit(at(60), &hot, 1), Room::In(Duration::from_secs(1)));
    assert_eq!(admit(start(), &key(StoreKind::Standard, "cold"), 4_194_304), Room::Now, "each key has its own");
    assert_eq!(admit(at(61), &hot, 4_194_304 + 300), Room::Now, "the largest value with all its metadata has its time");
}

#[test]
fn a_key_gives_25_megabytes_of_reads_a_minute() {
    let (mut rates, hot) = (GameRates::new(Limits::Roblox), key(StoreKind::Standard, "hot"));
    let read = Charge::of(StoreKind::Standard, &Request::Get);
    for number in 0..25_600 / 4_096 {
        assert_eq!(rates.admit(start(), 1_000, Some(&hot), &read), Room::Now, "{number}");
        rates.has_read(start(), &hot, 4_194_304);
    }
    assert_eq!(rates.admit(start(), 1_000, Some(&hot), &read), Room::Now, "1,024 KB are left");
    rates.has_read(start(), &hot, 1_023 * 1_024);
    assert_eq!(rates.admit(start(), 1_000, Some(&hot), &read), Room::Now, "one");
    assert_eq!(rates.admit(start(), 1_000, Some(&hot), &read), Room::In(Duration::from_secs(61)), "none");
    assert_eq!(rates.admit(start(), 1_000, Some(&hot), &Charge::of(StoreKind::Standard, &Request::Remove)), Room::Now);
    let update = Charge::of(StoreKind::Standard, &Request::Update(Update::NOT_RUN));
    assert!(matches!(rates.admit(start(), 1_000, Some(&hot), &update), Room::In(_)), "an update reads");
}

#[test]
fn what_an_update_writes_is_counted_when_it_is_known() {
    let (mut rates, hot) = (GameRates::new(Limits::Roblox), key(StoreKind::Standard, "hot"));
    let update = Charge::of(StoreKind::Standard, &Request::Update(Update::NOT_RUN));
    assert_eq!(rates.admit(start(), 0, Some(&hot), &update), Room::Now);
    rates.has_updated(start(), &hot, 2_048 * 1_024);
    // One that has run already says how much it writes: nothing is counted twice.
    let run = Charge { bytes: CALL_OVERHEAD_BYTES + 2_048 * 1_024, ..update };
    assert_eq!(rates.admit(start(), 0, Some(&hot), &run), Room::Now);
    rates.has_updated(start(), &hot, 2_047 * 1_024);
    assert_eq!(rates.admit(start(), 0, Some(&hot), &update), Room::Now, "one KB");
    assert_eq!(rates.admit(start(), 0, Some(&hot), &update), Room::In(Duration::from_secs(61)), "none");
}

#[test]
fn the_classic_rates_are_of_a_key_and_of_a_game() {
    let (mut rates, get) = (GameRates::new(Limits::RobloxClassic), Charge::of(StoreKind::Standard, &Request::Get));
    let keys: Vec<EntryKey> = (0..1_700).map(|number| key(StoreKind::Standard, &number.to_string())).collect();
    for _ in 0..60 {
        assert_eq!(rates.admit(start(), 0, Some(&keys[0]), &get), Room::Now);
    }
    assert_eq!(rates.admit(start(), 0, Some(&keys[0]), &get), Room::In(Duration::from_secs(61)));
    for number in 60..100_000 {
        assert_eq!(rates.admit(start(), 0, Some(&keys[number / 60]), &get), Room::Now);
    }
    let refused = rates.admit(start(), 0, Some(&keys[1_699]), &get);
    assert_eq!(refused, Room::Refused(CallError::experience_throttled(RequestType::StandardRead)));
    assert_eq!(rates.admit(at(61), 0, Some(&keys[0]), &get), Room::Now);
}

#[test]
fn the_table_of_keys_does_not_grow_for_ever() {
    let (mut rates, get) = (GameRates::new(Limits::Roblox), Charge::of(StoreKind::Standard, &Request::Get));
    for number in 0..20_000_u64 {
        let key = key(StoreKind::Standard, &number.to_string());
        assert_eq!(rates.admit(at(number), 0, Some(&key), &get), Room::Now);
        assert!(rates.keys() <= 1_024, "62 of them have been read within a minute");
    }
}
